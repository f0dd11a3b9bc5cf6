"""What may be tried, on which scale, around which point?

Turns published hyperparameters into Optuna's distributions. It asks of a hyperparameter
only what `PublishedHyperparameter` names, so it stands below the recipe.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import BaseTrial

from paperstart._natural import is_number
from paperstart._scales import Scale, canonical, default_range, powers_of_two
from paperstart._searched import varies_first
from paperstart.errors import SearchSpaceError

Value = Any  # a float, int, str, bool, or a list of numbers such as milestones


class PublishedHyperparameter(Protocol):
    """What this file asks of a hyperparameter."""

    @property
    def value(self) -> Any: ...
    @property
    def scale(self) -> Scale: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def choices(self) -> tuple[Any, ...] | None: ...
    @property
    def searched(self) -> bool: ...


Ranges = Mapping[str, "tuple[float, float] | Collection[Any]"]


def search_space(
    published: Mapping[str, PublishedHyperparameter],
    undisclosed: Iterable[str] = (),
    *,
    only: Collection[str] | None = None,
    fixed: Mapping[str, Value] | None = None,
    ranges: Ranges | None = None,
) -> dict[str, BaseDistribution]:
    """The distributions of what a search varies.

    These are the hyperparameters that the recipe has as searched, and what the source
    does not disclose of what a first search varies; or those that the user names.
    Published numbers get a range around their value, and what is not disclosed its full
    range where the name is canonical. Lists (milestones) and base rates have no range.

    Args:
        published: the recipe's hyperparameters by name.
        undisclosed: canonical names that the source does not state.
        only: vary these alone.
        fixed: values that are not searched.
        ranges: ``(low, high)`` for a number, or a list of choices, by name; what has
            one is searched, whatever the recipe says, unless ``only`` leaves it out.

    Raises:
        SearchSpaceError: a name is unknown, or a range is empty.
    """
    if isinstance(only, str):
        raise SearchSpaceError(f"only is {only!r}; give a list: only=[{only!r}].")
    known = [*published, *(n for n in undisclosed if n not in published)]
    for given in (only or (), fixed or (), ranges or ()):
        _refuse_unknown(given, known, extra=fixed or ())
    space: dict[str, BaseDistribution] = {}
    for name in known:
        if name in (fixed or {}) or (only is not None and name not in only):
            continue
        asked = (ranges or {}).get(name)
        if only is None and asked is None and not _is_searched(name, published):
            continue
        distribution = _distribution(name, published.get(name), asked)
        if distribution is not None:
            space[name] = distribution
        elif only is not None or asked is not None:
            raise SearchSpaceError(_not_searchable(name, published.get(name)))
    return space


def suggest(
    trial: BaseTrial,
    published: Mapping[str, PublishedHyperparameter],
    undisclosed: Iterable[str] = (),
    *,
    only: Collection[str] | None = None,
    fixed: Mapping[str, Value] | None = None,
    ranges: Ranges | None = None,
) -> dict[str, Value]:
    """A value for every hyperparameter: suggested, fixed, or as published.

    Takes the arguments of `search_space`; what is neither searched nor fixed keeps its
    published value.
    """
    space = search_space(published, undisclosed, only=only, fixed=fixed, ranges=ranges)
    values = {name: _plain(hp.value) for name, hp in published.items()}
    values.update(fixed or {})
    for name, distribution in space.items():
        values[name] = suggest_one(trial, name, distribution)
    return values


def suggest_one(trial: BaseTrial, name: str, distribution: BaseDistribution) -> Value:
    """Ask ``trial`` for one value of ``distribution``."""
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(
            name,
            distribution.low,
            distribution.high,
            step=distribution.step,
            log=distribution.log,
        )
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            name,
            distribution.low,
            distribution.high,
            step=distribution.step,
            log=distribution.log,
        )
    assert isinstance(distribution, CategoricalDistribution)
    return trial.suggest_categorical(name, distribution.choices)


def _is_searched(name: str, published: Mapping[str, PublishedHyperparameter]) -> bool:
    """Whether a search varies it that is not told what to vary."""
    hp = published.get(name)
    return varies_first(name, published) if hp is None else hp.searched


def _distribution(
    name: str, hp: PublishedHyperparameter | None, asked: Any
) -> BaseDistribution | None:
    """The distribution of one hyperparameter; ``None`` if it is not searched."""
    value = None if hp is None else hp.value
    scale: Scale = canonical(name).scale if hp is None else hp.scale
    if asked is not None and not _is_range(asked):
        return _choices(name, asked)
    if scale == "categorical":
        choices = None if hp is None else hp.choices
        return CategoricalDistribution(choices) if choices else None
    if scale == "fixed" or isinstance(value, (tuple, list)):
        return None
    ends = asked or (
        default_range(name, None)
        if hp is None
        else (None if hp.low is None or hp.high is None else (hp.low, hp.high))
    )
    if ends is None:
        return None
    low, high = ends
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise SearchSpaceError(
            f"The range of {name} is empty or endless: low {low!r}, high {high!r}. "
            f"Give two finite numbers, the smaller one first."
        )
    if name == "batch_size":
        return _batch_sizes(low, high, value)
    log = scale == "log" and low > 0
    if isinstance(value, int) or (value is None and canonical(name).whole):
        return _integers(name, low, high, log)
    return FloatDistribution(float(low), float(high), log=log)


def _choices(name: str, asked: Any) -> BaseDistribution:
    """The choices that the user named."""
    if isinstance(asked, str) or not isinstance(asked, Collection) or not asked:
        raise SearchSpaceError(
            f"ranges has {asked!r} for {name}; give (low, high) for a number, or a "
            f"list of choices."
        )
    return CategoricalDistribution(list(asked))


def _integers(name: str, low: float, high: float, log: bool) -> BaseDistribution:
    if math.ceil(low) > math.floor(high):
        raise SearchSpaceError(
            f"No whole number lies between {low!r} and {high!r}, but {name} is one. "
            f"Widen the range."
        )
    return IntDistribution(math.ceil(low), math.floor(high), log=log)


def _batch_sizes(low: float, high: float, value: int | None) -> BaseDistribution:
    """Powers of two, and the published size if it is none of them."""
    sizes = set(powers_of_two(low, high))
    if value is not None and low <= value <= high:
        sizes.add(value)
    if not sizes:
        raise SearchSpaceError(
            f"No power of two lies between the batch sizes {low} and {high}. "
            f"Widen the range, or name the sizes: ranges={{'batch_size': [48, 96]}}."
        )
    return CategoricalDistribution(sorted(sizes))


def _refuse_unknown(
    given: Iterable[str], known: Collection[str], extra: Iterable[str]
) -> None:
    for name in given:
        # `fixed` may add what the objective needs and no recipe knows.
        if name not in known and name not in extra:
            close = difflib.get_close_matches(name, known, n=2)
            hint = f"Did you mean {' or '.join(close)}?" if close else ""
            raise SearchSpaceError(
                f"The recipe has no hyperparameter {name!r}. "
                f"{hint or 'It has: ' + ', '.join(known) + '.'}"
            )


def _not_searchable(name: str, hp: PublishedHyperparameter | None) -> str:
    if hp is None:
        return (
            f"{name} is undisclosed and has no usual range. "
            f"Give one: ranges={{{name!r}: (low, high)}}."
        )
    return (
        f"{name} is published as {_plain(hp.value)!r} and is not searched. "
        f"Leave it out of only= and ranges=, or set it with fixed=."
    )


def _is_range(asked: Any) -> bool:
    return isinstance(asked, tuple) and len(asked) == 2 and all(map(is_number, asked))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
