"""What does a recipe file literally say, and on which line?

Reads YAML into plain values and keeps the line of every key. YAML 1.1 has traps that
turn a number into text or text into a number; each is refused here by name, with the
spelling that works.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from paperstart.errors import RecipeFormatError

Path = tuple[str | int, ...]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, if built
_LOOKS_LIKE_NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?")
_TAG = "tag:yaml.org,2002:"
MAX_DEPTH = 12


@dataclass
class Document:
    """The plain values of one file, and where each stands.

    Attributes:
        name: the file, as messages name it.
        data: dicts, lists, text, numbers, truth values, dates.
        lines: line of each value, counted from 1, by its path of keys.
    """

    name: str
    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """The line of ``path``, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def error(self, path: Path, found: str, todo: str) -> RecipeFormatError:
        """An error that names the file, the line and the key."""
        line = self.line(path)
        place = self.name if line is None else f"{self.name}:{line}"
        key = ".".join(map(str, path))
        text = f"{key}: {found}" if key else found
        return RecipeFormatError(f"{place}: {text}; {todo}.")


def read_yaml(text: str, name: str) -> Document:
    """Read ``text`` into plain values.

    Raises:
        RecipeFormatError: the text is not YAML, or says something that YAML reads as
            other than it looks.
    """
    document = Document(name)
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is not None:
            document.lines[()] = mark.line + 1
        found = " ".join(filter(None, (error.context, error.problem)))
        raise document.error(
            (), f"not YAML: {found}", "mend the syntax at this line"
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        found = str(error).splitlines()[0] if str(error) else "nested too deep"
        raise document.error(
            (), f"not YAML: {found}", "write plain printable text"
        ) from None
    if node is None:
        raise document.error((), "found an empty file", "write a recipe")
    document.data = _plain(node, (), document, set())
    return document


def _plain(node: yaml.Node, path: Path, document: Document, seen: set[int]) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if id(node) in seen:
        raise document.error(path, "found a YAML alias (*name)", "write the value out")
    seen.add(id(node))
    if len(path) > MAX_DEPTH:
        raise document.error(path, "found too many levels", "write it flat")
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, path, document)
    if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
        return [
            _plain(item, (*path, i), document, seen)
            for i, item in enumerate(node.value)
        ]
    if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
        return _mapping(node, path, document, seen)
    raise document.error(path, f"found the tag {node.tag}", "leave the tag out")


def _mapping(
    node: yaml.MappingNode, path: Path, document: Document, seen: set[int]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _TAG + "str":
            document.lines[path] = line
            found = str(getattr(key_node, "value", "a list"))[:40]
            raise document.error(
                path,
                f"found the key {found!r}, which is not a name",
                "write a word, in quotes if YAML takes it for something else",
            )
        key = key_node.value
        place = (*path, key)
        if key in result:
            first = document.lines[place]
            document.lines[place] = line
            raise document.error(
                place, f"found twice, first on line {first}", "keep one of the two"
            )
        document.lines[place] = line
        result[key] = _plain(value_node, place, document, seen)
    return result


def _scalar(node: yaml.ScalarNode, path: Path, document: Document) -> Any:
    text, kind = node.value, node.tag.removeprefix(_TAG)
    quoted = node.style is not None
    if kind == "str":
        if not quoted and _LOOKS_LIKE_NUMBER.fullmatch(text):
            raise document.error(
                path,
                f"found {text}, which YAML reads as text",
                f"write {_respelled(text)}, or put it in quotes if it is text",
            )
        return text
    if kind == "int" and re.fullmatch(r"[-+]?(0|[1-9][0-9]{0,17})", text):
        return int(text)
    if kind == "float" and _LOOKS_LIKE_NUMBER.fullmatch(text) and "_" not in text:
        if path == ("arxiv",):
            raise document.error(
                path, f"found the number {text}", f'write it in quotes: "{text}"'
            )
        return float(text)
    if kind == "bool" and text in ("true", "false"):
        return text == "true"
    if kind == "timestamp" and re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return _date(text, path, document)
    todo = {
        "int": "write a plain decimal number, or put it in quotes if it is text",
        "float": "write a finite decimal number such as 1.0e-4",
        "bool": f'write true or false, or "{text}" in quotes if it is text',
        "null": "write a value, or leave the key out",
    }.get(kind, "write plain text in quotes")
    raise document.error(path, f"found {text or 'nothing'} (YAML: {kind})", todo)


def _date(text: str, path: Path, document: Document) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise document.error(
            path, f"found {text}: {error}", "write a real day"
        ) from None


def _respelled(text: str) -> str:
    """The spelling of a number that YAML 1.1 takes for one: 1e-4 as 1.0e-4."""
    mantissa, _, exponent = text.replace("_", "").lower().partition("e")
    if "." not in mantissa:
        mantissa += ".0"
    elif mantissa.lstrip("+-").startswith("."):
        mantissa = mantissa.replace(".", "0.", 1)
    if not exponent:
        return mantissa
    return f"{mantissa}e{exponent if exponent[0] in '+-' else '+' + exponent}"
