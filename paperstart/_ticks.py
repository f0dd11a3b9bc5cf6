"""Which few values stand beside an axis, so that one can read them?

Places lie in [0, 1] on the axis's natural scale. Two labels never touch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from paperstart._axis import Axis

Tick = tuple[float, str]
"""A place in [0, 1], and what is written there."""
_NEAREST = 0.11
"""Labels closer than this share of the axis touch, in a chart of 200 pixels."""

_LONGEST = 16
"""Characters that have room beside an axis."""


def ticks(axis: Axis) -> list[Tick]:
    """The ticks of a number's axis: its ends' neighborhood and round values."""
    if axis.scale == "log":
        values = _log_values(max(axis.low, axis.from_unit(0.0)), axis.high)
    elif axis.scale == "log1m":
        rests = _log_values(
            max(1 - axis.high, 1 - axis.from_unit(1.0), 1e-12), 1 - axis.low
        )
        values = [round(1 - rest, 12) for rest in rests]
    else:
        values = _linear_values(axis.low, axis.high)
    inside = [v for v in values if axis.low <= v <= axis.high]
    if len(inside) < 2:
        inside = sorted({axis.low, *inside, axis.high})
    return _apart((axis.to_unit(v), number_text(v)) for v in inside)


def choice_ticks(choices: Sequence[Any]) -> list[Tick]:
    """One tick per choice, or every second or third of many."""
    every = math.ceil(len(choices) / 8)
    return [
        (choice_place(index, len(choices)), _short(str(choice)))
        for index, choice in enumerate(choices)
        if index % every == 0
    ]


def choice_place(index: float, count: int) -> float:
    """The middle of a choice's share of the axis."""
    return (index + 0.5) / count


def number_text(value: float) -> str:
    """A value in few characters: ``0.001``, ``1e-05``, ``256``."""
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e6):
        return str(int(value))
    return f"{value:.4g}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _log_values(low: float, high: float) -> list[float]:
    """Powers of ten; where there are few, also twice and five times them."""
    if low <= 0 or high <= low:
        return [v for v in (low, high) if v > 0]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / 6))
    factors: tuple[float, ...] = (1, 2, 5) if last - first <= 2 else (1,)
    if last - first == 3:
        factors = (1, 3)
    return [
        float(f"{factor}e{power}")
        for power in range(first, last + 1)
        if power % every == 0
        for factor in factors
    ]


def _linear_values(low: float, high: float) -> list[float]:
    """About five round values."""
    if high <= low:
        return [low]
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= rough * 0.999)
    count = math.floor((high - low) / step) + 2
    start = math.ceil(low / step - 1e-9)
    return [round((start + k) * step, 12) for k in range(count)]


def _apart(found: Iterable[Tick]) -> list[Tick]:
    kept: list[Tick] = []
    for place, text in sorted(found):
        if not kept or place - kept[-1][0] >= _NEAREST:
            kept.append((place, text))
    return kept
