"""How do a study's hyperparameters become a row of numbers for the model, and back?

Each hyperparameter with an order is one coordinate in [0, 1] on its natural scale; each
without one is the index of its choice. The model also sees what experts look at: the
learning rate that a weight effectively feels.

Source: Smith & Le 2018 (arXiv:1710.06451, section 5): the noise of SGD, which decides
where it ends, goes with rate / (batch size (1 - momentum)).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution

from paperstart._axis import Axis
from paperstart._history import index_of
from paperstart._natural import axis_of
from paperstart._refine import Region
from paperstart._scales import Scale

Array = npt.NDArray[np.floating[Any]]

_SNAPPED = 512
"""Of more steps than this an axis counts as continuous until a value is made."""


class Cube:
    """A joint search space as a unit cube.

    Args:
        space: distributions by name; none of a single value.
        scale: the natural scale of a name.
        canonical: the canonical name of a name.
    """

    def __init__(
        self,
        space: Mapping[str, BaseDistribution],
        scale: Callable[[str], Scale],
        canonical: Callable[[str], str],
    ) -> None:
        self.names = list(space)
        self.key = tuple((name, repr(d)) for name, d in space.items())
        self.space = dict(space)
        self._distributions = list(space.values())
        self.axes = [axis_of(d, scale(name)) for name, d in space.items()]
        self._choices = [
            0 if axis is not None else _count(distribution)
            for axis, distribution in zip(self.axes, self._distributions, strict=True)
        ]
        self.unordered = np.array([axis is None for axis in self.axes])
        self._steps = [_places(axis) for axis in self.axes]
        self.is_finite = all(
            axis is None or axis.cells is not None for axis in self.axes
        )
        known = {canonical(name): i for i, name in enumerate(space)}
        self._effective = _effective_rate(known, self.axes, self._distributions)
        self.group = self._groups()

    def row(self, params: Mapping[str, Any]) -> Array | None:
        """The point of a trial's values; ``None`` if one is missing or of no use."""
        places = []
        for name, distribution, axis in zip(
            self.names, self._distributions, self.axes, strict=True
        ):
            value = params.get(name)
            if isinstance(distribution, CategoricalDistribution):
                value = None if value is None else index_of(distribution, value)
            elif isinstance(value, bool) or not isinstance(value, (int, float)):
                value = None
            if value is None:
                return None
            places.append(value if axis is None else axis.to_unit(value))
        return np.array(places, float)

    def values(self, point: Array) -> dict[str, Any]:
        """The values at a point."""
        return {
            name: _value(distribution, axis, place)
            for name, distribution, axis, place in zip(
                self.names, self._distributions, self.axes, point.tolist(), strict=True
            )
        }

    def ends(self, regions: Sequence[Region]) -> dict[str, list[float]]:
        """The ends of each region in its own unit; none for choices without order."""
        return {
            name: ends_of(region, axis, distribution)
            for name, region, axis, distribution in zip(
                self.names, regions, self.axes, self._distributions, strict=True
            )
            if axis is not None
        }

    def is_inside(self, point: Array, regions: Sequence[Region]) -> bool:
        """Whether a point lies in every region; choices lie everywhere."""
        boxes = [region.box() for region in regions]
        return all(
            axis is None or low <= place <= high
            for place, (low, high), axis in zip(point, boxes, self.axes, strict=True)
        )

    def random(self, rng: np.random.Generator, count: int) -> Array:
        """Points from everywhere, shape (count, names)."""
        points = rng.random((count, len(self.names)))
        for i in np.flatnonzero(self.unordered):
            points[:, i] = rng.integers(self._choices[i], size=count)
        return points

    def snapped(self, points: Array) -> Array:
        """The points at the nearest values that the hyperparameters have."""
        points = np.clip(points, 0.0, None)
        for i, places in enumerate(self._steps):
            if places is not None:
                middle = (places[1:] + places[:-1]) / 2
                points[:, i] = places[np.searchsorted(middle, points[:, i])]
            elif self.axes[i] is not None:
                points[:, i] = np.minimum(points[:, i], 1.0)
        return points

    def columns(self, points: Array) -> Array:
        """Points as the model sees them, shape (points, columns)."""
        parts = [points[:, ~self.unordered], points @ self._effective]
        for i in np.flatnonzero(self.unordered):
            # Two different choices lie 1 apart.
            chosen = points[:, i, None] == np.arange(self._choices[i])
            parts.append(chosen / np.sqrt(2.0))
        return np.concatenate(parts, axis=1)

    def _groups(self) -> npt.NDArray[np.int64]:
        """Which length scale each of the columns has."""
        alone = int((~self.unordered).sum()) + self._effective.shape[1]
        groups = list(range(alone))
        for n, i in enumerate(np.flatnonzero(self.unordered)):
            groups += [alone + n] * self._choices[i]
        return np.array(groups)


def _effective_rate(
    known: Mapping[str, int],
    axes: Sequence[Axis | None],
    distributions: Sequence[BaseDistribution],
) -> Array:
    """Weights of the coordinates whose sum is the log of rate / (batch (1 - momentum)).

    In units of the learning rate's own range; shape (names, 1), or (names, 0) where
    there is nothing to weigh the rate with.
    """
    weights = np.zeros((len(axes), 1))
    for name, scale, sign in (
        ("learning_rate", "log", 1.0),
        ("batch_size", "log", -1.0),
        ("momentum", "log1m", 1.0),
    ):
        i = known.get(name)
        if i is not None:
            weights[i] = sign * _width(axes[i], distributions[i], scale)
    rate = known.get("learning_rate")
    if rate is None or not weights[rate] or np.count_nonzero(weights) < 2:
        return weights[:, :0]
    return np.asarray(weights / weights[rate])


def _width(axis: Axis | None, distribution: BaseDistribution, scale: str) -> float:
    """How many factors of e a range has; 0 on another scale."""
    if axis is None:
        return 0.0
    if isinstance(distribution, CategoricalDistribution):
        # Growing numbers, as sizes of a batch are: about even on a log scale.
        first, last = (float(str(distribution.choices[i])) for i in (0, -1))
        return math.log(last / first) if scale == "log" and first > 0 else 0.0
    return axis.width if axis.scale == scale else 0.0


@functools.lru_cache(256)  # made for every suggestion, it would be half of its time
def _places(axis: Axis | None) -> Array | None:
    """Where an axis has its values, if they are few."""
    if axis is None or axis.cells is None or axis.cells > _SNAPPED:
        return None
    return np.array([axis.to_unit(axis.at_cell(n)) for n in range(axis.cells)])


def _count(distribution: BaseDistribution) -> int:
    assert isinstance(distribution, CategoricalDistribution)
    return len(distribution.choices)


def ends_of(region: Region, axis: Axis, distribution: BaseDistribution) -> list[float]:
    """The ends of a region in the hyperparameter's own unit."""
    ends = [_value(distribution, axis, place) for place in region.box()]
    return [float(end) for end in ends]


def _value(distribution: BaseDistribution, axis: Axis | None, place: float) -> Any:
    number = place if axis is None else axis.from_unit(place)
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(number)]
    return number
