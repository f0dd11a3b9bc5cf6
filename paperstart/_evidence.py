"""What have the trials of a study shown about a joint search space?

Collects finished trials as points with losses, each read once, and hands over those
that matter: the best, and the latest. What a trial would have reached that was stopped
early is estimated from how the finished ones went on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]

MOST = 40
"""The most trials that the model is fitted to; more cost time and tell little."""
BEST = 28
"""How many of them are the best ones; the others are the latest."""
CURVES = 16
"""From so many of the best finished trials one learns how a training goes on."""
CLIP = 3.0
"""A loss counts at most so many times as bad as the third quarter of the trials."""
STOPPED_DOUBT = 0.05
"""Least variance of what a stopped trial would have reached (our choice)."""
FAILED_DOUBT = 1.0
"""A failure may be the machine's: it counts as an average trial, and little."""


@dataclass(frozen=True)
class Result:
    """What one finished trial says.

    Attributes:
        point: its point in the cube, or ``None`` if it has none.
        loss: lower is better; infinite if it failed or was stopped early.
        curve: losses by step, as far as it was reported.
        stopped: whether it was stopped early.
        refused: whether it went through and broke a constraint.
    """

    point: Array | None
    loss: float
    curve: Mapping[int, float] = field(default_factory=dict)
    stopped: bool = False
    refused: bool = False


@dataclass(frozen=True)
class Data:
    """What the model is fitted to.

    Attributes:
        points: shape (trials, names).
        losses: standardized, shape (trials,).
        doubt: variance of each beyond the noise, shape (trials,).
    """

    points: Array
    losses: Array
    doubt: Array


class Evidence:
    """All finished trials of one search space, in the order of finishing."""

    def __init__(self) -> None:
        self._done: list[Result] = []
        self._stopped: list[Result] = []
        self._failed: list[Result] = []
        self._order: list[float] = []  # losses of those done, for the best of them

    def add(self, seen: Result, /) -> None:
        """One more finished trial."""
        if seen.point is None:
            return
        if np.isfinite(seen.loss):
            self._done.append(seen)
            self._order.append(seen.loss)
        elif seen.stopped and seen.curve:
            self._stopped.append(seen)
        else:
            self._failed.append(seen)

    @property
    def known(self) -> int:
        """How many trials have a loss, be it an estimated one."""
        return len(self._done) + (len(self._stopped) if self._done else 0)

    def data(self) -> Data:
        """The trials that matter; there is at least one with a loss."""
        done = [self._done[i] for i in _matter(np.array(self._order))]
        stopped = self._stopped[-MOST:]
        best = sorted(done, key=lambda result: result.loss)[:CURVES]
        reached = [_estimate(result, best) for result in stopped]
        failed = self._failed[-(MOST // 4) :]
        losses = np.array([r.loss for r in done] + [loss for loss, _ in reached])
        clipped = np.minimum(losses, _worst(losses))
        center, spread = clipped.mean(), clipped.std() or 1.0
        doubt = [v / spread**2 + STOPPED_DOUBT for _, v in reached]
        kept = _matter(losses)
        points = np.array([r.point for r in [*done, *stopped]])[kept]
        values = ((clipped - center) / spread)[kept]
        doubts = np.array([0.0] * len(done) + doubt)[kept]
        if failed:
            refused = np.array([result.refused for result in failed])
            usual, worst = np.median(values), values.max()
            points = np.vstack([points, [result.point for result in failed]])
            values = np.append(values, np.where(refused, worst, usual))
            doubts = np.append(doubts, np.where(refused, 0.0, FAILED_DOUBT))
        return Data(points, values, doubts)


def _matter(losses: Array) -> npt.NDArray[np.int64]:
    """The best and the latest of many trials, in the order of finishing."""
    if len(losses) <= MOST:
        return np.arange(len(losses))
    latest = np.arange(len(losses) - (MOST - BEST), len(losses))
    early = losses[: latest[0]]
    best = np.argpartition(early, BEST)[:BEST]
    return np.concatenate([np.sort(best), latest])


def _worst(losses: Array) -> float:
    """The loss above which worse is no news."""
    ordered = np.sort(losses)
    usual = ordered[min(len(ordered) - 1, max(1, -(-3 * len(ordered) // 4) - 1))]
    return float(ordered[0] + CLIP * max(usual - ordered[0], 1e-12))


def _estimate(stopped: Result, done: Sequence[Result]) -> tuple[float, float]:
    """The loss that a stopped trial would have reached, and its variance."""
    step = max(stopped.curve)
    now = stopped.curve[step]
    later = [r.loss - r.curve[step] for r in done if step in r.curve]
    if not later:
        return now, 0.0
    return now + float(np.median(later)), float(np.var(later))
