"""What does MLflow say of a study as a whole?

Sees to it that each trial has one child run with a true status, whether or not its
objective used the callback, and keeps the parent run's summary.
"""

from __future__ import annotations

from typing import Any

from mlflow.exceptions import MlflowException
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from paperstart._history import is_interrupted
from paperstart._outcome import Outcome, outcome
from paperstart._store import (
    ensure_experiment,
    ensure_parent,
    open_store,
    resolve_uri,
    start_run,
)
from paperstart.recipe import Recipe
from paperstart.tracking import (
    RUN_ATTR,
    TRACKING_URI_ATTR,
    RunLog,
    failure_tags,
    failure_text,
    is_run_of,
    param_values,
    trial_name,
    trial_tags,
)

_STATUS = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAIL: "FAILED",
}


class StudyLog:
    """The runs of one study.

    Attributes:
        uri: MLflow's store.
        experiment_id: the study's experiment.
        parent_id: the study's parent run.
    """

    def __init__(self, study: Study, recipe: Recipe, tracking_uri: str | None) -> None:
        self._study, self._recipe = study, recipe
        self.uri = resolve_uri(tracking_uri)
        # The callback finds it there, in whatever process the trial runs.
        study.set_user_attr(TRACKING_URI_ATTR, self.uri)
        self._client = open_store(self.uri)
        name = study.study_name
        self.experiment_id = ensure_experiment(self._client, self.uri, name)
        self.parent_id = ensure_parent(
            self._client,
            self.uri,
            self.experiment_id,
            name,
            {"paperstart.recipe": recipe.id},
        )
        self._client.update_run(self.parent_id, "RUNNING")

    def ensure_child(self, trial: Trial | FrozenTrial) -> None:
        """Make a run for a trial in flight whose objective made none here."""
        if self._has_run(trial):
            return
        tags = trial_tags(trial, self._study.study_name)
        tags["paperstart.recipe"] = self._recipe.id
        run_id = start_run(
            self._client, self.experiment_id, trial_name(trial), tags, self.parent_id
        )
        self._study._storage.set_trial_user_attr(trial._trial_id, RUN_ATTR, run_id)

    def _has_run(self, trial: Trial | FrozenTrial) -> bool:
        run_id = trial.user_attrs.get(RUN_ATTR)
        if run_id is None:
            return False
        try:
            run = self._client.get_run(run_id)
        except MlflowException:  # the objective's callback tracks in another store
            return False
        return is_run_of(run, trial, self._study.study_name)

    def finish(self, trial: FrozenTrial, error: BaseException | None) -> None:
        """Close the trial's run with its value and what really happened."""
        log = RunLog(self._client, trial.user_attrs[RUN_ATTR])
        log.log_params(param_values(trial.params, self._recipe))
        if trial.state == TrialState.COMPLETE and trial.value is not None:
            log.log_metrics({"best/objective": trial.value}, 0)
        if trial.state == TrialState.PRUNED:
            log.set_tags({"paperstart.pruned": "true"})
        status = "KILLED" if is_interrupted(trial) else _STATUS[trial.state]
        if status == "FAILED" and error is not None:
            log.set_tags(failure_tags(error))
            log.log_text(failure_text(error), "traceback.txt")
        found = self._client.get_run(log.run_id).info.status
        log.close(None if found == status else status)

    def close(self, interrupted: bool) -> None:
        """Write the summary, and end the parent run."""
        log = RunLog(self._client, self.parent_id)
        found = outcome(self._study, self._recipe)
        if found is not None:
            log.set_tags(_summary_tags(found))
            log.log_metrics(_summary_metrics(found), found.trials)
        log.close("KILLED" if interrupted else "FINISHED")


def _summary_tags(found: Outcome) -> dict[str, Any]:
    """The parent's description, which MLflow shows on its page, and the best trial."""
    return {
        "paperstart.best_trial": found.best.number,
        "mlflow.note.content": found.markdown(),
    }


def _summary_metrics(found: Outcome) -> dict[str, float]:
    values = {"best/objective": found.best_value, "best/rounds": float(found.rounds)}
    if found.published_value is not None:
        values["best/published_objective"] = found.published_value
    return values
