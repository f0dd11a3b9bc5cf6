"""Which recipe, trial and MLflow run does a fit belong to?"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from optuna import Trial

from paperstart._adopt import Adopted, adopted_run
from paperstart._alarm_text import ALARMS_TAG
from paperstart._bn_alarms import BatchNormAlarm, alarms_markdown
from paperstart._child_note import NOTE_TAG, child_note
from paperstart._children import children_of, close_lost, worker_tag
from paperstart._cost import COST_ATTR
from paperstart._fit_params import beside, params_of
from paperstart._keeper import keep
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
from paperstart.errors import TrackingError
from paperstart.recipe import Recipe
from paperstart.tracking import (
    RUN_ATTR,
    TRACKING_URI_ATTR,
    RunLog,
    is_run_of,
    param_values,
    trial_name,
    trial_tags,
)

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

DEFAULT_EXPERIMENT = "paperstart"
_looked: set[tuple[int, str]] = set()


class FitRun:
    """Finds or makes the run of a fit: of a trial, of a checkpoint, or its own.

    A trial that belongs to no study (``FixedTrial``, or a finished one that is tried
    again) gives its values, and nothing else.

    Attributes:
        trial: the trial, if it belongs to a study.
        adopted: the run of the last fit, where it was the user's own.
    """

    def __init__(
        self,
        recipe: Recipe | str | os.PathLike[str] | None,
        trial: Trial | None,
        tracking_uri: str | None,
        experiment: str | None,
    ) -> None:
        if recipe is not None and not isinstance(recipe, Recipe):
            from paperstart.catalog import load_recipe  # late: most have no file

            recipe = load_recipe(recipe)
        self.trial = trial if hasattr(trial, "study") else None
        sampler = None if self.trial is None else self.trial.study.sampler
        self._recipe: Recipe | None = recipe or getattr(sampler, "recipe", None)
        self._names: Mapping[str, str] = getattr(sampler, "names", {})
        self._point = trial
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self.adopted: Adopted | None = None

    @property
    def uri(self) -> str:
        """Where the run is tracked: as given, as the study's, or as in use."""
        if self.adopted is not None:
            return resolve_uri(self.adopted.uri)
        uri = self._tracking_uri
        if uri is None and self.trial is not None:
            uri = self.trial.study.user_attrs.get(TRACKING_URI_ATTR)
        return resolve_uri(uri)

    def open(
        self, trainer: Trainer, pl_module: LightningModule, resumed: str | None
    ) -> RunLog:
        """The run, running, with what is known of it before the first step.

        Args:
            trainer: the fit's.
            pl_module: what it trains.
            resumed: the run that a checkpoint names.

        Raises:
            TrackingError: MLflow gives no run.
        """
        self.adopted = adopted_run(trainer, self.trial, self._tracking_uri)
        uri = self.uri
        client = open_store(uri)
        try:
            log = self._log(client, resumed)
        except MlflowException as error:
            raise TrackingError(
                f"MLflow at {uri} gave no run for this fit: {error}. Check that the "
                f"store is there, or name another one as tracking_uri=."
            ) from error
        self._describe(log, params_of(trainer, pl_module, self._point))
        return log

    def report_cost(self, cost: Mapping[str, Any]) -> None:
        """Tell the trial what its fits have cost; several of them add up."""
        if self.trial is None or not cost:
            return
        before = self.trial.user_attrs.get(COST_ATTR, {})
        energies = [one.get("energy_kwh") for one in (before, cost)]
        known = [energy for energy in energies if energy is not None]
        hours = before.get("gpu_hours", 0.0) + cost["gpu_hours"]
        total = {**cost, "gpu_hours": hours, "energy_kwh": sum(known) or None}
        self.trial.set_user_attr(COST_ATTR, total)

    def _log(self, client: MlflowClient, resumed: str | None) -> RunLog:
        if self.adopted is not None:
            run_id = self.adopted.run_id
            run = client.get_run(run_id)
            self._take_in(client, run)
            return RunLog(client, run_id, adopted=run)
        found = self._reopen(client, resumed)
        if found is None:
            return RunLog(client, self._create(client, self.uri))
        return RunLog(client, found.info.run_id, found)

    def _describe(self, log: RunLog, params: Mapping[str, Any]) -> None:
        """Params, the recipe's file, the environment, and where the code comes from."""
        prefix = "" if self.adopted is None else self.adopted.param_prefix
        own = param_values(params, self._recipe, self._names)
        if self.adopted is not None:
            own = beside(own, log.known_params, prefix)
        log.log_params(own)
        tags = {CONFIG_TAG: config_hash(params, self._recipe), **worker_tag()}
        if self.adopted is None:
            tags |= code_tags()
        trial = self.trial
        if trial is not None:
            remember(trial.study, self._recipe, self._names)
        log.set_tags({**tags, **self._note_tag()})
        if log.is_resumed:
            return
        log.log_text(environment_text(), "environment.txt")
        if self._recipe is not None:
            log.log_text(recipe_file(self._recipe), f"{self._recipe.id}.yaml")

    def describe_end(
        self, log: RunLog, said: str, alarms: Sequence[BatchNormAlarm]
    ) -> None:
        """Say in the description how the fit ended; the trial's value comes later."""
        earlier = log.known_tags.get(ALARMS_TAG, "") if log.is_resumed else ""
        log.set_tags(self._note_tag(said, alarms_markdown(alarms, earlier)))

    def _note_tag(self, said: str | None = None, alarms: str = "") -> dict[str, str]:
        if self.trial is None:
            return {}
        study = self.trial.study
        return {NOTE_TAG: child_note(study, self.trial, recall(study), said, alarms)}

    def _reopen(self, client: MlflowClient, resumed: str | None) -> Run | None:
        """The run to go on in, running again, or ``None`` if there is none."""
        trial = self.trial
        run_id = resumed if trial is None else trial.user_attrs.get(RUN_ATTR)
        if run_id is None:
            return None
        run = _active_run(client, run_id)
        if run is None:
            warnings.warn(
                f"The run {run_id} is no longer in MLflow's store, so the fit goes on "
                f"in a new one.",
                UserWarning,
                stacklevel=2,
            )
            return None
        if trial is not None and not is_run_of(run, trial, trial.study.study_name):
            return None
        client.update_run(run_id, "RUNNING")
        return run

    def _create(self, client: MlflowClient, uri: str) -> str:
        # At once, so that whoever comes after a killed process can tell.
        tags = {**self._recipe_tag(), **worker_tag()}
        trial = self.trial
        if trial is None:
            name = self._experiment or _experiment_in_use()
            return start_run(client, ensure_experiment(client, uri, name), None, tags)
        study = trial.study.study_name
        experiment_id = ensure_experiment(client, uri, self._experiment or study)
        parent_id = ensure_parent(client, uri, experiment_id, study, self._recipe_tag())
        _close_lost(trial, client, experiment_id, parent_id)
        tags |= trial_tags(trial, study)
        run_id = start_run(client, experiment_id, trial_name(trial), tags, parent_id)
        trial.set_user_attr(RUN_ATTR, run_id)
        keep(trial, client, experiment_id, parent_id)
        return run_id

    def _take_in(self, client: MlflowClient, run: Run) -> None:
        """Make somebody else's run the trial's: tags, and a parent if it has none."""
        tags, trial = self._recipe_tag(), self.trial
        if trial is not None:
            study = trial.study.study_name
            tags |= trial_tags(trial, study)
            if "mlflow.parentRunId" not in run.data.tags:
                experiment_id = run.info.experiment_id
                parent_id = ensure_parent(
                    client, self.uri, experiment_id, study, self._recipe_tag()
                )
                tags["mlflow.parentRunId"] = parent_id
                keep(trial, client, experiment_id, parent_id)
            trial.set_user_attr(RUN_ATTR, run.info.run_id)
        for key, value in tags.items():
            client.set_tag(run.info.run_id, key, value)

    def _recipe_tag(self) -> dict[str, str]:
        if self._recipe is None:
            return {}
        return {"paperstart.recipe": self._recipe.id}


def _close_lost(
    trial: Trial, client: MlflowClient, experiment_id: str, parent_id: str
) -> None:
    """Once per process and study: close what killed processes have left RUNNING."""
    key = (os.getpid(), parent_id)
    if key not in _looked:
        _looked.add(key)
        close_lost(trial.study, client, children_of(client, experiment_id, parent_id))


def _active_run(client: MlflowClient, run_id: str) -> Run | None:
    try:
        run = client.get_run(run_id)
    except MlflowException:
        return None
    return run if run.info.lifecycle_stage == "active" else None


def _experiment_in_use() -> str:
    """The experiment that the user chose for MLflow, or ours."""
    chosen = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if chosen:
        return chosen
    chosen_id = os.environ.get("MLFLOW_EXPERIMENT_ID")  # also set_experiment() sets it
    if chosen_id:
        return str(mlflow.get_experiment(chosen_id).name)
    return DEFAULT_EXPERIMENT
