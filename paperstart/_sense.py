"""Does a hyperparameter make sense, given its name?

Fills in what the name says of scale, range and number type where the file says
nothing, and finds what then contradicts itself.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from paperstart._fields import Problem, is_list, is_number, quoted
from paperstart._scales import (
    CANONICAL,
    NUMERIC_SCALES,
    Canonical,
    Scale,
    canonical,
    default_range,
)
from paperstart._searched import varies_first
from paperstart._spread import Spread, range_within, spread_of

_COUNTED = ("epochs", "steps")  # whole or not, as published: 90, but also 2.4


class Alternative(Protocol):
    """What this file asks of another published value."""

    @property
    def value(self) -> Any: ...


class Hyperparameter(Protocol):
    """What this file asks of a hyperparameter."""

    @property
    def value(self) -> Any: ...
    @property
    def scale(self) -> Scale | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def choices(self) -> tuple[Any, ...] | None: ...
    @property
    def searched(self) -> bool: ...
    @property
    def alternatives(self) -> Sequence[Alternative]: ...


def complete_all(task: object, values: dict[Any, Any]) -> dict[Any, Any]:
    """Unchecked data of a recipe's hyperparameters, each completed."""
    optimizer = values.get("optimizer")
    kind = optimizer.get("value") if isinstance(optimizer, dict) else None
    spread = spread_of(task, kind)
    return {name: complete(name, data, spread, values) for name, data in values.items()}


def complete(
    name: Any, data: Any, spread: Mapping[str, Spread], published: Collection[Any]
) -> Any:
    """Unchecked ``data`` of one hyperparameter with what its name says filled in.

    Its range comes from the file, else from the spread of published values, else from
    the name; and so does whether a search varies it, where it has a range or choices.
    """
    if not isinstance(data, dict) or "value" not in data:
        return data
    is_asked = any(data.get(key) is not None for key in ("low", "high", "choices"))
    data = dict(data)
    others = data.get("alternatives")
    others = others if is_list(others) else ()
    others = [a["value"] for a in others if isinstance(a, dict) and "value" in a]
    if is_number(data["value"]):
        _complete_number(name, data, others, spread.get(name))
    else:
        _complete_choices(data, others)
    if data.get("searched") is None:
        first = is_asked or varies_first(name, published)
        data["searched"] = first and _has_choice(data["scale"], data.get("choices"))
    return data


def contradictions(name: str, hp: Hyperparameter) -> list[Problem]:
    """What contradicts itself in ``hp``: the value, else its scale, else its range."""
    known = canonical(name, hp.scale)
    values: list[tuple[tuple[str | int, ...], Any]] = [(("value",), hp.value)]
    for i, other in enumerate(hp.alternatives):
        values.append((("alternatives", i, "value"), other.value))
    odd = [(path, _odd_value(name, known, value)) for path, value in values]
    problems = [(path, *problem) for path, problem in odd if problem is not None]
    return problems or [*_odd_scale(name, hp)] or [*_odd_range(hp, known)]


def _complete_number(
    name: str, data: dict[str, Any], others: list[Any], spread: Spread | None
) -> None:
    known = CANONICAL.get(name)
    if known is not None:
        data.setdefault("scale", known.scale)
    scale = data.setdefault("scale", None)
    if scale not in NUMERIC_SCALES:
        return
    is_rate = known is not None and not known.whole
    if scale == "log1m" or (is_rate and not any(word in name for word in _COUNTED)):
        # A rate of 1 is 1.0: the number's type follows the name, not the spelling.
        data["value"] = float(data["value"])
    ends, origin = None, "recipe"
    if spread is not None and known is not None and scale == known.scale:
        ends, count = range_within(name, data["value"], spread), spread[2]
        origin = f"{count} recipes" if not {"low", "high"} & set(data) else origin
    if ends is None:
        ends = default_range(name, data["value"], scale)
        origin = "default" if not {"low", "high"} & set(data) else "recipe"
    data.setdefault("range_source", origin)
    if ends is not None:
        numbers = [other for other in others if is_number(other)]
        data.setdefault("low", min([ends[0], *numbers]))
        data.setdefault("high", max([ends[1], *numbers]))


def _complete_choices(data: dict[str, Any], others: list[Any]) -> None:
    data.setdefault("scale", "fixed" if is_list(data["value"]) else "categorical")
    if data["scale"] == "categorical" and "choices" not in data:
        choices = _distinct([data["value"], *others])
        data["choices"] = choices if len(choices) > 1 else None


def _has_choice(scale: Any, choices: Any) -> bool:
    """Whether there is a range or a list of choices to search."""
    return scale in NUMERIC_SCALES or (scale == "categorical" and choices is not None)


def _distinct(values: list[Any]) -> list[Any]:
    """Each of the values once; without what no choice can be."""
    words = (str, bool, int, float)
    plain = [tuple(v) if is_list(v) else v for v in values]
    return list(
        dict.fromkeys(
            value
            for value in plain
            if isinstance(value, words)
            or (isinstance(value, tuple) and all(map(is_number, value)))
        )
    )


def _odd_value(name: str, known: Canonical, value: Any) -> tuple[str, str] | None:
    if name in CANONICAL:
        is_word = not is_number(value) and not is_list(value)
        if CANONICAL[name].scale == "categorical" and not is_word:
            return f"found {quoted(value)}, which is not a word", "write a text"
        if CANONICAL[name].scale != "categorical" and is_word:
            return f"found {quoted(value)}, which is not a number", "write 1.0e-4"
    for number in value if is_list(value) else (value,):
        if known.whole and not isinstance(number, int):
            found = f"found {quoted(number)}, which is not a whole number"
            return found, "write it without a dot"
        if is_number(number) and not known.least <= number <= known.most:
            return f"found {quoted(number)}, which no {name} can be", _bounds(known)
    return None


def _odd_scale(name: str, hp: Hyperparameter) -> Iterator[Problem]:
    if is_number(hp.value):
        if hp.scale is None:
            found = f"found nothing, and {name} is not a canonical name"
            yield ("scale",), found, "write scale: log, log1m or linear"
    elif hp.scale in NUMERIC_SCALES or (is_list(hp.value) and hp.scale != "fixed"):
        found = f"found {hp.scale} for {quoted(hp.value)}, which is not a number"
        yield ("scale",), found, "leave scale out"


def _odd_range(hp: Hyperparameter, known: Canonical) -> Iterator[Problem]:
    if hp.choices is not None and hp.scale != "categorical":
        yield ("choices",), f"found choices on the scale {hp.scale}", "leave them out"
    if hp.choices is not None and hp.value not in hp.choices:
        found = f"found {quoted(hp.value)} outside its own choices {quoted(hp.choices)}"
        yield ("value",), found, "add it to the choices, or correct it"
    if hp.searched and not _has_choice(hp.scale, hp.choices):
        found = "found true, and there is neither a range nor a list of choices"
        yield ("searched",), found, "write choices, or leave searched out"
    if hp.scale not in NUMERIC_SCALES:
        for key, end in (("low", hp.low), ("high", hp.high)):
            if end is not None:
                yield (key,), f"found a range on the scale {hp.scale}", "leave it out"
    elif hp.low is None or hp.high is None:
        yield ("low",), "found no range", "write low and high"
    elif not hp.low <= hp.value <= hp.high:
        found = f"found {hp.value!r} outside its own range {hp.low!r} to {hp.high!r}"
        yield ("value",), found, "widen low and high, or correct the value"
    else:
        for key, end in (("low", hp.low), ("high", hp.high)):
            if not known.least <= end <= known.most:
                yield (key,), f"found {end!r}", _bounds(known)


def _bounds(known: Canonical) -> str:
    if known.most == math.inf:
        return f"write a number of at least {known.least:g}"
    if known.least == -math.inf:
        return f"write a number of at most {known.most:g}"
    return f"write a number from {known.least:g} to {known.most:g}"
