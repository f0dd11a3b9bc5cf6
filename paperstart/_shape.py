"""Which keys does a part of a recipe file have?

A shape reads plain data (as YAML or JSON gives it) into a frozen dataclass and finds
everything that is wrong with it, not only the first thing. Its JSON Schema comes from
the same keys and checks; one with a ``title`` is meant to be written once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from paperstart._fields import (
    Check,
    FieldError,
    Problem,
    Schema,
    is_list,
    quoted,
    says,
    wrong,
)

SOURCE_HINT = 'source: {kind: paper, where: "section 3.4", url: "https://..."}'
_KEYS_HINT = "keys with values below it"


def shape(
    make: Callable[..., Any],
    required: Mapping[str, Check],
    optional: Mapping[str, Check],
    hint: str = _KEYS_HINT,
) -> Check:
    """Keys with values, each with its check; ``make`` gets them by name."""
    every = {**required, **optional}

    @says(_keys_schema(make, every, required))
    def check(value: object) -> Any:
        if not isinstance(value, dict):
            raise wrong(f"found {quoted(value)}", f"write {hint}")
        problems: list[Problem] = []
        checked: dict[str, Any] = {}
        for key, check_value in every.items():
            if key in value:
                _add(checked, problems, key, check_value, value[key])
            elif key in required:
                todo = SOURCE_HINT if key == "source" else f"{key}:"
                problems.append(((key,), "found nothing", f"write {todo}"))
        for key in value:
            if key not in every:
                todo = "leave it out, or mend its spelling"
                problems.append(((key,), "found an unknown key", todo))
        if problems:
            raise FieldError(problems)
        return make(**checked)

    return check


def list_of(check_item: Check, least: int = 0, most: int | None = None) -> Check:
    """A list of so many items, as a tuple."""
    bounds = {"minItems": least or None, "maxItems": most}
    told = {key: bound for key, bound in bounds.items() if bound is not None}

    @says({"type": "array", "items": check_item.schema, **told})
    def check(value: object) -> tuple[Any, ...]:
        if not is_list(value):
            raise wrong(f"found {quoted(value)}", "write a list: [one, two]")
        if len(value) < least:
            todo = f"write at least {least}, or leave the key out"
            raise wrong(f"found {len(value)} entries", todo)
        if most is not None and len(value) > most:
            raise wrong(f"found {len(value):,} entries", f"write at most {most:,}")
        problems: list[Problem] = []
        checked: dict[int, Any] = {}
        for i, item in enumerate(value):
            _add(checked, problems, i, check_item, item)
        if problems:
            raise FieldError(problems)
        return tuple(checked.values())

    return check


def mapping_of(
    check_key: Check, check_value: Check, known: Iterable[str] = ()
) -> Check:
    """Keys of one kind with values of one kind; ``known`` keys are for completion."""

    @says(
        {
            "type": "object",
            "properties": dict.fromkeys(known, check_value.schema),
            "propertyNames": check_key.schema,
            "additionalProperties": check_value.schema,
            "minProperties": 1,
        }
    )
    def check(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(f"found {quoted(value)}", f"write {_KEYS_HINT}")
        problems: list[Problem] = []
        checked: dict[str, Any] = {}
        for key, item in value.items():
            _add({}, problems, key, check_key, key)
            _add(checked, problems, key, check_value, item)
        if problems:
            raise FieldError(problems)
        return checked

    return check


def maybe(check_value: Check, nothing: Any = None) -> Check:
    """Something, or ``None``, which says nothing; a file leaves the key out instead."""

    @says(check_value.schema)
    def check(value: object) -> Any:
        return nothing if value is None else check_value(value)

    return check


def _keys_schema(
    make: Callable[..., Any], every: Mapping[str, Check], required: Mapping[str, Check]
) -> Schema:
    return {
        "title": make.__name__,
        "description": (make.__doc__ or "").partition("\n")[0],
        "type": "object",
        "properties": {key: check.schema for key, check in every.items()},
        "required": list(required),
        "additionalProperties": False,
    }


def _add(
    checked: dict[Any, Any],
    problems: list[Problem],
    key: str | int,
    check: Check,
    value: object,
) -> None:
    try:
        checked[key] = check(value)
    except FieldError as error:
        for path, found, todo in error.problems:
            problems.append(((key, *path), found, todo))
