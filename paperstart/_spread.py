"""How far do published values of one task and optimizer lie apart?

The width of a coarse range is read from the catalog where it says enough. The table is
small and ships beside the recipes, so that one recipe still opens one recipe file.
"""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from paperstart._scales import CANONICAL, NUMERIC_SCALES

SHIPPED = Path(__file__).parent / "spread.json"
FEWEST = 5  # recipes that make a spread; this and the next two are our own choice
_TAIL = 0.05  # share of the published values that is left out at each end
_FACTOR = 3.0  # what a range reaches at least, below and above its own value
# What a training costs and a network's form are the user's own affair: that papers
# trained for 5 to 1800 epochs, on one GPU or on 512, is no reason to try all of that.
_COSTS = ("epochs", "steps", "layers", "units", "heads", "size", "tokens", "length")

Spread = tuple[float, float, int]
"""Where most published values lie, low and high, and how many recipes publish one."""
Published = tuple[str, str, str, float]
"""One recipe's value: its task, its optimizer, the hyperparameter's name, the value."""


def has_spread(name: str) -> bool:
    """Whether a range of this hyperparameter follows from what others published."""
    known = CANONICAL.get(name)
    if known is None or known.scale not in NUMERIC_SCALES:
        return False
    return not known.whole and not any(word in name for word in _COSTS)


def spread_of(task: object, optimizer: object) -> Mapping[str, Spread]:
    """The spread of each hyperparameter among the recipes of a task and optimizer."""
    if not isinstance(task, str) or not isinstance(optimizer, str):
        return {}
    found = _table().get(task, {}).get(optimizer, {})
    return {name: (low, high, count) for name, (low, high, count) in found.items()}


def range_within(name: str, value: float, spread: Spread) -> tuple[float, float] | None:
    """The range around ``value`` that the spread makes; ``None`` if it makes none."""
    known = CANONICAL[name]
    if known.scale != "linear" and not 0 < _natural(name, value) < math.inf:
        return None
    low, high, _ = spread
    ends = [_natural(name, end) for end in (low, high)]
    own = _natural(name, value)
    least, most = min(*ends, own / _FACTOR), max(*ends, own * _FACTOR)
    first, last = sorted(_rounded(_back(name, end)) for end in (least, most))
    most_usual = known.most if known.high is None else max(known.high, high)
    ceiling = most_usual if known.scale == "linear" else known.most
    first = min(max(first, known.least), value)
    last = max(min(last, ceiling, sys.float_info.max), value)
    return (first, last) if first < last else None


def spread_text(published: Iterable[Published]) -> str:
    """The text of the shipped table: a line for each task and optimizer."""
    groups: dict[tuple[str, str], dict[str, list[float]]] = {}
    for task, optimizer, name, value in published:
        if 0 < _natural(name, value) < math.inf or CANONICAL[name].scale == "linear":
            group = groups.setdefault((task, optimizer), {})
            group.setdefault(name, []).append(value)
    tasks: dict[str, list[str]] = {}
    for (task, optimizer), names in sorted(groups.items()):
        row = {
            name: (*_middle(name, values), len(values))
            for name, values in sorted(names.items())
            if len(values) >= FEWEST
        }
        if row:
            line = f"{json.dumps(optimizer)}: {json.dumps(row)}"
            tasks.setdefault(task, []).append(line)
    parts = [f"{json.dumps(t)}: {{\n{_joined(lines)}\n}}" for t, lines in tasks.items()]
    return "{\n" + _joined(parts) + "\n}\n"


def _joined(lines: Iterable[str]) -> str:
    return ",\n".join(lines)


def _middle(name: str, values: list[float]) -> tuple[float, float]:
    """The ends of the middle 90 % on the natural scale."""
    is_linear = CANONICAL[name].scale == "linear"
    places = [_natural(name, value) for value in values]
    points = sorted(places if is_linear else map(math.log, places))
    ends = [_quantile(points, share) for share in (_TAIL, 1 - _TAIL)]
    back = [_back(name, end if is_linear else math.exp(end)) for end in ends]
    low, high = sorted(map(_rounded, back))
    return low, high


def _quantile(points: list[float], share: float) -> float:
    place = share * (len(points) - 1)
    i = min(int(place), len(points) - 2)
    return points[i] + (points[i + 1] - points[i]) * (place - i)


def _natural(name: str, value: float) -> float:
    """1 - x where the scale is the log of it, else x."""
    return 1.0 - value if CANONICAL[name].scale == "log1m" else value


_back = _natural  # 1 - (1 - x)


def _rounded(value: float) -> float:
    """Six digits, of 1 - x where x is near 1."""
    if 0.5 < value < 1:
        return round(1.0 - float(f"{1.0 - value:.6g}"), 12)
    return float(f"{value:.6g}")


@functools.cache
def _table() -> dict[str, dict[str, dict[str, Spread]]]:
    try:
        table: dict[str, dict[str, dict[str, Spread]]] = json.loads(
            SHIPPED.read_bytes()
        )
    except (OSError, ValueError):  # without it every range is the default one
        return {}
    return table
