"""What have the trials of a study shown about a joint search space?

Collects finished trials as points with losses, each read once, and hands over those
that matter: the best, and the latest. What a trial would have reached that was stopped
early is estimated from how the finished ones went on from there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]

MOST = 36
"""The most trials that the model is fitted to; more cost time and tell little."""
BEST = 24
"""How many of them are the best ones; the others are the latest."""
CURVES = 16
"""From so many of the best finished trials one learns how a training goes on."""
CLIP = 3.0
"""A loss counts at most so many times as bad as the third quarter of the trials."""
RUNGS = 3
"""So many of the best finished trials also say what they were at so many steps."""
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
    """What the model is fitted to: trials, then what some of them were on their way.

    Attributes:
        points: shape (rows, names).
        losses: standardized, of the whole training, shape (rows,).
        doubt: variance of each beyond the noise, shape (rows,).
        share: how far the training had come: 1 at its end, else the log of the step
            as a share of the log of the last, shape (rows,).
        trials: how many rows are trials.
    """

    points: Array
    losses: Array
    doubt: Array
    share: Array
    trials: int


@dataclass(frozen=True)
class _Row:
    point: Array
    loss: float
    share: float = 1.0


class Evidence:
    """All finished trials of one search space, in the order of finishing."""

    def __init__(self) -> None:
        self._done: list[Result] = []
        self._losses: list[float] = []  # of those done
        self._stopped: list[Result] = []
        self._failed: list[Result] = []

    def add(self, seen: Result, /) -> None:
        """One more finished trial."""
        if seen.point is None:
            return
        if np.isfinite(seen.loss):
            self._done.append(seen)
            self._losses.append(seen.loss)
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
        done = [self._done[i] for i in _that_matter(self._losses)]
        best = sorted(done, key=lambda result: result.loss)[:CURVES]
        rows = [_Row(_place(r), r.loss) for r in done]
        stopped = self._stopped[-2 * MOST :]
        going = _Going(best)
        rows += [going.row(r, max(r.curve)) for r in stopped]
        rows = [rows[i] for i in _that_matter([row.loss for row in rows])]
        trials = len(rows)
        rungs = sorted({max(r.curve) for r in stopped})[:RUNGS]
        rows += [
            going.row(r, at) for r in best[:RUNGS] for at in rungs if at in r.curve
        ]
        return self._with_failures(rows, trials)

    def _with_failures(self, rows: Sequence[_Row], trials: int) -> Data:
        """The rows standardized, and the failures among the trials."""
        losses = np.array([row.loss for row in rows])
        clipped = np.minimum(losses, _worst(losses[:trials]))
        spread = clipped[:trials].std() or 1.0
        values = (clipped - clipped[:trials].mean()) / spread
        failed = self._failed[-(MOST // 4) :]
        refused = np.array([result.refused for result in failed], bool)
        usual, worst = np.median(values[:trials]), values[:trials].max()
        points = [_place(r) for r in failed] + [row.point for row in rows]
        lost = np.where(refused, worst, usual)
        return Data(
            np.array(points),
            np.append(lost, values),
            np.append(np.where(refused, 0.0, FAILED_DOUBT), np.zeros(len(rows))),
            np.append(np.ones(len(failed)), [row.share for row in rows]),
            len(failed) + trials,
        )


class _Going:
    """How trainings go on from a step, as the best finished ones did."""

    def __init__(self, best: Sequence[Result]) -> None:
        self._best = best
        self._last = max((max(r.curve) for r in best if r.curve), default=1)
        self._gains: dict[int, float] = {}

    def row(self, result: Result, step: int) -> _Row:
        """What a training at ``step`` would have reached, and how far it had come."""
        if step not in self._gains:
            gains = [r.loss - r.curve[step] for r in self._best if step in r.curve]
            self._gains[step] = float(np.median(gains)) if gains else 0.0
        share = math.log1p(step) / math.log1p(max(self._last, step))
        return _Row(_place(result), result.curve[step] + self._gains[step], share)


def _place(result: Result) -> Array:
    assert result.point is not None  # none without a point is kept
    return result.point


def _that_matter(losses: Sequence[float]) -> npt.NDArray[np.int64]:
    """The best and the latest of many trials, in the order of finishing."""
    if len(losses) <= MOST:
        return np.arange(len(losses))
    latest = np.arange(len(losses) - (MOST - BEST), len(losses))
    best = np.argpartition(np.array(losses[: latest[0]]), BEST)[:BEST]
    return np.concatenate([np.sort(best), latest])


def _worst(losses: Array) -> float:
    """The loss above which worse is no news."""
    ordered = np.sort(losses)
    usual = ordered[min(len(ordered) - 1, max(1, -(-3 * len(ordered) // 4) - 1))]
    return float(ordered[0] + CLIP * max(usual - ordered[0], 1e-12))
