"""When, during a fit, are the batch-norm layers looked at?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paperstart._bn_alarms import BatchNormAlarm
from paperstart._bn_sinks import Sink, folder_sink, logger_sinks
from paperstart._bn_watch import BatchNormWatch
from paperstart._lightning import Callback

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer


class BatchNormMonitor(Callback):
    """Logs what the batch-norm layers of a model do, and warns of what goes wrong.

    ``Trainer(callbacks=[BatchNormMonitor()])`` is all it takes; `PaperStartCallback`
    has one in it. At most 14 numbers ``batchnorm/...`` of a step go to every logger of
    the trainer. The table of all layers at all steps and its pictures are written after
    each epoch: to the run of an ``MLFlowLogger``, or else to a folder ``batchnorm``
    beside a logger's files.

    Nothing is hooked into the model, so a compiled model stays as it is. A GPU is never
    waited for, but for the copy of a layer's first values at the start of the fit. The
    numbers are those of rank 0; of ``SyncBatchNorm`` they are of all ranks' batches.
    None in ``fast_dev_run``, and none of a model without batch norm.

    Args:
        every_n_steps: how often the layers are looked at, in optimizer steps; at the
            trainer's ``log_every_n_steps`` if not given, and at least once an epoch
            where the length of the epoch is known.
        folder: where table and pictures go, in place of a logger's folder.
    """

    def __init__(
        self,
        every_n_steps: int | None = None,
        *,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        self._every_n_steps = every_n_steps
        self._folder = None if folder is None else Path(folder)
        self._watch: BatchNormWatch | None = None  # stays after the fit
        self._attached: list[Sink] = []

    @property
    def alarms(self) -> list[BatchNormAlarm]:
        """The alarms of the last fit."""
        return [] if self._watch is None else list(self._watch.alarms)

    def attach(self, sink: Sink) -> None:
        """Tell one more of the fit that has started, or else of the next one."""
        if self._watch is None or self._watch.is_closed:
            self._attached.append(sink)
        else:
            self._watch.add(sink)

    def finish(self) -> None:
        """Log and write all that is left, and wait until it is there."""
        if self._watch is not None:
            self._watch.close()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the layers, and say what is known before the first step."""
        self._watch = None
        attached, self._attached = self._attached, []
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        loggers = trainer.loggers
        self._watch = BatchNormWatch(self._every_n_steps)
        self._watch.start(pl_module)
        folder = [] if attached else folder_sink(loggers, self._folder)
        for sink in (*attached, *logger_sinks(loggers), *folder):
            self._watch.add(sink)

    def on_train_epoch_start(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> None:
        """See which layers there are now."""
        if self._watch is not None:
            self._watch.start_epoch(pl_module)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Copy what a due step is about to move."""
        if self._watch is not None:
            self._watch.before_batch(trainer, pl_module, batch_idx)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Copy what a due step has left; log the earlier ones that are done."""
        if self._watch is not None:
            self._watch.after_batch(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have table and pictures written."""
        if self._watch is not None:
            self._watch.end_epoch()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log and write all that is left."""
        self.finish()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Log and write all that there is of a fit that failed."""
        self.finish()

    def teardown(
        self, trainer: Trainer, pl_module: LightningModule, stage: str
    ) -> None:
        """The same for a fit that was left without a word, as by a tuner."""
        self.finish()
