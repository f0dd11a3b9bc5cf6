"""What does MLflow say of a study as a whole?

Sees to it that each trial has one child run with a true status, whether or not its
objective used the callback, and keeps the parent run's summary.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from mlflow.exceptions import MlflowException
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from paperstart._child_note import NOTE_TAG, finished_note
from paperstart._children import (
    STATUS,
    children_of,
    close_lost,
    worker_tag,
)
from paperstart._history import draw_attr, is_interrupted
from paperstart._keeper import leave_to_search
from paperstart._parent_report import refresh_report
from paperstart._probe import wait_until_it_answers
from paperstart._provenance import (
    CONFIG_TAG,
    code_tags,
    config_hash,
    environment_text,
    recipe_file,
)
from paperstart._store import (
    ensure_experiment,
    ensure_parent,
    open_store,
    resolve_uri,
    start_run,
)
from paperstart._study_facts import recall, remember
from paperstart.recipe import Recipe
from paperstart.tracking import (
    RUN_ATTR,
    TRACKING_URI_ATTR,
    VALUE_METRIC,
    RunLog,
    failure_tags,
    failure_text,
    is_run_of,
    param_values,
    trial_name,
    trial_tags,
)

_logger = logging.getLogger(__name__)


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
        remember(study, recipe)
        self._client = open_store(self.uri)
        name = study.study_name
        self.experiment_id = ensure_experiment(self._client, self.uri, name)
        self.parent_id = ensure_parent(
            self._client,
            self.uri,
            self.experiment_id,
            name,
            {"paperstart.recipe": recipe.id, **code_tags()},
        )
        runs = children_of(self._client, self.experiment_id, self.parent_id)
        close_lost(study, self._client, runs)
        self._client.update_run(self.parent_id, "RUNNING")
        self._parent = RunLog(self._client, self.parent_id)
        leave_to_search(self.parent_id)
        for key, value in worker_tag().items():
            # At once, so that whoever comes after a killed search can tell.
            self._client.set_tag(self.parent_id, key, value)
        self._reported = 1  # the round before whose end there is nothing to report

    def wait_for_store(self, gives_up: Callable[[], bool]) -> None:
        """Before a trial: wait for a server that is away, which could make no run."""
        wait_until_it_answers(self.uri, gives_up, math.inf)

    def begin(self, trial: Trial) -> None:
        """Refresh the report, if the trial is the first of a new round."""
        number = int(draw_attr(trial).get("round", 1))
        if number > self._reported:
            self._reported = number
            self.refresh()

    def refresh(self) -> None:
        """Write the report to the parent run; no search ends for it."""
        if self._parent.is_away:
            return
        self._parent.attempt(
            refresh_report,
            self._study,
            self._client,
            self.experiment_id,
            self.parent_id,
        )

    def ensure_child(self, trial: Trial | FrozenTrial) -> None:
        """Make a run for a trial in flight whose objective made none here."""
        if self._has_run(trial):
            return
        tags = trial_tags(trial, self._study.study_name)
        tags["paperstart.recipe"] = self._recipe.id
        tags |= {**code_tags(), **worker_tag()}
        tags[CONFIG_TAG] = config_hash(trial.params, self._recipe)
        name = trial_name(trial)
        try:
            run_id = start_run(
                self._client, self.experiment_id, name, tags, self.parent_id
            )
        except MlflowException as error:  # the objective's own error says more
            _logger.warning("MLflow gave no run for %s: %s", name, error)
            return
        self._study._storage.set_trial_user_attr(trial._trial_id, RUN_ATTR, run_id)
        log = RunLog(self._client, run_id)
        log.log_text(environment_text(), "environment.txt")
        log.log_text(recipe_file(self._recipe), f"{self._recipe.id}.yaml")
        log.close()

    def _has_run(self, trial: Trial | FrozenTrial) -> bool:
        run_id = trial.user_attrs.get(RUN_ATTR)
        if run_id is None:
            return False
        if self._parent.is_away:  # then it was not another store's callback
            return True
        try:
            run = self._client.get_run(run_id)
        except MlflowException:  # the objective's callback tracks in another store
            return False
        return is_run_of(run, trial, self._study.study_name)

    def finish(self, trial: FrozenTrial, error: BaseException | None) -> None:
        """Close the trial's run with its value and what really happened."""
        if RUN_ATTR not in trial.user_attrs:  # MLflow went away before it had one
            return
        log = self._log_of(trial)
        log.log_params(param_values(trial.params, self._recipe))
        if trial.state == TrialState.COMPLETE and trial.value is not None:
            log.log_metrics({VALUE_METRIC: trial.value}, 0)
        if trial.state == TrialState.PRUNED:
            log.set_tags({"paperstart.pruned": "true"})
        status = "KILLED" if is_interrupted(trial) else STATUS[trial.state]
        if status == "FAILED" and error is not None:
            log.set_tags(failure_tags(error))
            log.log_text(failure_text(error), "traceback.txt")
        tags = dict(log.known_tags)
        if error is not None:
            tags |= failure_tags(error)
        note = finished_note(self._study, trial, recall(self._study), tags)
        log.set_tags({NOTE_TAG: note})
        log.close(status)

    def close(self, interrupted: bool) -> None:
        """Write the report, and end the parent run."""
        self.refresh()
        self._parent.close("KILLED" if interrupted else "FINISHED")

    def _log_of(self, trial: FrozenTrial) -> RunLog:
        run_id = trial.user_attrs[RUN_ATTR]
        if self._parent.is_away:
            return RunLog(self._client, run_id)
        try:
            return RunLog(self._client, run_id, self._client.get_run(run_id))
        except MlflowException:
            return RunLog(self._client, run_id)
