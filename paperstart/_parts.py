"""What are the parts of a recipe?

A value with its source, its alternatives, and what else is published beside the values:
each a frozen dataclass, and the shape that reads and checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paperstart import _fields as fields
from paperstart._scales import SCALES, Scale
from paperstart._shape import SOURCE_HINT, list_of, maybe, shape


@dataclass(frozen=True)
class Source:
    """Where one value was published.

    Attributes:
        kind: ``paper``, ``official-code`` (its authors' code), or ``official-docs``.
        where: section, table or appendix; or the file's path and line.
        url: the arXiv id with its version, or the file at a commit.
    """

    kind: str
    where: str
    url: str


@dataclass(frozen=True)
class Alternative:
    """Another published value of the same hyperparameter, with its own source."""

    value: Any
    source: Source
    note: str | None = None


@dataclass(frozen=True)
class Hyperparameter:
    """One published hyperparameter.

    Attributes:
        value: as published: a number, a text, a truth value, or a list of milestones.
        source: where it was published.
        unit: what one of it is, where the type does not say.
        scale: ``log``, ``log1m`` (log of 1 - x), ``linear``, ``categorical``, or
            ``fixed`` for what is not searched.
        low: lower end of the range of a coarse round; ``None`` unless a number.
        high: its upper end.
        range_source: what the range comes from: ``recipe``, how many recipes of this
            task and optimizer publish a value (``12 recipes``), or ``default``.
        searched: whether a search varies it that is not told what to vary.
        choices: what a search may choose from; ``None`` unless categorical.
        alternatives: other published values.
        note: one line of ours, where a reader would stumble.
    """

    value: Any
    source: Source
    unit: str | None = None
    scale: Scale = "fixed"
    low: float | int | None = None
    high: float | int | None = None
    range_source: str | None = None
    searched: bool = False
    choices: tuple[Any, ...] | None = None
    alternatives: tuple[Alternative, ...] = ()
    note: str | None = None


@dataclass(frozen=True)
class Weights:
    """Published weights of the architecture, by name."""

    library: str
    name: str
    license: str | None = None


@dataclass(frozen=True)
class Reported:
    """A published result of this set-up."""

    metric: str
    value: float | int
    split: str
    source: Source
    unit: str | None = None


@dataclass(frozen=True)
class Compute:
    """What the published training ran on."""

    devices: str
    source: Source
    hours: float | int | None = None


@dataclass(frozen=True)
class TrainingExamples:
    """How many examples one epoch has."""

    value: int
    source: Source
    note: str | None = None


_LINE = fields.line
SOURCE = shape(
    Source,
    {
        "kind": fields.one_of("paper", "official-code", "official-docs"),
        "where": _LINE,
        "url": fields.url,
    },
    {},
    hint=SOURCE_HINT,
)
ALTERNATIVE = shape(
    Alternative,
    {"value": fields.plain_value, "source": SOURCE},
    {"note": maybe(_LINE)},
)
_SEARCHED = (
    "whether a search varies it that is not told what to vary; if left out: where low, "
    "high or choices are given, or else by name"
)
_ORIGIN = r"recipe|default|[0-9]{1,6} recipes"
HYPERPARAMETER = shape(
    Hyperparameter,
    {"value": fields.plain_value, "source": SOURCE},
    {
        "unit": maybe(_LINE),
        "scale": maybe(fields.one_of(*SCALES)),
        "low": maybe(fields.number),
        "high": maybe(fields.number),
        "range_source": maybe(fields.matching(_ORIGIN, "what the range comes from")),
        "searched": maybe(fields.truth(_SEARCHED), nothing=False),
        "choices": maybe(fields.choices),
        "alternatives": list_of(ALTERNATIVE),
        "note": maybe(_LINE),
    },
)
WEIGHTS = shape(Weights, {"library": _LINE, "name": _LINE}, {"license": maybe(_LINE)})
REPORTED = shape(
    Reported,
    {
        "metric": fields.name,
        "value": fields.number,
        "split": _LINE,
        "source": SOURCE,
    },
    {"unit": maybe(_LINE)},
)
COMPUTE = shape(
    Compute,
    {"devices": _LINE, "source": SOURCE},
    {"hours": maybe(fields.number)},
)
EXAMPLES = shape(
    TrainingExamples,
    {"value": fields.whole(1, 10**15), "source": SOURCE},
    {"note": maybe(_LINE)},
)
