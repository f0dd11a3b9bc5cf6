"""Which runs of a study are sick, and what do they say?

Alarms come from MLflow's runs, failures and odd values from there as well; a study
whose runs cannot be read still knows which trials failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlflow.entities import Run
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from paperstart._alarm_text import ALARMS_TAG
from paperstart._history import is_interrupted
from paperstart.tracking import FAILURE_TAG


@dataclass(frozen=True)
class SickRun:
    """A run that something is wrong with.

    Attributes:
        trial: its trial's number.
        status: as MLflow shows it; empty if MLflow was not asked.
        words: what is wrong, a sentence each.
    """

    trial: int
    status: str
    words: tuple[str, ...]


def sick_runs(study: Study, runs: Mapping[int, Run]) -> list[SickRun]:
    """The sick runs of a study, by trial.

    Args:
        study: the study.
        runs: MLflow's run of each trial that has one.
    """
    found = []
    for trial in study.get_trials(deepcopy=False):
        run = runs.get(trial.number)
        words = [*_failure(trial, run), *_alarms(trial, run), *_odd_values(run)]
        if words:
            status = "" if run is None else str(run.info.status)
            found.append(SickRun(trial.number, status, tuple(words)))
    return found


def alarms_of(tags: Mapping[str, str]) -> list[str]:
    """The alarms in a run's tags."""
    return [
        line.strip() for line in tags.get(ALARMS_TAG, "").splitlines() if line.strip()
    ]


def _failure(trial: FrozenTrial, run: Run | None) -> Sequence[str]:
    if trial.state != TrialState.FAIL or is_interrupted(trial):
        return ()
    kind = None if run is None else run.data.tags.get(FAILURE_TAG)
    if kind is None:
        return ("Failed; nobody wrote down why.",)
    return (f"Failed with {kind}; its run has traceback.txt.",)


def _alarms(trial: FrozenTrial, run: Run | None) -> Sequence[str]:
    said = {} if run is None else run.data.tags
    return alarms_of(said) or alarms_of(
        {ALARMS_TAG: str(trial.user_attrs.get(ALARMS_TAG, ""))}
    )


def _odd_values(run: Run | None) -> Sequence[str]:
    if run is None:
        return ()
    return [
        f"{int(count)} value{'s' * (count != 1)} of {name.partition('/')[0]}/ "
        f"{'were' if count != 1 else 'was'} NaN or infinite."
        for name, count in sorted(run.data.metrics.items())
        if name.endswith("/nonfinite_count") and count > 0
    ]
