"""How far do the running statistics trail behind, once the noise is taken away?

The distance of one batch from the running statistics is part noise, which is harmless,
and part lag, which evaluation pays for. An average over logged steps keeps the lag and
shrinks the noise, by a factor that its weights tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paperstart._bn_snapshot import Array

MEMORY = 0.2
"""Weight of the newest logged step, so that about the last nine count. Our choice."""
FEWEST = 3
"""Logged steps before there is anything to say."""


@dataclass(frozen=True)
class Drift:
    """Moving averages over logged steps of one distance, in sigmas.

    Attributes:
        average: of the distance, shape (channels,).
        square: of its square's mean over the layer, shape (layers,).
        weights2: sum of the squared weights of what was averaged, shape (layers,).
        seen: logged steps averaged, shape (layers,).
    """

    average: Array
    square: Array
    weights2: Array
    seen: Array

    def lag(self, mean: Callable[[Array], Array]) -> Array:
        """RMS over channels of the distance without its noise, shape (layers,).

        With weights w, the square of the average is expected to be lag^2 +
        noise^2 sum(w^2), and the average of the squares lag^2 + noise^2.
        """
        of_average = mean(self.average.astype(float) ** 2)
        noise2 = (self.square - of_average) / (1 - self.weights2)
        lag2 = np.maximum(of_average - self.weights2 * np.maximum(noise2, 0), 0)
        return np.where(self.seen >= FEWEST, np.sqrt(lag2), np.nan)


def start_drift(channels: int, layers: int) -> Drift:
    """Nothing averaged yet."""
    none = np.zeros(layers)
    return Drift(np.zeros(channels, np.float32), none, none, none)


def next_drift(
    drift: Drift,
    distance: Array,
    mean: Callable[[Array], Array],
    sizes: npt.NDArray[np.int64],
    anew: npt.NDArray[np.bool_],
) -> Drift:
    """The averages with one more step; a layer with NaN in it keeps what it has.

    Args:
        drift: the averages so far.
        distance: the step's, shape (channels,).
        mean: over each layer's channels.
        sizes: channels of each layer.
        anew: layers whose averages begin with this step, shape (layers,).
    """
    square = mean(distance**2)
    counts = np.isfinite(square)
    seen = np.where(anew, 0, drift.seen) + counts
    # A plain average at first: each step weighs the same until nine were seen.
    weight = np.where(counts, np.maximum(MEMORY, 1 / np.maximum(seen, 1)), 0.0)
    by_channel = np.repeat(weight, sizes)
    known = np.where(by_channel > 0, distance, 0)
    return Drift(
        average=(drift.average + by_channel * (known - drift.average)).astype(
            np.float32
        ),
        square=drift.square + weight * (np.where(counts, square, 0) - drift.square),
        weights2=(1 - weight) ** 2 * drift.weights2 + weight**2,
        seen=seen,
    )
