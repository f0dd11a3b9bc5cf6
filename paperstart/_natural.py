"""Which natural axis does one of Optuna's distributions have?"""

from __future__ import annotations

import itertools
from typing import TypeGuard

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from paperstart._axis import Axis
from paperstart._scales import Scale


def axis_of(distribution: BaseDistribution, scale: Scale) -> Axis | None:
    """The natural axis of a distribution, or ``None`` if its choices have no order.

    The hyperparameter's scale comes first, whatever the distribution says: a linear
    ``momentum`` is still an axis in log of 1 - x. Where it is linear, or outside of
    where its logarithm exists, the distribution's own scale holds. Choices that are
    growing numbers (batch sizes) are an ordered axis, one step each.
    """
    if isinstance(distribution, CategoricalDistribution):
        if not has_order(distribution):
            return None
        return Axis(0, len(distribution.choices) - 1, step=1, whole=True)
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    low, high = distribution.low, distribution.high
    exists = {"log": low >= 0 and high > 0, "log1m": high <= 1 and low < 1}
    own = "log" if distribution.log else "linear"
    whole = isinstance(distribution, IntDistribution)
    kept = scale if exists.get(scale, False) else own
    return Axis(low, high, kept, distribution.step, whole)


def has_order(distribution: CategoricalDistribution) -> bool:
    """Whether the choices are at least three growing numbers."""
    numbers = [c for c in distribution.choices if is_number(c)]
    if len(numbers) < len(distribution.choices) or len(numbers) < 3:
        return False
    return all(float(a) < float(b) for a, b in itertools.pairwise(numbers))


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number; Python counts truth values among them."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
