"""What is recorded of one fit?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna import TrialPruned

from paperstart._adopt import Adopted
from paperstart._bn_record import BatchNormRecord
from paperstart._datasets import log_datasets
from paperstart._gpu import GpuMeter
from paperstart._logged import LoggedMetrics
from paperstart._system import SystemMetrics
from paperstart.tracking import RunLog, failure_tags, failure_text

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

_USUAL_STEPS = 50  # Lightning's own default, for a trainer that logs no step at all


class FitRecord:
    """The run of a fit that is under way.

    Attributes:
        run: the MLflow run.
    """

    def __init__(
        self,
        run: RunLog,
        pl_module: LightningModule,
        every_n_steps: int | None,
        adopted: Adopted | None = None,
    ) -> None:
        self.run, self._adopted = run, adopted
        self._batchnorm = BatchNormRecord(pl_module)
        self._every_n_steps = every_n_steps
        self._batches = 0
        self._meter: GpuMeter | None = None
        self._system: SystemMetrics | None = None

    def start(self, trainer: Trainer, interval_s: float) -> None:
        """Begin to watch the machine, and go on in a resumed run's table."""
        if self.run.is_resumed:
            self.run.attempt(self._read_table)
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
        self._batchnorm.find_layers(pl_module)

    def before_batch(
        self, trainer: Trainer, pl_module: LightningModule, batch_idx: int
    ) -> None:
        """Take the snapshot before a step that is due."""
        if self._is_due(trainer, batch_idx, self._every_n_steps):
            self._batchnorm.before_step(pl_module)

    def after_batch(
        self, trainer: Trainer, batch_idx: int, logged: LoggedMetrics
    ) -> None:
        """Log a step that is due."""
        step = trainer.global_step
        if self._is_due(trainer, batch_idx, self._every_n_steps):
            values = self._batchnorm.after_step(step)
            self.run.log_metrics({f"batchnorm/{n}": v for n, v in values.items()}, step)
        if self._is_due(trainer, batch_idx, None):
            self.run.log_metrics(logged.of_step(trainer), step)
        self._batches += 1

    def fail(self, error: BaseException) -> None:
        """Close the run with what really happened."""
        if isinstance(error, TrialPruned):
            self.run.set_tags({"paperstart.pruned": "true"})
            return self.close("KILLED")
        self.run.set_tags(failure_tags(error))
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return self.close("KILLED")
        self.run.log_text(failure_text(error), "traceback.txt")
        return self.close("FAILED")

    def close(self, status: str) -> None:
        """Write the table, stop the system metrics, and end the run."""
        self.run.attempt(self._log_table)
        if self._system is not None:
            self._system.finish()
        adopted = self._adopted
        if adopted is None:
            return self.run.close(status)
        self.run.close()  # its owner ends it
        if status != "FINISHED":
            self.run.attempt(adopted.end_as, status)

    def _read_table(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            table = self.run.fetch_file("batchnorm/table.npz", Path(folder))
            if table is not None:
                self._batchnorm.read(table)

    def _log_table(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for path in self._batchnorm.write(Path(folder)):
                self.run.log_file(path, "batchnorm")

    def _is_due(self, trainer: Trainer, batch_idx: int, every: int | None) -> bool:
        usual: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        per_step: int = trainer.accumulate_grad_batches
        every = (every or usual or _USUAL_STEPS) * per_step
        batches = trainer.num_training_batches
        if trainer.max_steps > 0:
            batches = min(batches, trainer.max_steps * per_step)
        if batches < every:  # a short epoch: once, and not on its last, smaller batch
            return batch_idx == (int(batches) - 1) // 2
        return (self._batches + 1) % every == 0
