"""What is recorded of one fit?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optuna import TrialPruned

from paperstart._bn_alarms import BatchNormAlarm
from paperstart._bn_sinks import RunSink, logger_sinks
from paperstart._bn_watch import BatchNormWatch
from paperstart._datasets import log_datasets
from paperstart._due import interval_of
from paperstart._fit_run import FitRun
from paperstart._gpu import GpuMeter
from paperstart._logged import LoggedMetrics
from paperstart._system import SystemMetrics
from paperstart.batchnorm_monitor import BatchNormMonitor
from paperstart.tracking import RunLog, failure_tags, failure_text

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer


class FitRecord:
    """The run of a fit that is under way.

    Attributes:
        run: the MLflow run.
    """

    def __init__(
        self,
        run: RunLog,
        trainer: Trainer,
        pl_module: LightningModule,
        every_n_steps: int | None,
        fit_run: FitRun,
    ) -> None:
        self.run, self._fit_run = run, fit_run
        self._batches = 0
        self._meter: GpuMeter | None = None
        self._system: SystemMetrics | None = None
        self._batchnorm = BatchNormWatch(every_n_steps)
        self._monitors = _monitors(trainer)
        if self._monitors:  # the user has one, which drives itself
            return self._monitors[0].attach(RunSink(run))
        self._batchnorm.start(pl_module)
        for sink in (RunSink(run), *logger_sinks(trainer.loggers)):
            self._batchnorm.add(sink)
        return None

    @property
    def alarms(self) -> list[BatchNormAlarm]:
        """The batch-norm alarms so far."""
        if self._monitors:
            return self._monitors[0].alarms
        return list(self._batchnorm.alarms)

    def start(self, trainer: Trainer, interval_s: float) -> None:
        """Begin to watch the machine."""
        self._meter = GpuMeter.of(trainer)
        self._system = SystemMetrics(self.run, interval_s, self._meter)

    @property
    def cost(self) -> dict[str, Any]:
        """The GPUs that the fit holds, and what they have cost until now."""
        return {} if self._meter is None else self._meter.cost()

    def start_epoch(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See which data and layers there are now."""
        if self._batches == 0 and not self.run.is_resumed:
            client, run_id = self.run.client, self.run.run_id
            self.run.attempt(log_datasets, client, run_id, trainer)
        if not self._monitors:
            self._batchnorm.start_epoch(pl_module)

    def before_batch(
        self, trainer: Trainer, pl_module: LightningModule, batch_idx: int
    ) -> None:
        """Copy what a step that is due is about to move."""
        self._batchnorm.before_batch(trainer, pl_module, batch_idx)

    def after_batch(
        self, trainer: Trainer, batch_idx: int, logged: LoggedMetrics
    ) -> None:
        """Log a step that is due."""
        self._batchnorm.after_batch(trainer)
        if interval_of(trainer, None).ends(batch_idx, self._batches):
            self.run.log_metrics(logged.of_step(trainer), trainer.global_step)
        self._batches += 1

    def end_epoch(self) -> None:
        """Have the files of the epoch written; does not wait."""
        self._batchnorm.end_epoch()

    def fail(self, error: BaseException) -> None:
        """Close the run with what really happened."""
        if isinstance(error, TrialPruned):
            self.run.set_tags({"paperstart.pruned": "true"})
            return self.close("KILLED", "Its fit was pruned.")
        self.run.set_tags(failure_tags(error))
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return self.close("KILLED", "Its fit was stopped.")
        self.run.log_text(failure_text(error), "traceback.txt")
        said = f"Its fit failed with `{type(error).__name__}`; see traceback.txt."
        return self.close("FAILED", said)

    def close(self, status: str, said: str) -> None:
        """Write the table, stop the system metrics, and end the run.

        Args:
            status: MLflow's word for how it ended.
            said: the same in a sentence, for the description.
        """
        for monitor in self._monitors:
            monitor.finish()
        self._batchnorm.close()
        if self._system is not None:
            self._system.finish()
        self._fit_run.describe_end(self.run, said, self.alarms)
        adopted = self._fit_run.adopted
        if adopted is None:
            return self.run.close(status)
        self.run.close()  # its owner ends it
        if status != "FINISHED":
            self.run.attempt(adopted.end_as, status)
        return None


def _monitors(trainer: Trainer) -> list[BatchNormMonitor]:
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    return [each for each in callbacks if isinstance(each, BatchNormMonitor)]
