"""What may a single value of a recipe file be?

The checks of the recipe's fields. What is found wrong is said in two parts, for people:
what was found, and what to write instead. Each check also says its JSON Schema, for
editors; what a schema cannot say, only the check knows.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

Path = tuple[str | int, ...]
Problem = tuple[Path, str, str]
"""Where (a path of keys), what was found, what to write."""
Schema = dict[str, Any]

_ID = r"[a-z0-9]+(-[a-z0-9]+)*"
_ALIAS = r"[a-z0-9]+([._-][a-z0-9]+)*"
_NAME = r"[a-z][a-z0-9]*(_[a-z0-9]+)*"
# BibTeX ends a name at the word "and", and takes "others" for "et al."; what stands in
# braces is one word to it. A backslash would be a command, and a comma turns a name.
_GROUP = r"\{[^\s{}\\]+( [^\s{}\\]+)*\}"
_WORD = rf"(?![Aa][Nn][Dd]( |$))([^\s,{{}}\\]|{_GROUP})+"
_AUTHOR = f"(?!others$){_WORD}( {_WORD})*"


class FieldError(Exception):
    """What is wrong with a value: each problem with its path from that value."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(f"{found}; {todo}" for _, found, todo in problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class Check:
    """Gives a value back as the recipe keeps it, or raises `FieldError`.

    Attributes:
        schema: the JSON Schema of what it takes from a file.
    """

    run: Callable[[Any], Any]
    schema: Schema

    def __call__(self, value: object) -> Any:
        return self.run(value)


def says(schema: Schema) -> Callable[[Callable[[Any], Any]], Check]:
    """Makes a check of a function, with the JSON Schema of what it takes."""
    return lambda run: Check(run, schema)


def wrong(found: str, todo: str) -> FieldError:
    """One thing that is wrong with the value under check."""
    return FieldError([((), found, todo)])


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether ``value`` is a finite number, and no truth value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max  # false for nan, and for 10**400


def is_list(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether ``value`` is a list, or a tuple that was one."""
    return isinstance(value, (list, tuple))


def quoted(value: object) -> str:
    """``value`` as a message quotes it, cut where it gets long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of 5,000 digits, a list of itself
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


@says({"type": "string"})
def text(value: object) -> str:
    """Any text."""
    if not isinstance(value, str):
        todo = "write text, in quotes if YAML takes it for something else"
        raise wrong(f"found {quoted(value)}", todo)
    return value


# JSON Schema has no word for "printable": at least no control characters.
@says(
    {
        "type": "string",
        "minLength": 1,
        "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
    }
)
def line(value: object) -> str:
    """One line of visible text."""
    found: str = text(value)
    if not found.strip() or not found.isprintable():
        raise wrong(f"found {quoted(found)}", "write one line of visible text")
    return found


@says({"type": "number"})
def number(value: object) -> float | int:
    """A finite number."""
    if not is_number(value):
        raise wrong(f"found {quoted(value)}", "write a finite number such as 1.0e-4")
    return value


@says(
    {
        "anyOf": [
            *(number.schema, line.schema, {"type": "boolean"}),
            {"type": "array", "items": number.schema, "minItems": 1},
        ]
    }
)
def plain_value(value: object) -> Any:
    """A number, a text, a truth value, or a list of numbers; never an infinity."""
    if is_list(value):
        if not value or not all(map(is_number, value)):
            todo = "write a list of finite numbers: [30, 60]"
            raise wrong(f"found {quoted(value)}", todo)
        return tuple(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    if not isinstance(value, (bool, str)):
        todo = "write a number, a text, true or false, or a list of numbers"
        raise wrong(f"found {quoted(value)}", todo)
    return line(value) if isinstance(value, str) else value


@says(
    {"type": "array", "items": plain_value.schema, "minItems": 2, "uniqueItems": True}
)
def choices(value: object) -> tuple[Any, ...]:
    """Two choices or more, each a plain value."""
    if not is_list(value) or len(value) < 2:
        raise wrong(f"found {quoted(value)}", "write a list of two choices or more")
    found = tuple(map(plain_value, value))
    if len(set(found)) < len(found):
        raise wrong(f"found {quoted(value)}", "write each choice once")
    return found


@says({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"})
def day(value: object) -> datetime.date:
    """A date, as YAML reads it; or its text, as JSON has it."""
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value
    try:
        return datetime.datetime.strptime(str(value), "%Y-%m-%d").date()
    except ValueError:
        raise wrong(f"found {quoted(value)}", "write a day: 2026-01-31") from None


def truth(meaning: str) -> Check:
    """True or false; ``meaning`` is for editors."""

    @says({"type": "boolean", "description": meaning})
    def check(value: object) -> bool:
        if not isinstance(value, bool):
            raise wrong(f"found {quoted(value)}", "write true or false")
        return value

    return check


def whole(least: int, most: int) -> Check:
    """A whole number from ``least`` to ``most``."""

    @says({"type": "integer", "minimum": least, "maximum": most})
    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(f"found {quoted(value)}", "write a whole number")
        if value < least:
            todo = f"write a number of at least {least}"
            raise wrong(f"found {quoted(value)}", todo)
        if value > most:
            raise wrong(f"found {quoted(value)}", f"write a number of at most {most}")
        return value

    return check


def one_of(*words: str) -> Check:
    """One of a few words."""
    known = ", ".join(map(repr, words[:-1])) + f" or {words[-1]!r}"

    @says({"enum": list(words)})
    def check(value: object) -> object:
        if not isinstance(value, str) or value not in words:
            raise wrong(f"found {quoted(value)}", f"write {known}")
        return value

    return check


def matching(pattern: str, todo: str, most: int = 1000) -> Check:
    """A line of a form, of at most so many characters."""
    form = re.compile(pattern)

    schema = {"type": "string", "pattern": f"^({pattern})$", "maxLength": most}

    @says(schema | {"description": todo})
    def check(value: object) -> str:
        found: str = line(value)
        if not form.fullmatch(found):
            raise wrong(f"found {quoted(found)}", f"write {todo}")
        if len(found) > most:
            raise wrong(f"found {quoted(found)}", f"write at most {most} characters")
        return found

    return check


url = matching(r"https?://\S+", "a web address: https://arxiv.org/abs/1512.03385v1")
arxiv = matching(
    r"\d{4}\.\d{4,5}|[a-z-]+/\d{7}",
    'an arXiv id without its version: "1512.03385"',
)
identifier = matching(
    _ID, "lower-case letters and digits, joined by hyphens: resnet20-cifar10", 80
)
alias = matching(
    _ALIAS, "lower-case letters and digits, joined by - _ or .: resnet-50", 80
)
name = matching(_NAME, "lower-case words, joined by underscores: learning_rate", 60)
author = matching(
    _AUTHOR,
    "one 'Given Family' without a comma, or an organization in quotes and braces: "
    '"{BigScience Workshop}"',
    200,
)
