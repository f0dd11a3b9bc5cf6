"""What is a recipe?

One published training set-up: model, data, hyperparameters, reported result, and for
each value the place where it was published. The model below is the schema of the files
in ``recipes/``; there is no second one. A recipe is checked once, when it is made, and
frozen: behind that line nobody asks whether a key is there.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from paperstart._scales import (
    CANONICAL,
    NUMERIC_SCALES,
    Scale,
    canonical,
    default_range,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

    from paperstart.space import Ranges

ID_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
ALIAS_PATTERN = r"^[a-z0-9]+([._-][a-z0-9]+)*$"
NAME_PATTERN = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"


def _wrong(found: str, todo: str) -> PydanticCustomError:
    """An error in two parts: what was found, and what to write instead."""
    # The text goes in as a value: a brace in it is not a placeholder.
    return PydanticCustomError("recipe", "{text}", {"text": f"{found}; {todo}"})


def _printable(text: str) -> str:
    if not text.strip() or any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise _wrong(f"found {text!r}", "write one line of visible text")
    return text


def _plain_value(value: object) -> object:
    """A number, text, a truth value, or a list of numbers; never an infinity."""
    if isinstance(value, (list, tuple)):
        numbers = [v for v in value if isinstance(v, (int, float))]
        if not value or len(numbers) != len(value) or any(map(_is_bool, value)):
            raise _wrong(f"found {value!r}", "write a list of numbers: [30, 60]")
        if not all(map(math.isfinite, numbers)):
            raise _wrong(f"found {value!r}", "write finite numbers")
        return tuple(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(f"found {value!r}", "write a finite number")
    if not isinstance(value, (bool, int, float, str)):
        raise _wrong(
            f"found {value!r}", "write a number, a text, true or false, or a list"
        )
    return _printable(value) if isinstance(value, str) else value


def _plain_choices(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) < 2:
        raise _wrong(f"found {value!r}", "write a list of two choices or more")
    return tuple(_plain_value(v) for v in value)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


Line = Annotated[str, AfterValidator(_printable)]
PlainValue = Annotated[Any, BeforeValidator(_plain_value)]
Identifier = Annotated[str, Field(pattern=ID_PATTERN, max_length=80)]
Alias = Annotated[str, Field(pattern=ALIAS_PATTERN, max_length=80)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=60)]


class _Frozen(BaseModel):
    # Strict: a text "0.1" is not a number and 1 is not a text; extra keys are typos.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Source(_Frozen):
    """Where one value was published.

    Attributes:
        kind: the paper, its authors' code, or its authors' documentation.
        where: section, table or appendix; or the file's path and line.
        url: the arXiv id with its version, or the file at a commit.
    """

    kind: Literal["paper", "official-code", "official-docs"]
    where: Line
    url: Annotated[Line, Field(pattern=r"^https?://\S+$")]


class Alternative(_Frozen):
    """Another published value of the same hyperparameter, with its own source."""

    value: PlainValue
    source: Source
    note: Line | None = None


class Hyperparameter(_Frozen):
    """One published hyperparameter.

    Attributes:
        value: as published: a number, a text, a truth value, or a list of milestones.
        source: where it was published.
        unit: what one of it is, where the type does not say.
        scale: ``log``, ``log1m`` (log of 1 - x), ``linear``, ``categorical``, or
            ``fixed`` for what is not searched.
        low: lower end of the range of a coarse round; ``None`` unless a number.
        high: its upper end.
        choices: what a search may choose from; ``None`` unless categorical.
        alternatives: other published values.
        note: one line of ours, where a reader would stumble.
    """

    value: PlainValue
    source: Source
    unit: Line | None = None
    scale: Scale = "fixed"
    low: float | int | None = None
    high: float | int | None = None
    choices: Annotated[tuple[Any, ...] | None, BeforeValidator(_plain_choices)] = None
    alternatives: tuple[Alternative, ...] = Field(default=(), strict=False)
    note: Line | None = None


class Weights(_Frozen):
    """Published weights of the architecture, by name."""

    library: Line
    name: Line
    license: Line | None = None


class Reported(_Frozen):
    """A published result of this set-up."""

    metric: Name
    value: float | int
    split: Line
    source: Source
    unit: Line | None = None


class Compute(_Frozen):
    """What the published training ran on."""

    devices: Line
    source: Source
    hours: float | int | None = None


class Recipe(_Frozen):
    """One published training set-up, each value with the place of its publication."""

    id: Identifier
    title: Line
    model: Line
    arxiv: Annotated[str, Field(pattern=r"^(\d{4}\.\d{4,5}|[a-z-]+/\d{7})$")] | None = (
        None
    )
    url: Annotated[Line, Field(pattern=r"^https?://\S+$")] | None = None
    year: Annotated[int, Field(ge=1950, le=2100)]
    task: Identifier
    dataset: Line
    aliases: tuple[Alias, ...] = Field(default=(), strict=False)
    hyperparameters: dict[Name, Hyperparameter]
    undisclosed: tuple[Name, ...] = Field(default=(), strict=False)
    weights: tuple[Weights, ...] = Field(default=(), strict=False)
    reported: tuple[Reported, ...] = Field(default=(), strict=False)
    compute: Compute | None = None
    checked: datetime.date
    note: Line | None = None

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        """Fill in what a hyperparameter's name says of its scale and range."""
        if not isinstance(data, dict):
            return data
        values = data.get("hyperparameters")
        if isinstance(values, dict):
            completed = {n: _completed(n, hp) for n, hp in values.items()}
            data = {**data, "hyperparameters": completed}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if not self.hyperparameters:
            raise _wrong("hyperparameters: found none", "write at least one")
        for name in self.undisclosed:
            if name in self.hyperparameters:
                raise _wrong(
                    f"undisclosed: found {name}, which has a value above",
                    "leave it out of one of the two",
                )
        if self.arxiv is None and self.url is None:
            raise _wrong("arxiv: found nothing", "write the arXiv id or a url")
        for name, hp in self.hyperparameters.items():
            problem = _problem(name, hp)
            if problem is not None:
                raise _wrong(f"hyperparameters.{name}.{problem[0]}", problem[1])
        return self

    @property
    def published(self) -> dict[str, Any]:
        """The published values by name: numbers, text, truth values, lists."""
        return {
            name: list(hp.value) if isinstance(hp.value, tuple) else hp.value
            for name, hp in self.hyperparameters.items()
        }

    def search_space(
        self,
        *,
        only: Collection[str] | None = None,
        fixed: Mapping[str, Any] | None = None,
        ranges: Ranges | None = None,
    ) -> dict[str, BaseDistribution]:
        """Optuna distributions around the published values, on natural scales.

        Args:
            only: vary these hyperparameters alone.
            fixed: hyperparameters that are not searched, with their values.
            ranges: ``(low, high)``, or a list of choices, instead of the recipe's.

        Raises:
            SearchSpaceError: a name is unknown or a range is empty.
        """
        from paperstart.space import search_space  # late: Optuna costs 0.3 s

        return search_space(
            self.hyperparameters,
            self.undisclosed,
            only=only,
            fixed=fixed,
            ranges=ranges,
        )

    def suggest(
        self,
        trial: BaseTrial,
        *,
        only: Collection[str] | None = None,
        fixed: Mapping[str, Any] | None = None,
        ranges: Ranges | None = None,
    ) -> dict[str, Any]:
        """A value for every hyperparameter, for use in an objective.

        What is searched comes from ``trial.suggest_*``, what is ``fixed`` as given, all
        else as published. Takes the arguments of `search_space`.
        """
        from paperstart.space import suggest  # late: Optuna costs 0.3 s

        return suggest(
            trial,
            self.hyperparameters,
            self.undisclosed,
            only=only,
            fixed=fixed,
            ranges=ranges,
        )


def _completed(name: Any, data: Any) -> Any:
    """``data`` of one hyperparameter with scale, range and number type filled in."""
    if not isinstance(data, dict) or "value" not in data:
        return data
    data, value = dict(data), data["value"]
    known = CANONICAL.get(name)
    if not _is_number(value):
        data.setdefault("scale", "fixed" if _is_list(value) else "categorical")
        if data["scale"] == "categorical" and "choices" not in data:
            others = [a.get("value") for a in data.get("alternatives") or () if a]
            choices = list(dict.fromkeys([value, *others]))
            data["choices"] = choices if len(choices) > 1 else None
        return data
    if known is not None:
        data.setdefault("scale", known.scale)
        if not known.whole and "epochs" not in name and "steps" not in name:
            # A rate of 1 is 1.0: the number's type follows the name, not the spelling.
            data["value"] = value = float(value)
    elif "scale" not in data:
        raise _wrong(
            f"hyperparameters.{name}.scale: found nothing, and {name} is not a "
            f"canonical name",
            "write scale: log, log1m or linear",
        )
    if data["scale"] in NUMERIC_SCALES and math.isfinite(value):
        _fill_range(name, data, value)
    return data


def _fill_range(name: str, data: dict[str, Any], value: float) -> None:
    ends = default_range(name, value, data["scale"])
    if ends is None:
        return
    others = [
        a["value"]
        for a in data.get("alternatives") or ()
        if isinstance(a, dict) and _is_number(a.get("value"))
    ]
    data.setdefault("low", min([ends[0], *others]))
    data.setdefault("high", max([ends[1], *others]))


def _problem(name: str, hp: Hyperparameter) -> tuple[str, str] | None:
    """What contradicts itself in one hyperparameter: (what was found, what to do)."""
    known = canonical(name, hp.scale)
    value = hp.value
    if name in CANONICAL and CANONICAL[name].scale != "categorical":
        if not _is_number(value) and not isinstance(value, tuple):
            return f"value: found {value!r}, which is not a number", "write 1.0e-4"
        if known.whole and not isinstance(value, int):
            return (
                f"value: found {value!r}, which is not a whole number",
                "write it without a dot",
            )
    if not _is_number(value):
        return None
    if not known.least <= value <= known.most:
        return (
            f"value: found {value!r}, which no {name} can be",
            f"write a number from {known.least:g} to {known.most:g}",
        )
    if hp.scale in NUMERIC_SCALES and (hp.low is None or hp.high is None):
        return "low: found no range", "write low and high"
    if hp.low is not None and hp.high is not None and not hp.low <= value <= hp.high:
        return (
            f"value: found {value!r} outside its own range {hp.low!r} to {hp.high!r}",
            "widen low and high, or correct the value",
        )
    return None


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple))
