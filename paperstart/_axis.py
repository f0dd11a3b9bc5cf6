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
        return math.floor((self.high - self.low) / self.step + 0.5) + 1

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
        value = self._unbend(start + min(max(place, 0.0), 1.0) * (stop - start))
        return self.snap(value)

    def snap(self, value: float) -> float:
        """The nearest value that the range has."""
        value = min(max(value, self.low), self.high)
        if self.step is not None:
            last = math.floor((self.high - self.low) / self.step + 1e-9)
            nth = min(max(math.floor((value - self.low) / self.step + 0.5), 0), last)
            value = min(self.low + nth * self.step, self.high)
        return round(value) if self.whole else float(value)

    def _ends(self) -> tuple[float, float]:
        """The bent ends; half a step wider, so that each step has an equal share."""
        half = (self.step or 0.0) / 2
        low, high = self.low - half, self.high + half
        if self.scale == "log1m":
            high = min(high, self.high)
        return self._bend(low), self._bend(high)

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
