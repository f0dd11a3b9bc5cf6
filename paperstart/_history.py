"""What do a study's trials say, in the terms of the refinement?

Reads Optuna's trials and changes nothing: losses where lower is better, places on
natural scales, values that are taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from paperstart._axis import Axis
from paperstart._refine import Observation

DRAW_ATTR = "paperstart.draw"
"""Trial attribute: ``kind`` of draw, ``round``, and ``point`` of a published one."""
INTERRUPTED_ATTR = "paperstart.interrupted"
"""Trial attribute of a trial that somebody stopped: its point is tried again."""


def is_interrupted(trial: FrozenTrial) -> bool:
    """Whether a trial was stopped from outside, so that it says nothing."""
    return trial.state == TrialState.FAIL and INTERRUPTED_ATTR in trial.user_attrs


def finished_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that were spent, in the order in which they finished.

    The order is that of finishing since it only grows: a round that is over stays over,
    whatever other workers still have in flight.
    """
    spent = [t for t in trials if t.state.is_finished() and not is_interrupted(t)]
    spent.sort(key=lambda t: (t.datetime_complete or t.datetime_start, t.number))
    return spent


def losses(study: Study, trials: Iterable[FrozenTrial]) -> list[float]:
    """Lower is better; infinite for a trial that failed, was pruned, or gave NaN."""
    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    return [_loss(trial, sign) for trial in trials]


def observations(
    study: Study,
    name: str,
    distribution: BaseDistribution,
    axis: Axis,
    trials: Sequence[FrozenTrial],
) -> list[Observation]:
    """The trials as the refinement of one hyperparameter sees them."""
    seen = []
    for trial, loss in zip(trials, losses(study, trials), strict=True):
        place = None
        if name in trial.params:
            place = place_of(axis, distribution, trial.params[name])
        seen.append(Observation(loss, {} if place is None else {name: place}))
    return seen


def place_of(axis: Axis, distribution: BaseDistribution, value: Any) -> float | None:
    """The place of ``value`` in [0, 1], or ``None`` if the axis has none for it."""
    if isinstance(distribution, CategoricalDistribution):
        index = index_of(distribution, value)
        return None if index is None else axis.to_unit(index)
    if isinstance(value, (bool, str)) or value is None:
        return None  # the name was a categorical one in an earlier trial
    return axis.to_unit(value)


def index_of(distribution: CategoricalDistribution, value: Any) -> int | None:
    """The index of a choice; 1 and ``True`` are two choices."""
    for index, choice in enumerate(distribution.choices):
        if choice == value and isinstance(choice, bool) == isinstance(value, bool):
            return index
    return None


def values_taken(
    name: str, distribution: BaseDistribution, trials: Iterable[FrozenTrial]
) -> set[Any]:
    """The values (of choices: the indices) that trials have, also those in flight."""
    values = (trial.params[name] for trial in trials if name in trial.params)
    if isinstance(distribution, CategoricalDistribution):
        return {index_of(distribution, value) for value in values}
    return set(values)


def _loss(trial: FrozenTrial, sign: float) -> float:
    if trial.state != TrialState.COMPLETE or trial.value is None:
        return math.inf
    return sign * trial.value if math.isfinite(trial.value) else math.inf
