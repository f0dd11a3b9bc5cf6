"""What may a single value of a recipe file be?

The types of the recipe model's fields, each with its check. What is found wrong is
said in two parts, for people: what was found, and what to write instead.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from typing import Annotated, Any, TypeGuard

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

ID_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
ALIAS_PATTERN = r"^[a-z0-9]+([._-][a-z0-9]+)*$"
NAME_PATTERN = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"
ARXIV_PATTERN = r"^(\d{4}\.\d{4,5}|[a-z-]+/\d{7})$"
URL_PATTERN = r"^https?://\S+$"

Problem = tuple[tuple[str | int, ...], str, str]
"""Where (a path of keys), what was found, what to write."""


def wrong(found: str, todo: str) -> PydanticCustomError:
    """One thing that is wrong with the value under check."""
    return all_wrong([((), found, todo)])


def all_wrong(problems: Sequence[Problem]) -> PydanticCustomError:
    """Several such things, each with the path to it from the value under check."""
    text = "\n".join(
        f"{'.'.join(map(str, path))}: {found}; {todo}" if path else f"{found}; {todo}"
        for path, found, todo in problems
    )
    # The text goes in as a value: a brace in it is not a placeholder.
    return PydanticCustomError("recipe", "{text}", {"text": text, "all": problems})


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether ``value`` is a finite number, and no truth value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max  # false for nan, and for 10**400


def is_list(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether ``value`` is a list, as YAML or as pydantic makes it."""
    return isinstance(value, (list, tuple))


def shown(value: object) -> str:
    """``value`` as a message quotes it, cut where it gets long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise wrong(f"found {shown(text)}", "write one line of visible text")
    return text


def _number(value: object) -> object:
    if not is_number(value):
        raise wrong(f"found {shown(value)}", "write a finite number such as 1.0e-4")
    return value


def _plain_value(value: object) -> object:
    if is_list(value):
        if not value or not all(map(is_number, value)):
            raise wrong(
                f"found {shown(value)}", "write a list of finite numbers: [30, 60]"
            )
        return tuple(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number(value)
    if not isinstance(value, (bool, str)):
        raise wrong(
            f"found {shown(value)}",
            "write a number, a text, true or false, or a list of numbers",
        )
    return _line(value) if isinstance(value, str) else value


def _plain_choices(value: object) -> object:
    if value is None:
        return None
    if not is_list(value) or len(value) < 2:
        raise wrong(f"found {shown(value)}", "write a list of two choices or more")
    choices = tuple(map(_plain_value, value))
    if any(choice in choices[:i] for i, choice in enumerate(choices)):
        raise wrong(f"found {shown(value)}", "write each choice once")
    return choices


def _day(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return datetime.datetime.strptime(value, "%Y-%m-%d").date()
    except ValueError:
        raise wrong(f"found {shown(value)}", "write a day: 2026-01-31") from None


Line = Annotated[str, AfterValidator(_line)]
Url = Annotated[Line, Field(pattern=URL_PATTERN)]
Arxiv = Annotated[str, Field(pattern=ARXIV_PATTERN)]
Identifier = Annotated[str, Field(pattern=ID_PATTERN, max_length=80)]
Alias = Annotated[str, Field(pattern=ALIAS_PATTERN, max_length=80)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=60)]
Number = Annotated[float | int, BeforeValidator(_number)]
PlainValue = Annotated[Any, BeforeValidator(_plain_value)]
"""A number, text, a truth value, or a list of numbers; never an infinity."""
Day = Annotated[datetime.date, BeforeValidator(_day)]
"""A date, as YAML reads it; or its text, as JSON has it."""
Choices = Annotated[tuple[Any, ...] | None, BeforeValidator(_plain_choices)]
