"""What do the study's trials say about one hyperparameter?

Where Optuna's trials meet the refinement's numbers: the region, the weights of choices,
and the values that are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from paperstart._axis import Axis
from paperstart._cube import ends_of
from paperstart._draw import Cells
from paperstart._history import Draw, History, index_of, loss_of, point_of
from paperstart._natural import axis_of
from paperstart._published import Start
from paperstart._refine import (
    FULL,
    Observation,
    Plan,
    Region,
    RegionFold,
    WeightsFold,
)

# What is not published has no place of its own in a published trial: the middle half
# of its range does the least harm to the published values.
MIDDLE = Region(0.5, 0.5)
HEDGE = Region(0.5, 0.4)
"""Where the second trial looks, in case the paper does not fit (our choice)."""


@dataclass(frozen=True)
class Column:
    """One hyperparameter of a study's trials, as one distribution has it."""

    name: str
    distribution: BaseDistribution
    study: Study
    history: History
    start: Start
    plan: Plan

    @property
    def axis(self) -> Axis | None:
        """The natural axis, or ``None`` for choices without an order."""
        return axis_of(self.distribution, self.start.scale(self.name))

    def region(self, draw: Draw) -> Region:
        """Where the value of a draw comes from."""
        if draw.kind == "full":
            return FULL
        if draw.kind == "published":
            return MIDDLE
        if draw.hedge:
            return self._elsewhere()

        def make() -> RegionFold:
            return RegionFold(self._published(), self.plan)

        fold = self.history.fold(self._key("region"), make, self._see)
        return fold.at(draw.finished)

    def ends(self, region: Region) -> list[float]:
        """The ends of a region in the hyperparameter's own unit."""
        assert self.axis is not None
        return ends_of(region, self.axis, self.distribution)

    def weights(self, draw: Draw) -> Sequence[float]:
        """How likely a draw takes each of the choices."""
        assert isinstance(self.distribution, CategoricalDistribution)
        choices = len(self.distribution.choices)
        if draw.kind in ("full", "published") or draw.hedge:
            return [1.0] * choices

        def make() -> WeightsFold:
            return WeightsFold(choices, self._published(), self.plan)

        fold = self.history.fold(self._key("weights"), make, self._see)
        return fold.at(draw.finished)

    def cells(self, trial: FrozenTrial) -> tuple[set[int], set[int]]:
        """The values that finished trials had, and those of others in flight.

        By their numbers on the axis; none for a continuous one.
        """
        if self.axis is None or self.axis.cells is None:
            return set(), set()
        self.history.read(self.study)  # others may have drawn since
        finished = self.history.fold(self._key("cells"), Cells, self._cell)
        others = (t for t in self.history.running if t.number != trial.number)
        in_flight = {self._cell(other) for other in others}
        return finished.taken, {cell for cell in in_flight if cell is not None}

    def _elsewhere(self) -> Region:
        """The middle of the range, where a user expects the best; or everywhere.

        The latter if it is there that the paper points, too.
        """
        known = [place for place in self._published() if place is not None]
        near = any(abs(place - 0.5) < HEDGE.length / 2 for place in known)
        return FULL if near else HEDGE

    def _published(self) -> list[float | None]:
        values = self.start.values(self.name, self.distribution)
        return [self._place(value) for value in values]

    def _see(self, trial: FrozenTrial) -> Observation:
        place = self._place(trial.params.get(self.name))
        return Observation(loss_of(self.study, trial), place, point_of(trial))

    def _place(self, value: Any) -> float | None:
        """The place on the axis, or the index of a choice."""
        number, axis = self._number(value), self.axis
        return number if number is None or axis is None else axis.to_unit(number)

    def _cell(self, trial: FrozenTrial) -> int | None:
        number, axis = self._number(trial.params.get(self.name)), self.axis
        return None if number is None or axis is None else axis.cell(number)

    def _number(self, value: Any) -> float | None:
        """A number for what the trial has; ``None`` if the distribution has none."""
        if isinstance(self.distribution, CategoricalDistribution):
            return index_of(self.distribution, value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None  # the trial lacks it, or it was a categorical one then
        return value

    def _key(self, what: str) -> tuple[str, str, str]:
        return what, self.name, repr(self.distribution)
