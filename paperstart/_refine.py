"""Where is the region, when does it shrink, grow, move?

Pure arithmetic on the unit interval: it knows numbers, not Optuna. A search is a coarse
round around the published point, then rounds whose region follows the best trial so
far: it shrinks while the best lies well inside, grows when the best lies at its edge,
and moves with the best. The constants are our own choice, marked as such.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

COARSE_TRIALS = 6
"""Trials of the coarse round, published points included (our choice)."""
ROUND_TRIALS = 4
"""Trials between two updates of the region (our choice)."""
FULL_SHARE = 0.2
"""Share of draws from the full range, in every round (our choice)."""
COARSE_LENGTH = 0.6
"""Length of the coarse region around a published value (our choice)."""
SHRINK = 0.6
GROW = 1.6  # a little less than undoing a shrink: 0.6 * 1.6 = 0.96
SHORTEST = 0.05
EDGE = 0.1
"""How near the region's end, as a share of its length, counts as its edge."""


@dataclass(frozen=True)
class Region:
    """A part of the unit interval.

    Attributes:
        center: its middle, in [0, 1].
        length: its length, in (0, 1].
    """

    center: float
    length: float

    def box(self) -> tuple[float, float]:
        """Its ends, moved inside [0, 1] without losing length; the center stays in."""
        low = min(max(self.center - self.length / 2, 0.0), 1.0 - self.length)
        return low, low + self.length

    def place(self, share: float) -> float:
        """The place at ``share`` in [0, 1] of the way through the region."""
        low, high = self.box()
        return low + share * (high - low)


FULL = Region(0.5, 1.0)


@dataclass(frozen=True)
class Observation:
    """One finished trial.

    Attributes:
        loss: lower is better; infinite if the trial gave no value.
        point: the place of each hyperparameter on its natural scale, in [0, 1].
    """

    loss: float
    point: Mapping[str, float] = field(default_factory=dict)


def round_number(
    finished: int, coarse_trials: int = COARSE_TRIALS, round_trials: int = ROUND_TRIALS
) -> int:
    """The round, from 1, in which the trial after ``finished`` others is drawn."""
    return 1 + max(0, finished - coarse_trials + round_trials) // round_trials


def coarse_region(published: float | None) -> Region:
    """The region of round 1: around the published place, or everywhere."""
    return FULL if published is None else Region(published, COARSE_LENGTH)


def region_at(
    name: str,
    history: Sequence[Observation],
    published: float | None,
    coarse_trials: int = COARSE_TRIALS,
    round_trials: int = ROUND_TRIALS,
) -> Region:
    """The region of one hyperparameter after the trials of ``history``.

    Args:
        name: the hyperparameter.
        history: finished trials in the order in which they finished.
        published: its published place in [0, 1], or ``None``.
        coarse_trials: length of the first round.
        round_trials: length of each later round.
    """
    region = coarse_region(published)
    end = coarse_trials
    while end <= len(history):
        best = _best_place(name, history[:end])
        if best is not None:
            region = updated(region, best)
        end += round_trials
    return region


def updated(region: Region, best: float) -> Region:
    """The next round's region: around ``best``; shorter, or longer if at the edge."""
    length = region.length * (GROW if _at_edge(region, best) else SHRINK)
    return Region(best, min(max(length, SHORTEST), 1.0))


def choice_weights(
    counts: Sequence[int], published: int | None, rounds: int
) -> list[float]:
    """How likely each unordered choice is, not normalized.

    Args:
        counts: how often each choice stands among the best third of the trials.
        published: index of the published choice, or ``None``.
        rounds: rounds that are over; evidence counts more with each.

    Every choice keeps a weight of 1, so that none is lost for good.
    """
    weights = [1.0 + rounds * count for count in counts]
    if published is not None and rounds == 0:
        weights[published] += len(weights)
    return weights


def best_third(losses: Sequence[float]) -> list[int]:
    """Indices of the best third of the trials that gave a value."""
    valued = [i for i, loss in enumerate(losses) if math.isfinite(loss)]
    valued.sort(key=lambda i: (losses[i], i))
    return valued[: math.ceil(len(valued) / 3)]


def _best_place(name: str, history: Sequence[Observation]) -> float | None:
    known = [seen for seen in history if name in seen.point]
    best = min(known, key=lambda seen: seen.loss, default=None)
    if best is None or not math.isfinite(best.loss):
        return None
    return best.point[name]


def _at_edge(region: Region, best: float) -> bool:
    """Whether ``best`` lies at an end beyond which there is more, or outside."""
    low, high = region.box()
    margin = EDGE * region.length
    return (low > 0 and best < low + margin) or (high < 1 and best > high - margin)
