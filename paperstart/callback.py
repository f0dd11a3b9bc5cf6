"""When, during a fit, is something recorded?"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from optuna import Trial, TrialPruned

from paperstart._bn_record import BatchNormRecord
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
    failure_tags,
    failure_text,
    metric_name,
    param_values,
    trial_name,
    trial_tags,
)

if TYPE_CHECKING:
    from pytorch_lightning import Callback, LightningModule, Trainer
else:

    def _base() -> type:
        """One class that both Lightning packages take for a callback of theirs."""
        bases = []
        for package in ("pytorch_lightning", "lightning.pytorch"):
            if importlib.util.find_spec(package.partition(".")[0]) is not None:
                bases.append(importlib.import_module(package).Callback)
        return type("Callback", tuple(bases), {})

    Callback = _base()

DEFAULT_EXPERIMENT = "paperstart"


class PaperStartCallback(Callback):
    """Records a fit in MLflow: params, metrics, batch norm, system, and how it ended.

    ``Trainer(callbacks=[PaperStartCallback()])`` is all it takes. With a trial, the run
    is a child of the study's one parent run, the monitored metric is reported after
    each validation, and the trial is pruned when its pruner says so.

    Nothing is hooked into the model, and nothing of the user's MLflow is changed. Every
    metric goes through MLflow's asynchronous batches. A run is made on rank 0 only, and
    none in ``fast_dev_run``.

    Args:
        recipe: a recipe, its id, or a file; its published values stand beside the
            params. Taken from the trial's sampler where it has one.
        trial: the Optuna trial that this fit belongs to.
        monitor: name of the metric to report to the trial, as it was logged.
        tracking_uri: MLflow's, where it is not the one in use.
        experiment: name of the MLflow experiment, where it is not the study's.
        every_n_steps: how often batch-norm statistics are taken, in batches; at the
            trainer's ``log_every_n_steps`` if not given, and at least once an epoch.
        system_interval_s: seconds between samples of CPU, memory and GPU.
    """

    def __init__(
        self,
        recipe: Recipe | str | os.PathLike[str] | None = None,
        trial: Trial | None = None,
        monitor: str | None = None,
        *,
        tracking_uri: str | None = None,
        experiment: str | None = None,
        every_n_steps: int | None = None,
        system_interval_s: float = 2.0,
    ) -> None:
        super().__init__()
        if recipe is not None and not isinstance(recipe, Recipe):
            from paperstart.catalog import load_recipe  # late: most have no file

            recipe = load_recipe(recipe)
        sampler = None if trial is None else trial.study.sampler
        self._recipe: Recipe | None = recipe or getattr(sampler, "recipe", None)
        self._names: Mapping[str, str] = getattr(sampler, "names", {})
        self._trial = trial
        self._monitor = monitor
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self._every_n_steps = every_n_steps
        self._system_interval_s = system_interval_s
        self._resumed_run_id: str | None = None
        self._run: RunLog | None = None
        self._reset()

    def _reset(self) -> None:
        self._batches = 0
        self._record: BatchNormRecord | None = None
        self._system: SystemMetricsMonitor | None = None
        self._stages: dict[str, str] = {}
        self._logged: dict[str, int] = {}
        self._best: float | None = None

    @property
    def run_id(self) -> str | None:
        """The MLflow run of the last fit, or ``None`` before the first."""
        return None if self._run is None else self._run.run_id

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs so that a resumed fit goes on in the same run."""
        return {"run_id": self.run_id}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on in the checkpoint's run at the next fit."""
        self._resumed_run_id = state_dict.get("run_id")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the run and say what is known before the first step."""
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        self._reset()
        self._run = self._open_run()
        hparams = {
            name: value
            for name, value in pl_module.hparams.items()
            if isinstance(value, (bool, int, float, str))
        }
        params = {} if self._trial is None else self._trial.params
        self._run.log_params(
            param_values({**hparams, **params}, self._recipe, self._names)
        )
        self._record = BatchNormRecord(pl_module)
        self._system = SystemMetricsMonitor(
            self._run.run_id, self._system_interval_s, tracking_uri=self._uri()
        )
        self._system.start()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Take the snapshot before a step that is due."""
        if self._record is not None and self._is_due(trainer, batch_idx):
            self._record.before_step()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log a step that is due."""
        if self._run is None or self._record is None:
            return
        if self._is_due(trainer, batch_idx):
            values = self._record.after_step(trainer.global_step)
            self._run.log_metrics(
                {f"batchnorm/{name}": value for name, value in values.items()},
                trainer.global_step,
            )
            self._log_stage(trainer, "train")
        self._batches += 1

    def on_train_epoch_start(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> None:
        """Log what the module itself logged at the end of the last epoch."""
        if trainer.current_epoch:
            self._log_stage(trainer, "train")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's averages."""
        self._log_stage(trainer, "train")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the validation, and report it to the trial."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._log_stage(trainer, "val")
        if self._run is not None:
            self._report(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log a test that follows the fit into the fit's run."""
        self._log_stage(trainer, "test")
        if self._run is not None:
            self._run.close()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the run as finished."""
        self._log_stage(trainer, "train")
        self._close("FINISHED", trainer.global_step)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Close the run with what really happened."""
        if self._run is None:
            return
        if isinstance(exception, TrialPruned):
            self._run.set_tags({"paperstart.pruned": "true"})
            status = "KILLED"
        else:
            self._run.set_tags(failure_tags(exception))
            stopped = isinstance(exception, (KeyboardInterrupt, SystemExit))
            status = "KILLED" if stopped else "FAILED"
            if not stopped:
                self._run.log_text(failure_text(exception), "traceback.txt")
        self._close(status, trainer.global_step)

    def _uri(self) -> str:
        uri = self._tracking_uri
        if uri is None and self._trial is not None:
            uri = self._trial.study.user_attrs.get(TRACKING_URI_ATTR)
        return resolve_uri(uri)

    def _open_run(self) -> RunLog:
        """The run of this fit: a resumed one, the trial's, or a new one."""
        uri = self._uri()
        client = open_store(uri)
        trial = self._trial
        resumed = self._resumed_run_id
        if resumed is None and trial is not None:
            resumed = trial.user_attrs.get(RUN_ATTR)
        self._resumed_run_id = None
        if resumed is not None:
            client.update_run(resumed, "RUNNING")
            return RunLog(client, resumed)
        name = self._experiment or _experiment_in_use()
        tags: dict[str, Any] = {}
        if self._recipe is not None:
            tags["paperstart.recipe"] = self._recipe.id
        if trial is None:
            experiment_id = ensure_experiment(client, uri, name)
            return RunLog(client, start_run(client, experiment_id, None, tags))
        study = trial.study.study_name
        experiment_id = ensure_experiment(client, uri, self._experiment or study)
        parent_id = ensure_parent(client, uri, experiment_id, study, tags)
        tags.update(trial_tags(trial, study))
        run_id = start_run(client, experiment_id, trial_name(trial), tags, parent_id)
        trial.set_user_attr(RUN_ATTR, run_id)
        return RunLog(client, run_id)

    def _is_due(self, trainer: Trainer, batch_idx: int) -> bool:
        usual: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        every = self._every_n_steps or usual or 50
        batches = trainer.num_training_batches
        if batches < every:  # a short epoch: once, and not on its last, smaller batch
            return batch_idx == int(batches) // 2
        return (self._batches + 1) % every == 0

    def _log_stage(self, trainer: Trainer, stage: str) -> None:
        """Log what Lightning has logged in this stage since the last time."""
        if self._run is None:
            return
        step = trainer.global_step
        logged = trainer.logged_metrics
        new = {}
        for name, value in logged.items():
            section = metric_name(name, self._stages.setdefault(name, stage))
            twin = name.endswith("_step") and name.removesuffix("_step") in logged
            if twin or not section.startswith(f"{stage}/"):
                continue
            if self._logged.get(name) != step:
                self._logged[name] = step
                new[section] = value
        self._run.log_metrics(_numbers(new), step)

    def _report(self, trainer: Trainer) -> None:
        """Report to the trial, and prune it if its pruner says so."""
        if self._monitor is None:
            return
        metrics = trainer.callback_metrics
        if self._monitor not in metrics:
            raise TrackingError(
                f"The metric {self._monitor!r} is to be monitored, but was not logged. "
                f"Logged were: {', '.join(metrics) or 'none'}. "
                f"Name one of these as monitor=, or log it with self.log()."
            )
        value = float(metrics[self._monitor])
        self._keep_best(value)
        trial = self._trial
        if trial is None or trainer.overfit_batches:  # type: ignore[attr-defined]
            return
        trial.report(value, trainer.current_epoch)
        if trial.should_prune():
            raise TrialPruned(
                f"Pruned after epoch {trainer.current_epoch}: "
                f"{self._monitor} was {value:.6g}."
            )

    def _keep_best(self, value: float) -> None:
        higher = self._trial is not None and self._trial.study.direction.name == (
            "MAXIMIZE"
        )
        if self._best is None or (value > self._best) == higher:
            self._best = value

    def _close(self, status: str, step: int) -> None:
        """Write the tables, stop the system metrics, and end the run."""
        run = self._run
        if run is None:
            return
        if self._best is not None and self._trial is not None:
            run.log_metrics({f"best/{self._monitor}": self._best}, step)
        if self._record is not None:
            with tempfile.TemporaryDirectory() as folder:
                for path in self._record.write(Path(folder)):
                    run.log_file(path, "batchnorm")
        if self._system is not None:
            _finish(self._system)
        self._record = self._system = None
        run.close(status)


def _finish(system: SystemMetricsMonitor) -> None:
    """Stop the monitor; a run shorter than its interval still gets one sample."""
    system.finish()
    if system._logging_step == 0:
        # The first sample was taken at once, when there was no load to measure yet.
        for monitor in system.monitors:
            monitor.clear_metrics()
        system.collect_metrics()
        system.publish_metrics(system.aggregate_metrics())
        system.mlflow_logger.flush()


def _experiment_in_use() -> str:
    """The experiment that the user chose for MLflow, or ours."""
    import mlflow

    chosen = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if chosen:
        return chosen
    chosen_id = os.environ.get("MLFLOW_EXPERIMENT_ID")  # also set_experiment() sets it
    if chosen_id:
        return str(mlflow.get_experiment(chosen_id).name)
    return DEFAULT_EXPERIMENT


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Tensors as floats, fetched from their device in one transfer."""
    if not values:
        return {}
    stacked = torch.stack(
        [
            torch.as_tensor(value).detach().float().reshape(())
            for value in values.values()
        ]
    )
    return dict(zip(values, stacked.tolist(), strict=True))
