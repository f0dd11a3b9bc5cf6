"""Where does a value lie between 0 and 1 on its natural scale, and back?

Plain arithmetic without Optuna: the one place where log, log of 1 - x, steps and whole
numbers are turned into the unit interval in which regions live.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# A log scale that starts at zero has no lower end. We let it start four decades below
# its upper end (our choice): less than a ten-thousandth of the largest value is zero
# for every hyperparameter of the catalog.
FLOOR = 1e-4


@dataclass(frozen=True)
class Axis:
    """One hyperparameter's range on its natural scale.

    Attributes:
        low: smallest value.
        high: largest value.
        scale: ``linear``, ``log`` or ``log1m`` (log of 1 - x).
        step: distance between neighbors, or ``None`` for a continuous range.
        whole: whether values are whole numbers.
    """

    low: float
    high: float
    scale: str = "linear"
    step: float | None = None
    whole: bool = False

    @property
    def cells(self) -> int | None:
        """How many values there are; ``None`` for a continuous range."""
        if self.step is None:
            return None
        # Optuna's ends lie on the step; what rounding took must not cost the last one.
        return math.floor((self.high - self.low) / self.step + 1e-6) + 1

    @property
    def width(self) -> float:
        """How far the ends lie apart on the scale: in factors of e, unless linear."""
        start, stop = self._ends()
        return stop - start

    def to_unit(self, value: float) -> float:
        """The place of ``value`` in [0, 1]; what lies outside goes to the end."""
        start, stop = self._ends()
        if stop == start:
            return 0.5
        place = (self._bend(value) - start) / (stop - start)
        return min(max(place, 0.0), 1.0)

    def from_unit(self, place: float) -> float:
        """The value at ``place`` in [0, 1]: inside the range and on the step."""
        start, stop = self._ends()
        share = min(max(place, 0.0), 1.0)
        return self.snap(self._unbend(start * (1.0 - share) + stop * share))

    def snap(self, value: float) -> float:
        """The nearest value that the range has."""
        value = min(max(value, self.low), self.high)
        if self.step is not None:
            return self.at_cell(self._steps(value))
        return round(value) if self.whole else float(value)

    def cell(self, value: float) -> int | None:
        """The number, from 0, of a value on the step; ``None`` if it is no such."""
        if self.step is None or not self.low <= value <= self.high:
            return None
        nth = self._steps(value)
        # A millionth of a step is what adding steps up may lose.
        near = abs(self.low + nth * self.step - value) <= self.step * 1e-6
        return nth if near else None

    def at_cell(self, nth: int) -> float:
        """The value of number ``nth``, from 0."""
        assert self.step is not None
        value = min(self.low + nth * self.step, self.high)
        return round(value) if self.whole else float(value)

    def _steps(self, value: float) -> int:
        assert self.step is not None
        assert self.cells is not None
        return min(math.floor((value - self.low) / self.step + 0.5), self.cells - 1)

    def _ends(self) -> tuple[float, float]:
        """The bent ends; half a step wider, so that each step has an equal share."""
        half = (self.step or 0.0) / 2
        return self._bend(self.low - half), self._bend(self.high + half)

    def _bend(self, value: float) -> float:
        if self.scale == "log":
            return math.log(max(value, self._floor(self.low, self.high)))
        if self.scale == "log1m":
            rest = 1.0 - value
            return -math.log(max(rest, self._floor(1.0 - self.high, 1.0 - self.low)))
        return value

    def _unbend(self, bent: float) -> float:
        if self.scale == "log":
            return math.exp(bent)
        if self.scale == "log1m":
            return 1.0 - math.exp(-bent)
        return bent

    def _floor(self, low: float, high: float) -> float:
        """The smallest magnitude that still has a logarithm worth a place."""
        if low > 0:
            return low if self.step is None else low - min(self.step, low) / 2
        return high * FLOOR if self.step is None else self.step / 4
