"""How is a broken recipe explained to whoever wrote it?

Turns what pydantic found into one line for each problem, in the words of the file:
where, what was found, what to write.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from paperstart._fields import (
    ALIAS_PATTERN,
    ARXIV_PATTERN,
    ID_PATTERN,
    NAME_PATTERN,
    URL_PATTERN,
    shown,
)
from paperstart._yaml import Document, Path

_SOURCE = 'source: {kind: paper, where: "section 3.4", url: "https://..."}'
_PATTERNS = {
    ALIAS_PATTERN: "lower-case letters and digits, joined by - _ or .: resnet-50",
    ARXIV_PATTERN: 'an arXiv id without its version: "1512.03385"',
    ID_PATTERN: "lower-case letters and digits, joined by hyphens: resnet20-cifar10",
    NAME_PATTERN: "lower-case words, joined by underscores: learning_rate",
    URL_PATTERN: "a web address: https://arxiv.org/abs/1512.03385v1",
}
_TYPES = {
    "string_type": "text, in quotes if YAML takes it for something else",
    "int_type": "a whole number",
    "date_type": "a day: 2026-01-31",
    "dict_type": "keys with values below it",
    "tuple_type": "a list: [one, two]",
}


def explained(error: ValidationError, document: Document) -> str:
    """One line for each problem that pydantic found, in the file's own words."""
    lines = []
    for problem in error.errors(include_url=False):
        path = problem["loc"]
        if path and path[-1] == "[key]":  # pydantic's mark for a key, not for its value
            path = path[:-1]
        if problem["type"] == "recipe":
            for more, found, todo in problem["ctx"]["all"]:
                lines.append(str(document.error((*path, *more), found, todo)))
        else:
            lines.append(str(document.error(path, *_in_words(problem, path))))
    return "\n".join(lines)


def _in_words(problem: Any, path: Path) -> tuple[str, str]:
    """(What was found, what to write) of one of pydantic's own problems."""
    kind, found, limits = problem["type"], shown(problem["input"]), problem.get("ctx")
    if kind == "missing":
        is_source = path[-1] == "source"
        return "found nothing", f"write {_SOURCE if is_source else f'{path[-1]}:'}"
    if kind == "extra_forbidden":
        return "found an unknown key", "leave it out, or mend its spelling"
    if kind == "model_type":
        is_source = limits["class_name"] == "Source"
        return (
            f"found {found}",
            f"write {_SOURCE if is_source else _TYPES['dict_type']}",
        )
    if kind == "literal_error":
        return f"found {found}", f"write {limits['expected']}"
    if kind == "string_pattern_mismatch":
        return f"found {found}", f"write {_PATTERNS[limits['pattern']]}"
    if kind == "string_too_long":
        return f"found {found}", f"write at most {limits['max_length']} characters"
    if kind in ("greater_than_equal", "less_than_equal"):
        end, side = (
            (limits.get("ge"), "least") if "ge" in limits else (limits["le"], "most")
        )
        return f"found {found}", f"write a number of at {side} {end}"
    return f"found {found}", f"write {_TYPES.get(kind, problem['msg'])}"
