"""What in a study's results can be told apart: by eye, and by hyperparameter?"""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import TrialState


class KnownImportances(optuna.importance.BaseImportanceEvaluator):
    """Hands over what was computed once; the evaluation itself takes a second."""

    def __init__(self, values: Mapping[str, float]) -> None:
        self._values = dict(values)

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        """The known values."""
        return dict(self._values)


def importances(study: Study) -> dict[str, float]:
    """How much each hyperparameter mattered, the most first; shares of 1.

    Empty where it cannot be told: fewer than four complete trials, or one value only.
    The numbers are Optuna's fANOVA with a fixed seed, so that a report repeats.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = optuna.importance.get_param_importances(
                study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
            )
        except (ValueError, RuntimeError):  # no hyperparameter that all trials have
            return {}
    return {name: float(share) for name, share in found.items() if share == share}


def usual_values(study: Study) -> tuple[float, float]:
    """The ends between which objective values are told apart by eye.

    A few trials that diverged must not press all others into one line: on the worse
    side the chart ends at six times the distance from the best to the upper half.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = [t.value for t in trials if t.value is not None and math.isfinite(t.value)]
    if not values:
        return 0.0, 1.0
    lowest, highest, middle = min(values), max(values), statistics.median(values)
    if study.direction.name == "MAXIMIZE":
        return max(lowest, highest - 6 * (highest - middle) or lowest), highest
    return lowest, min(highest, lowest + 6 * (middle - lowest) or highest)


def beyond(study: Study) -> int:
    """How many complete trials lie outside of `usual_values`."""
    low, high = usual_values(study)
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sum(t.value is not None and not low <= t.value <= high for t in trials)
