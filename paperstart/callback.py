"""When, during a fit, is something recorded?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from optuna import Trial

from paperstart._fit_record import FitRecord
from paperstart._fit_run import FitRun
from paperstart._lightning import Callback
from paperstart._logged import LoggedMetrics
from paperstart._trial_report import TrialReport
from paperstart.recipe import Recipe
from paperstart.tracking import RunLog

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer


class PaperStartCallback(Callback):
    """Records a fit in MLflow: params, metrics, batch norm, system, and how it ended.

    ``Trainer(callbacks=[PaperStartCallback()])`` is all it takes. With a trial, the run
    is a child of the study's one parent run, the monitored metric is reported after
    each validation (in a fit without one: after each epoch), and the trial is pruned
    when its pruner says so.

    Nothing is hooked into the model, and nothing of the user's MLflow is changed. Every
    metric goes through batches in the background. A run is made on rank 0 only, and
    none in ``fast_dev_run``. A fit from a checkpoint goes on in the checkpoint's run.

    Args:
        recipe: a recipe, its id, or a file; its published values stand beside the
            params. Taken from the trial's sampler where it has one.
        trial: the Optuna trial that this fit belongs to.
        monitor: name of the metric to report to the trial, as it was logged.
        tracking_uri: MLflow's, where it is not the one in use.
        experiment: name of the MLflow experiment, where it is not the study's.
        every_n_steps: how often batch-norm statistics are taken, in optimizer steps; at
            the trainer's ``log_every_n_steps`` if not given, and at least once an epoch
            where the length of the epoch is known.
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
        self._fit_run = FitRun(recipe, trial, tracking_uri, experiment)
        self._monitor = monitor
        self._every_n_steps = every_n_steps
        self._system_interval_s = system_interval_s
        self._resumed_run_id: str | None = None
        self._run: RunLog | None = None  # stays after the fit, for a test
        self._fit: FitRecord | None = None  # only while the run is open
        self._logged = LoggedMetrics()
        self._report = TrialReport(None, monitor)
        self._reports = False  # whether this is a fit that a trial may hear of

    @property
    def run_id(self) -> str | None:
        """The MLflow run of the last fit, or ``None`` before the first."""
        return None if self._run is None else self._run.run_id

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs so that a resumed fit goes on in the same run."""
        return {"run_id": self.run_id}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on in the checkpoint's run, if what follows is a fit."""
        self._resumed_run_id = state_dict.get("run_id")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget a checkpoint that was loaded for something else, such as a test."""
        self._resumed_run_id = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the run and say what is known before the first step."""
        self._logged = LoggedMetrics()
        self._reports = not trainer.fast_dev_run  # type: ignore[attr-defined]
        self._report = TrialReport(self._fit_run.trial, self._monitor)
        if not trainer.is_global_zero or not self._reports:
            return
        self._run = self._fit_run.open(trainer, pl_module, self._resumed_run_id)
        self._fit = FitRecord(
            self._run,
            trainer,
            pl_module,
            self._every_n_steps,
            self._fit_run,
        )
        self._fit.start(trainer, self._system_interval_s)

    def on_train_epoch_start(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> None:
        """Log what the module itself logged at the end of the last epoch."""
        if self._fit is not None:
            self._fit.run.log_metrics(
                self._logged.after_epoch(trainer), trainer.global_step
            )
            self._fit.start_epoch(trainer, pl_module)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Take the snapshot before a step that is due."""
        if self._fit is not None:
            self._fit.before_batch(trainer, pl_module, batch_idx)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log a step that is due."""
        if self._fit is not None:
            self._fit.after_batch(trainer, batch_idx, self._logged)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at what there is, to tell the validation's own metrics from it."""
        self._logged.look(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the validation, and report it to the trial."""
        if not self._reports or trainer.sanity_checking:
            return
        if self._fit is not None:
            self._fit.run.log_metrics(
                self._logged.of_evaluation(trainer, "val"), trainer.global_step
            )
        self._report.report(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's averages; report them, if there is no validation."""
        averages = self._logged.of_epoch(trainer)
        if self._fit is not None:
            self._fit.run.log_metrics(averages, trainer.global_step)
            self._fit.end_epoch()
        if self._reports and not trainer.enable_validation:
            self._report.report(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what the module itself logged at the end of the last epoch."""
        if self._fit is not None:
            self._fit.run.log_metrics(
                self._logged.after_epoch(trainer), trainer.global_step
            )

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the run as finished."""
        fit = self._end(trainer)
        if fit is not None:
            best, reached = self._report.best, ""
            if best is not None:
                reached = f"; {self._monitor} was {best:.6g} at best"
            fit.close("FINISHED", f"Its fit has ended{reached}.")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Close the run with what really happened."""
        fit = self._end(trainer)
        if fit is not None:
            fit.fail(exception)

    def teardown(
        self, trainer: Trainer, pl_module: LightningModule, stage: str
    ) -> None:
        """Close the run of a fit that was left without a word, as by a tuner."""
        fit = self._end(trainer)
        if fit is not None:
            fit.close("KILLED", "Its fit was left before its end.")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at what there is, to tell the test's own metrics from it."""
        self._logged.look(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log a test that follows the fit into the fit's run."""
        if self._run is not None:
            self._run.log_metrics(
                self._logged.of_evaluation(trainer, "test"), trainer.global_step
            )
            self._run.close()

    def _end(self, trainer: Trainer) -> FitRecord | None:
        """The open fit, which is open no more, with its best value logged."""
        fit, self._fit = self._fit, None
        self._reports = False
        if fit is None:
            return None
        self._fit_run.report_cost(fit.cost)
        if self._report.best is not None:
            best = {f"best/{self._monitor}": self._report.best}
            fit.run.log_metrics(best, trainer.global_step)
        return fit
