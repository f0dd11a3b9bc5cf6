"""Where is the region, when does it shrink, grow, move?

Pure arithmetic on the unit interval: it knows numbers, not Optuna. A search is a coarse
round around the published point, then rounds whose region follows the best trial so
far: it shrinks while the best lies well inside, grows when the best lies at its edge,
and moves with the best. Once another trial beats the published point, the rest of the
coarse round is drawn from everywhere. The constants are our own choice: good on 23
tasks with small networks, where moderate changes made little difference.
"""

from __future__ import annotations

import bisect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

COARSE_TRIALS = 6
"""Trials of the coarse round, published points included."""
ROUND_TRIALS = 4
"""Trials between two updates of the region."""
FULL_EVERY = 5
"""One of so many draws comes from the full range, in every round."""
COARSE_LENGTH = 0.8
"""Length of the coarse region around a published value."""
SHRINK, GROW = 0.9, 1 / 0.9  # one growth undoes one shrink; faster cost trials
SHORTEST = 0.05
EDGE = 0.1
"""How near the region's end, as a share of its length, counts as its edge."""
ELITE = 12
"""The most trials that speak for a choice: beyond them, more is not clearer."""

T = TypeVar("T")


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
        """Its ends, cut off where the unit interval ends."""
        half = self.length / 2
        return max(self.center - half, 0.0), min(self.center + half, 1.0)

    def place(self, share: float) -> float:
        """The place at ``share`` in [0, 1] of the way through the region.

        The unit interval itself is even. In a shorter region, half of the shares lie
        within a quarter of the way from the center to the ends: a draw changes a few
        hyperparameters a lot and most a little. What would lie beyond 0 or 1 is
        mirrored there, so that nothing piles up at an end.
        """
        if self.length >= 1.0:
            return share
        away = 2.0 * share - 1.0
        place = abs(self.center + away * abs(away) * self.length / 2)
        return place if place <= 1.0 else 2.0 - place


FULL = Region(0.5, 1.0)


@dataclass(frozen=True)
class Plan:
    """How many trials a round has."""

    coarse_trials: int = COARSE_TRIALS
    round_trials: int = ROUND_TRIALS

    def round_after(self, finished: int) -> int:
        """The round, from 1, in which the trial after ``finished`` others is drawn."""
        late = finished - self.coarse_trials
        return 1 + max(0, late + self.round_trials) // self.round_trials

    def ends_at(self, finished: int) -> bool:
        """Whether a round is over with the last of ``finished`` trials."""
        late = finished - self.coarse_trials
        return late >= 0 and late % self.round_trials == 0


@dataclass(frozen=True)
class Observation:
    """What one finished trial says about one hyperparameter.

    Attributes:
        loss: lower is better; infinite if the trial gave no value.
        place: in [0, 1] on the natural scale, or the index of a choice; ``None`` if
            the trial did not have the hyperparameter.
        point: index of the published point that the trial tried, if it tried one.
    """

    loss: float
    place: float | None = None
    point: int | None = None


class _Fold(ABC, Generic[T]):
    """An answer that finished trials change, one after the other.

    ``at(n)`` is the answer after the first n trials: later ones leave it alone, so
    that workers who have seen different numbers of trials can use one fold.
    """

    def __init__(self, published: Sequence[float | None], plan: Plan) -> None:
        """``published`` has a place, or ``None``, for each published point."""
        self._published = published
        self._plan = plan
        self._finished = 0
        self._best: Observation | None = None
        self._paper: Observation | None = None  # the best of the published points
        self._since = [0]
        self._answers = [self._coarse()]

    def add(self, seen: Observation) -> None:
        """One more finished trial."""
        self._finished += 1
        if seen.place is not None and math.isfinite(seen.loss):
            self._note(seen)
        answer = self._answers[-1]
        if self._finished <= self._plan.coarse_trials:
            answer = self._coarse()
        if self._plan.ends_at(self._finished):
            answer = self._next(answer)
        if answer != self._answers[-1]:
            self._since.append(self._finished)
            self._answers.append(answer)

    def at(self, finished: int) -> T:
        """The answer after the first ``finished`` trials."""
        return self._answers[bisect.bisect_right(self._since, finished) - 1]

    def _note(self, seen: Observation) -> None:
        """Take in a trial that has a value and the hyperparameter."""
        if self._best is None or seen.loss < self._best.loss:
            self._best = seen
        if seen.point is not None and (
            self._paper is None or seen.loss < self._paper.loss
        ):
            self._paper = seen

    def _start(self) -> float | None:
        """The published place to draw around, unless a trial beat its point.

        A published point that failed is not beaten: machines fail, too.
        """
        paper, best = self._paper, self._best
        if paper is None or best is None:
            return next((p for p in self._published if p is not None), None)
        if best.loss < paper.loss or paper.point is None:
            return None
        # The study may have been begun with more points.
        return dict(enumerate(self._published)).get(paper.point)

    @abstractmethod
    def _coarse(self) -> T:
        """The answer within the coarse round."""

    @abstractmethod
    def _next(self, answer: T) -> T:
        """The next round's answer."""


class RegionFold(_Fold[Region]):
    """The region of one hyperparameter with an order."""

    def _coarse(self) -> Region:
        return coarse_region(self._start())

    def _next(self, answer: Region) -> Region:
        if self._best is None or self._best.place is None:
            return answer
        return updated(answer, self._best.place)


class WeightsFold(_Fold[tuple[float, ...]]):
    """How likely each choice without an order is, not normalized.

    Every choice keeps a weight of 1, so that none is lost for good.
    """

    def __init__(
        self, choices: int, published: Sequence[float | None], plan: Plan
    ) -> None:
        self._rounds = 0
        self._valued = 0
        self._tried = [0] * choices
        self._elite: list[tuple[float, int, int]] = []  # loss, order, choice
        super().__init__(published, plan)

    def add(self, seen: Observation) -> None:
        """One more finished trial."""
        if seen.place is not None:
            self._tried[int(seen.place)] += 1
        super().add(seen)

    def _note(self, seen: Observation) -> None:
        super()._note(seen)
        assert seen.place is not None
        bisect.insort(self._elite, (seen.loss, self._valued, int(seen.place)))
        self._valued += 1
        del self._elite[ELITE:]

    def _coarse(self) -> tuple[float, ...]:
        weights = [1.0] * len(self._tried)
        start = self._start()
        if start is not None:
            weights[int(start)] += len(weights)
        return tuple(weights)

    def _next(self, answer: tuple[float, ...]) -> tuple[float, ...]:
        """Evidence: the share of a choice's trials in the best third; more each round.

        A share, since a choice that is drawn often stands there often; with half a
        trial more, so that a choice not tried yet counts as promising.
        """
        self._rounds += 1
        good = [0.5] * len(self._tried)
        for _, _, choice in self._elite[: math.ceil(self._valued / 3)]:
            good[choice] += 1
        rates = [n / (tried + 1) for n, tried in zip(good, self._tried, strict=True)]
        factor = self._rounds * len(rates) / max(rates)
        return tuple(1.0 + factor * rate for rate in rates)


def coarse_region(published: float | None) -> Region:
    """The region of round 1: around the published place, or everywhere."""
    return FULL if published is None else Region(published, COARSE_LENGTH)


def updated(region: Region, best: float) -> Region:
    """The next round's region: around ``best``; shorter, or longer if at the edge."""
    length = region.length * (GROW if _at_edge(region, best) else SHRINK)
    return Region(best, min(max(length, SHORTEST), 1.0))


def _at_edge(region: Region, best: float) -> bool:
    """Whether ``best`` lies at an end beyond which there is more, or outside."""
    low, high = region.box()
    margin = EDGE * region.length
    return (low > 0 and best < low + margin) or (high < 1 and best > high - margin)
