"""Which point does a whole trial get, once there is something to learn from?

Where Optuna's trials meet the model: the search space that all trials share, what they
showed in it, what is in flight, and the next point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from paperstart._column import Column
from paperstart._cube import Cube
from paperstart._draw import generator
from paperstart._evidence import Data, Evidence, Result
from paperstart._history import Draw, History, curve_of, loss_of
from paperstart._propose import propose
from paperstart._published import Start
from paperstart._refine import Plan, Region
from paperstart._surrogate import TREND, Array, Surrogate

KNOWN_FIRST = 2
"""So many trials with a value before there is a model: the paper's, and one other."""


class BestTrial:
    """The number of the best finished trial, or ``None``."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._loss = math.inf

    def add(self, seen: tuple[float, int], /) -> None:
        """One more finished trial: its loss and its number."""
        if seen[0] < self._loss:
            self._loss, self.number = seen


class SharedSpace:
    """The distributions that all finished trials have in common."""

    def __init__(self) -> None:
        self._space: dict[str, BaseDistribution] | None = None

    def add(self, seen: Mapping[str, BaseDistribution], /) -> None:
        """One more finished trial's distributions; none of a trial without any."""
        if not seen:
            return
        if self._space is None:
            self._space = dict(seen)
        self._space = {n: d for n, d in self._space.items() if seen.get(n) == d}

    @property
    def space(self) -> dict[str, BaseDistribution]:
        """Those with more than one value."""
        space = self._space or {}
        return {n: d for n, d in space.items() if not d.single()}


@dataclass(frozen=True)
class Joint:
    """The search space that a study's trials share, and what they showed in it."""

    study: Study
    history: History
    start: Start
    plan: Plan

    def draw(self, trial: int, number: int, seed: int) -> Draw | None:
        """The draw that the model chooses; ``None`` while there is nothing to learn.

        Args:
            trial: the trial's number.
            number: the round's.
            seed: the sampler's.
        """
        cube = self.cube()
        evidence = None if cube is None else self.evidence(cube)
        if cube is None or evidence is None or evidence.known < KNOWN_FIRST:
            return None
        finished = self.history.finished
        kind = "coarse" if number == 1 else "region"
        regions = self._regions(cube, Draw(kind, number, None, finished))
        others = [
            {**self.history.planned(other.number), **other.params}
            for other in self.history.running
            if other.number != trial
        ]
        lengths = np.array([region.length for region in regions])
        rng = generator(seed, trial, "")
        point = self.point(cube, evidence, others, lengths, rng)
        return Draw(
            kind if cube.is_inside(point, regions) else "full",
            number,
            None,
            finished,
            params=cube.values(point),
            region=cube.ends(regions),
            best=self.best(),
        )

    def _regions(self, cube: Cube, draw: Draw) -> list[Region]:
        """The round's region, by coordinate."""
        return [
            Column(
                name, distribution, self.study, self.history, self.start, self.plan
            ).region(draw)
            for name, distribution in cube.space.items()
        ]

    def cube(self) -> Cube | None:
        """The shared search space; ``None`` if there is none."""
        shared = self.history.fold("shared", SharedSpace, _distributions)
        if not shared.space:
            return None
        return Cube(shared.space, self.start.scale, self.start.canonical)

    def best(self) -> int | None:
        """The number of the best finished trial."""

        def see(trial: FrozenTrial) -> tuple[float, int]:
            return loss_of(self.study, trial), trial.number

        return self.history.fold("best", BestTrial, see).number

    def evidence(self, cube: Cube) -> Evidence:
        """What the finished trials showed."""

        def see(trial: FrozenTrial) -> Result:
            return Result(
                cube.row(trial.params),
                loss_of(self.study, trial),
                curve_of(self.study, trial),
                stopped=trial.state == TrialState.PRUNED,
                refused=trial.state == TrialState.COMPLETE,
            )

        return self.history.fold(("evidence", cube.key), Evidence, see)

    def point(
        self,
        cube: Cube,
        evidence: Evidence,
        others: Sequence[Mapping[str, Any]],
        lengths: Array,
        rng: np.random.Generator,
    ) -> Array:
        """The next point.

        Args:
            cube: the search space.
            evidence: with `KNOWN_FIRST` losses or more.
            others: the values of trials in flight.
            lengths: the region's, by coordinate.
            rng: random numbers.
        """
        data = evidence.data()
        columns, group = _columns(cube, data)
        # Trials that were stopped early are many, and say enough of far places.
        trend = TREND if group is cube.group else 0.0
        inputs, losses, doubt = columns(data.points), data.losses, data.doubt
        if group is not cube.group:
            inputs[:, -1] = data.share
        tried, reached = data.points[: data.trials], losses[: data.trials]
        model = Surrogate(inputs, group, losses, doubt, rng, trend)
        rows = [row for row in map(cube.row, others) if row is not None]
        if rows:
            # As if each had already given what the model expects (Ginsbourger et al.
            # 2010, the kriging believer), but no new best: else they would attract.
            flying = np.array(rows)
            expected = np.maximum(model.mean(columns(flying)), reached.min())
            inputs = np.vstack([inputs, columns(flying)])
            losses = np.append(losses, expected)
            doubt = np.append(doubt, np.zeros(len(rows)))
            model = Surrogate(inputs, group, losses, doubt, rng, trend)
            tried, reached = np.vstack([tried, flying]), np.append(reached, expected)
        return propose(cube, model, columns, tried, reached, lengths, rng)


def _columns(
    cube: Cube, data: Data
) -> tuple[Callable[[Array], Array], npt.NDArray[np.int64]]:
    """Points at the end of a training as the model sees them, and length scales.

    Where trials were stopped early, how far they had come is one more column.
    """
    if (data.share == 1.0).all():
        return cube.columns, cube.group

    def columns(points: Array) -> Array:
        return np.hstack([cube.columns(points), np.ones((len(points), 1))])

    return columns, np.append(cube.group, cube.group.max() + 1)


def _distributions(trial: FrozenTrial) -> Mapping[str, BaseDistribution]:
    if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
        return {}  # a failure may have come before it asked for everything
    return trial.distributions
