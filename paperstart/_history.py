"""What do a study's trials say, in the terms of the refinement?

Reads Optuna's trials and changes nothing: losses where lower is better, places on
natural scales, values that are taken.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from optuna.distributions import CategoricalDistribution
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import BaseTrial, FrozenTrial, TrialState

DRAW_ATTR = "paperstart.draw"
"""Trial attribute: ``kind`` of draw, ``round``, ``point`` of a published one, and the
``region`` (two ends in its own unit) of each hyperparameter that the draw came from."""
INTERRUPTED_ATTR = "paperstart.interrupted"
"""Trial attribute of a trial that somebody stopped: its point is tried again."""
KEPT = 256
"""The most draws and folds kept at once; a dropped one is made anew (our choice)."""


@dataclass(frozen=True)
class Draw:
    """What is decided for a whole trial before any of its values.

    Attributes:
        kind: published, coarse, region, full, or enqueued by the user.
        round: the round, from 1.
        point: index of the published point, or ``None``.
        finished: how many trials had finished.
        hedge: whether it looks where the paper does not point.
        params: the values that the model chose; those it did not are drawn one by one.
        region: by hyperparameter, the ends of where values came from, in its own unit;
            grows with the values that are drawn one by one.
        best: number of the trial that the region is around, or ``None``.
    """

    kind: str
    round: int
    point: int | None
    finished: int
    hedge: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    region: dict[str, list[float]] = field(default_factory=dict)
    best: int | None = None

    def attr(self) -> dict[str, Any]:
        """What the trial is told, in plain values."""
        attr: dict[str, Any] = {"kind": self.kind, "round": self.round}
        attr["point"] = self.point
        if self.hedge:
            attr["hedge"] = True
        if self.best is not None:
            attr |= {"best": self.best, "model": bool(self.params)}
        if self.region:
            attr["region"] = dict(self.region)
        return attr


class Fold(Protocol):
    """Takes in finished trials, one after the other."""

    def add(self, seen: Any, /) -> object: ...


F = TypeVar("F", bound=Fold)


class History:
    """The trials of one study, each read once: a cache that the study can rebuild."""

    def __init__(self) -> None:
        self._draws: dict[int, Draw] = {}
        self.running: list[FrozenTrial] = []  # by number, also those that wait
        self.tried: list[FrozenTrial] = []  # finished ones, of published points
        self._spent: list[FrozenTrial] = []  # in the order of finishing
        self._read = 0
        self._open: list[int] = []
        self._version = 0  # goes up when the order of what was read has changed
        self._folds: dict[Hashable, tuple[int, int, Any]] = {}
        self._lock = threading.RLock()

    def read(self, study: Study) -> None:
        """Take in what is new."""
        with self._lock:
            # The study of a pruner shows some trials only, its storage all of them.
            trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
            waiting = [*self._open, *range(self._read, len(trials))]
            self._open = [i for i in waiting if not trials[i].state.is_finished()]
            self._read = len(trials)
            self.running = [trials[i] for i in self._open]
            still = set(self._open)
            new = finished_trials(trials[i] for i in waiting if i not in still)
            self.tried += [trial for trial in new if point_of(trial) is not None]
            if new and self._spent and _finish(new[0]) < _finish(self._spent[-1]):
                self._spent = finished_trials([*self._spent, *new])
                self._version += 1
            else:
                self._spent += new

    @property
    def finished(self) -> int:
        """How many trials were spent."""
        return len(self._spent)

    def fold(
        self, key: Hashable, make: Callable[[], F], see: Callable[[FrozenTrial], Any]
    ) -> F:
        """What ``make()`` becomes with ``see(trial)`` of every finished trial.

        Kept under ``key``, so that each trial is seen once.
        """
        with self._lock:
            version, position, fold = self._folds.pop(key, (-1, 0, None))
            if version != self._version:
                position, fold = 0, make()
            for trial in self._spent[position:]:
                fold.add(see(trial))
            self._folds[key] = (self._version, len(self._spent), fold)
            _forget_oldest(self._folds)
            kept: F = fold
            return kept

    def planned(self, number: int) -> Mapping[str, Any]:
        """What the model chose for a trial that may not have asked for it yet."""
        draw = self._draws.get(number)
        return {} if draw is None else draw.params

    def draw_of(self, number: int, decide: Callable[[], Draw]) -> Draw:
        """The draw of trial ``number``, decided the first time that one asks."""
        with self._lock:
            if number not in self._draws:
                self._draws[number] = decide()
                _forget_oldest(self._draws)
            return self._draws[number]


class Histories:
    """The history of each study that a sampler serves; pickled, it is empty."""

    def __init__(self) -> None:
        self._known: weakref.WeakKeyDictionary[BaseStorage, dict[int, History]] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Histories], tuple[()]]:
        return type(self), ()

    def of(self, study: Study) -> History:
        """The history of ``study``."""
        # By storage, since all studies in memory have the same id.
        with self._lock:
            known = self._known.setdefault(study._storage, {})
            return known.setdefault(study._study_id, History())


def is_interrupted(trial: FrozenTrial) -> bool:
    """Whether a trial was stopped from outside, so that it says nothing."""
    return trial.state == TrialState.FAIL and INTERRUPTED_ATTR in trial.user_attrs


def finished_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that were spent, in the order in which they finished.

    The order is that of finishing since it only grows: a round that is over stays over,
    whatever other workers still have in flight.
    """
    spent = [t for t in trials if t.state.is_finished() and not is_interrupted(t)]
    return sorted(spent, key=_finish)


def loss_of(study: Study, trial: FrozenTrial) -> float:
    """Lower is better; infinite for a trial that failed, was pruned, or gave NaN.

    Also for one that broke a constraint: Optuna counts it among no best trials.
    """
    if trial.state != TrialState.COMPLETE or trial.value is None:
        return math.inf
    if any(value > 0 for value in trial.constraints.values()):
        return math.inf
    return _as_loss(study, trial.value)


def curve_of(study: Study, trial: FrozenTrial) -> dict[int, float]:
    """The losses that a trial reported on its way, by step; finite ones."""
    curve = {
        step: _as_loss(study, value)
        for step, value in trial.intermediate_values.items()
    }
    return {step: loss for step, loss in curve.items() if math.isfinite(loss)}


def _as_loss(study: Study, value: float) -> float:
    if not math.isfinite(value):
        return math.inf
    return -value if study.direction == StudyDirection.MAXIMIZE else value


def draw_attr(trial: BaseTrial) -> Mapping[str, Any]:
    """How the sampler drew a trial; empty if it was another sampler."""
    attr: Mapping[str, Any] = trial.user_attrs.get(DRAW_ATTR, {})
    return attr


def point_of(trial: FrozenTrial) -> int | None:
    """Index of the published point that a trial tried."""
    point: int | None = draw_attr(trial).get("point")
    return point


def index_of(distribution: CategoricalDistribution, value: Any) -> int | None:
    """The index of a choice; 1 and ``True`` are two choices."""
    for index, choice in enumerate(distribution.choices):
        if choice == value and isinstance(choice, bool) == isinstance(value, bool):
            return index
    return None


def _finish(trial: FrozenTrial) -> tuple[datetime, int]:
    when = trial.datetime_complete or trial.datetime_start
    assert when is not None  # a finished trial was started
    return when, trial.number


def _forget_oldest(kept: dict[Any, Any]) -> None:
    while len(kept) > KEPT:
        del kept[next(iter(kept))]
