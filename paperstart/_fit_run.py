"""Which recipe, trial and MLflow run does a fit belong to?"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from numbers import Number
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from optuna import Trial

from paperstart._store import (
    ensure_experiment,
    ensure_parent,
    open_store,
    resolve_uri,
    start_run,
)
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


class FitRun:
    """Finds or makes the run of a fit: of a trial, of a checkpoint, or its own.

    A trial that belongs to no study (``FixedTrial``, or a finished one that is tried
    again) gives its values, and nothing else.

    Attributes:
        trial: the trial, if it belongs to a study.
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

    @property
    def uri(self) -> str:
        """Where the run is tracked: as given, as the study's, or as in use."""
        uri = self._tracking_uri
        if uri is None and self.trial is not None:
            uri = self.trial.study.user_attrs.get(TRACKING_URI_ATTR)
        return resolve_uri(uri)

    def open(self, resumed: str | None) -> RunLog:
        """The run, running; ``resumed`` is the one that a checkpoint names.

        Raises:
            TrackingError: MLflow gives no run.
        """
        uri = self.uri
        client = open_store(uri)
        try:
            run = self._reopen(client, resumed)
            run_id = self._create(client, uri) if run is None else run.info.run_id
        except MlflowException as error:
            raise TrackingError(
                f"MLflow at {uri} gave no run for this fit: {error}. Check that the "
                f"store is there, or name another one as tracking_uri=."
            ) from error
        return RunLog(client, run_id, run)

    def params(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What module, data module and trial were set to, beside what was published."""
        modules = [getattr(trainer, "datamodule", None), pl_module]
        values: dict[str, Any] = {}
        for module in modules:
            values |= _plain(getattr(module, "hparams", {}))
        values |= {} if self._point is None else self._point.params
        return param_values(values, self._recipe, self._names)

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
        tags: dict[str, Any] = {}
        if self._recipe is not None:
            tags["paperstart.recipe"] = self._recipe.id
        trial = self.trial
        if trial is None:
            name = self._experiment or _experiment_in_use()
            return start_run(client, ensure_experiment(client, uri, name), None, tags)
        study = trial.study.study_name
        experiment_id = ensure_experiment(client, uri, self._experiment or study)
        parent_id = ensure_parent(client, uri, experiment_id, study, tags)
        tags |= trial_tags(trial, study)
        run_id = start_run(client, experiment_id, trial_name(trial), tags, parent_id)
        trial.set_user_attr(RUN_ATTR, run_id)
        return run_id


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


def _plain(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """What of ``values`` can be a param: numbers, text, lists of them; nested too."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if str(name).startswith("_"):  # LightningCLI keeps notes of its own there
            continue
        if isinstance(value, Mapping):
            plain |= _plain(value, f"{prefix}{name}/")
        elif _is_plain(value) or (
            isinstance(value, (list, tuple)) and all(map(_is_plain, value))
        ):
            plain[f"{prefix}{name}"] = value
    return plain


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, (Number, str, PurePath))
