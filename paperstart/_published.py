"""Where does the search start?

The published points, and what becomes of a published value inside the distribution that
an objective asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from paperstart._history import index_of
from paperstart.errors import SearchSpaceError
from paperstart.recipe import Recipe
from paperstart.space import axis_of

Point = dict[str, Any]


def published_points(
    recipe: Recipe | None,
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
    if isinstance(given, str) or not all(isinstance(p, Mapping) for p in given):
        raise SearchSpaceError(
            f"published is {published!r}; give a mapping of names to values, or a list "
            f"of such mappings: published={{'lr': 0.1}}."
        )
    return points + [dict(point) for point in given]


def value_inside(
    name: str, value: Any, distribution: BaseDistribution
) -> tuple[Any, str | None]:
    """A published value as the distribution can have it.

    Args:
        name: the hyperparameter's canonical name.
        value: as published; ``None`` or a list has no counterpart.
        distribution: what the objective asks for.

    Returns:
        The value, or ``None`` if the distribution has none like it; and what a user
        should know if it is not the published one.
    """
    if value is None or isinstance(value, (list, tuple)):
        return None, None
    if isinstance(distribution, CategoricalDistribution):
        index = index_of(distribution, value)
        if index is not None:
            return distribution.choices[index], None
        return None, (
            f"The published {name} {value!r} is none of the choices "
            f"{distribution.choices}; the search starts without it. "
            f"Add it to the choices to try it."
        )
    if isinstance(value, (bool, str)):
        return None, (
            f"The published {name} is {value!r}, but the objective asks for a number; "
            f"the search starts without it."
        )
    axis = axis_of(name, distribution)
    assert axis is not None  # numbers always have one
    inside = axis.snap(value)
    if inside == value:
        return inside, None
    return inside, (
        f"The published {name} {value!r} lies outside of what the objective asks for "
        f"({distribution}); the search starts at {inside!r}. "
        f"Widen the range to try the published value itself."
    )
