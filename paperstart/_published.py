"""Where does the search start?

The published points, and what becomes of a published value inside the distribution that
an objective asks for.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
)
from optuna.trial import FrozenTrial

from paperstart._history import DRAW_ATTR, index_of, point_of
from paperstart._natural import axis_of, has_order
from paperstart._scales import CANONICAL, NUMERIC_SCALES, Scale, canonical
from paperstart.adapt import Adapted
from paperstart.errors import SearchSpaceError
from paperstart.recipe import Recipe

Point = dict[str, Any]
_FIXED = "fixed_params"
"""Where Optuna's ``enqueue_trial`` keeps the values that the user chose."""


class Start:
    """The published points, as an objective's hyperparameters meet them.

    Args:
        recipe: the first point, as published or adapted.
        published: further points.
        names: canonical names of hyperparameters that go by another name.

    Raises:
        SearchSpaceError: ``published`` or ``names`` is not of the form above.
    """

    def __init__(
        self,
        recipe: Recipe | Adapted[Recipe] | None,
        published: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
        names: Mapping[str, str] | None,
    ) -> None:
        self.points = published_points(recipe, published)
        hyperparameters = {} if recipe is None else recipe.hyperparameters
        self._scales = {
            name: hp.scale
            for name, hp in hyperparameters.items()
            if hp.scale in NUMERIC_SCALES
        }
        self._names = dict(names or {})
        _refuse_unknown(self._names, {n for point in self.points for n in point})
        self._warned: set[tuple[str, int]] = set()

    def canonical(self, name: str) -> str:
        """The canonical name of a hyperparameter."""
        return self._names.get(name, name)

    def scale(self, name: str) -> Scale:
        """The scale of a hyperparameter: the recipe's, else that of its name."""
        known = self.canonical(name)
        return self._scales.get(known, canonical(known).scale)

    def value(self, name: str, distribution: BaseDistribution, point: int) -> Any:
        """A point's value inside the distribution, or ``None``; warns once of each."""
        known, other = self.points[point], self.canonical(name)
        published = known.get(name, known.get(other))
        value, remark = value_inside(other, published, distribution, self.scale(name))
        if remark is not None and (name, point) not in self._warned:
            self._warned.add((name, point))
            warnings.warn(remark, UserWarning, stacklevel=2)
        return value

    def values(self, name: str, distribution: BaseDistribution) -> list[Any]:
        """The values of all points; ``None`` for a point that has none."""
        return [self.value(name, distribution, k) for k in range(len(self.points))]

    def open_point(
        self,
        number: int,
        tried: Iterable[FrozenTrial],
        running: Iterable[FrozenTrial],
    ) -> int | None:
        """The published point that is left for trial ``number`` to try.

        Trial k tries point k, if every trial is the sampler's own. One that the user
        enqueued, or that was run before there was a sampler, tries none; one that was
        interrupted leaves its point to the next. All workers agree, since only trials
        with lower numbers count.

        Args:
            number: the trial's number.
            tried: finished trials that tried a published point.
            running: trials in flight, by number.
        """
        done = {point_of(other) for other in tried if other.number < number}
        left = [point for point in range(len(self.points)) if point not in done]
        for other in running:
            if other.number < number and left and not is_enqueued(other):
                said = DRAW_ATTR in other.user_attrs
                # A worker that has not said yet what it tries takes the next one.
                point = point_of(other) if said else left[0]
                left = [open_point for open_point in left if open_point != point]
        return left[0] if left else None

    def warn_if_unmatched(self, params: Collection[str], point: int) -> None:
        """Say so, once, if a point has nothing to do with a trial that tried it."""
        known = self.points[point]
        found = any(n in known or self.canonical(n) in known for n in params)
        if found or not known or not params or ("", 0) in self._warned:
            return
        self._warned.add(("", 0))
        warnings.warn(
            f"None of the trial's hyperparameters ({', '.join(params)}) has a "
            f"published value ({', '.join(known)}), so the search started blindly. "
            f"Pass names={{'your_name': 'published_name'}}.",
            UserWarning,
            stacklevel=2,
        )


def is_enqueued(trial: FrozenTrial) -> bool:
    """Whether the user chose the trial's values, with ``study.enqueue_trial``."""
    return _FIXED in trial.system_attrs


def published_points(
    recipe: Recipe | Adapted[Recipe] | None,
    published: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
) -> list[Point]:
    """The recipe's point, then the further ones, in the order of their trials.

    Raises:
        SearchSpaceError: ``published`` is neither a mapping nor a list of mappings.
    """
    points = [] if recipe is None else [recipe.published]
    if published is None:
        return points
    given = [published] if isinstance(published, Mapping) else published
    if not isinstance(given, (list, tuple)) or not all(
        isinstance(point, Mapping) for point in given
    ):
        raise SearchSpaceError(
            f"published is {published!r}; give a mapping of names to values, or a list "
            f"of such mappings: published={{'lr': 0.1}}."
        )
    return points + [dict(point) for point in given]


def value_inside(
    name: str, value: Any, distribution: BaseDistribution, scale: Scale
) -> tuple[Any, str | None]:
    """A published value as the distribution can have it.

    Args:
        name: the hyperparameter's canonical name.
        value: as published; ``None`` or a list has no counterpart.
        distribution: what the objective asks for.
        scale: the hyperparameter's.

    Returns:
        The value, or ``None`` if the distribution has none like it; and what a user
        should know if it is not the published one.
    """
    if value is None or isinstance(value, (list, tuple)):
        return None, None
    if isinstance(distribution, CategoricalDistribution):
        return _choice_inside(name, value, distribution, scale)
    if not _is_number(value):
        return None, (
            f"The published {name} is {value!r}, but the objective asks for a number; "
            f"the search starts without it."
        )
    axis = axis_of(distribution, scale)
    assert axis is not None  # numbers always have one
    inside = axis.snap(value)
    if inside == value:
        return inside, None
    return inside, (
        f"The published {name} {value!r} lies outside of what the objective asks for "
        f"({distribution}); the search starts at {inside!r}. "
        f"Widen the range to try the published value itself."
    )


def _choice_inside(
    name: str, value: Any, distribution: CategoricalDistribution, scale: Scale
) -> tuple[Any, str | None]:
    choices: tuple[Any, ...] = distribution.choices
    index = index_of(distribution, value)
    if index is not None:
        return choices[index], None
    told = f"The published {name} {value!r} is none of the choices {choices}; "
    todo = "Add it to the choices to try it."
    if not _is_number(value) or not has_order(distribution):
        return None, f"{told}the search starts without it. {todo}"
    axis = axis_of(FloatDistribution(choices[0], choices[-1]), scale)
    assert axis is not None  # numbers always have one
    places = [axis.to_unit(choice) for choice in choices]
    aim = axis.to_unit(value)
    near = min(range(len(choices)), key=lambda nth: abs(places[nth] - aim))
    return choices[near], f"{told}the search starts at {choices[near]!r}. {todo}"


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and value == value and not isinstance(value, bool)


def _refuse_unknown(names: Mapping[str, str], published: Iterable[str]) -> None:
    known = sorted({*CANONICAL, *published})
    for name, other in names.items():
        if other not in known:
            close = difflib.get_close_matches(str(other), known, n=2)
            hint = f"Did you mean {' or '.join(close)}?" if close else ""
            raise SearchSpaceError(
                f"names maps {name!r} to {other!r}, which is neither published nor "
                f"a canonical name. {hint or 'Known are: ' + ', '.join(known) + '.'}"
            )
