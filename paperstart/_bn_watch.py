"""What happens to the batch-norm layers in the course of one fit?

The parts in their order: copies before and after a due step, statistics in a worker,
numbers and alarms to the sinks, files after each epoch. It knows when through the
trainer alone, and never stops a training.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from paperstart._bn_alarms import BatchNormAlarm
from paperstart._bn_facts import LayerFacts, layer_facts, run_facts
from paperstart._bn_files import RunFiles
from paperstart._bn_pipeline import LoggedStep, Pipeline
from paperstart._bn_sinks import Sink
from paperstart._due import Interval, interval_of

if TYPE_CHECKING:
    from pytorch_lightning import Trainer


class BatchNormWatch:
    """Watches the layers of one model during one fit.

    Args:
        every_n_steps: optimizer steps between looks; the trainer's own if ``None``.

    Attributes:
        alarms: those so far.
        is_closed: whether the fit has ended.
    """

    def __init__(self, every_n_steps: int | None) -> None:
        self.alarms: list[BatchNormAlarm] = []
        self.is_closed = False
        self._every_n_steps = every_n_steps
        self._sinks: list[Sink] = []
        self._pipeline = Pipeline(self._log_in_background)
        self._files = RunFiles(self._sinks)
        self._facts: list[LayerFacts] = []
        self._texts: dict[str, str] = {}
        self._batches = 0
        self._interval: Interval | None = None
        self._is_on = False
        self._failure: Exception | None = None

    def start(self, module: nn.Module) -> None:
        """Find the layers, and what is known of them before the first step."""
        self._attempt(self._find_layers, module)

    def add(self, sink: Sink) -> None:
        """Tell one more, from now on; go on in a table that it has of the run."""
        self._sinks.append(sink)
        if self._texts:
            self._attempt(sink.set_facts, self._texts)
            self._files.write_facts(self._facts, sink)
        self._attempt(self._read_table, sink)

    def _read_table(self, sink: Sink) -> None:
        with tempfile.TemporaryDirectory() as folder:
            table = sink.earlier_table(Path(folder))
            if table is not None:
                self._pipeline.read(table)

    def start_epoch(self, module: nn.Module) -> None:
        """See which layers there are now, and how long the epoch is."""
        self._interval = None
        self._attempt(self._find_layers, module)

    def before_batch(self, trainer: Trainer, module: nn.Module, batch_idx: int) -> None:
        """Copy what a due step is about to move."""
        if not self._is_on:
            return
        if self._interval is None:
            self._interval = interval_of(trainer, self._every_n_steps)
        if self._interval.ends(batch_idx, self._batches):
            self._attempt(self._pipeline.before, module)

    def after_batch(self, trainer: Trainer) -> None:
        """Copy what a due step has left; log the earlier ones that are done."""
        self._batches += 1
        if self._is_on:
            self._attempt(self._pipeline.after, trainer.global_step)
            self._log(self._pipeline.take())

    def end_epoch(self) -> None:
        """Have the files written; does not wait."""
        self._pipeline.then(self._files.write_epoch)

    def close(self) -> None:
        """Log and write all that there is, and end the threads; twice does no harm."""
        if self.is_closed:
            return
        self._is_on, self.is_closed = False, True
        self._log(self._pipeline.take(wait=True))
        self._pipeline.then(self._files.write_last)
        self._pipeline.close()
        self._files.close()
        if self._pipeline.dropped:
            dropped = {"dropped_steps": str(self._pipeline.dropped)}
            self._tell(lambda sink: sink.set_facts(dropped))
        self._tell(lambda sink: sink.close())
        failure = self._failure or self._pipeline.failure or self._files.failure
        if failure is not None:
            warnings.warn(
                f"Some batch-norm statistics of this fit are lost. Of the first it was "
                f"said: {type(failure).__name__}: {failure}",
                RuntimeWarning,
                stacklevel=2,
            )

    def _find_layers(self, module: nn.Module) -> None:
        self._pipeline.find_layers(module)
        # A lazy layer has no buffers yet, and is looked for again.
        self._is_on = any(isinstance(child, _NormBase) for child in module.modules())
        self._facts = layer_facts(self._pipeline.layers)
        texts = run_facts(module, self._facts)
        if texts and not self._texts:  # once, when there is something to say
            for sink in self._sinks:
                self._attempt(sink.set_facts, texts)
                self._files.write_facts(self._facts, sink)
        self._texts = self._texts or texts

    def _log_in_background(self, logged: LoggedStep) -> None:
        """Called from the worker: a run writes to disk, and may ask a server."""
        self.alarms += logged.alarms
        self._send(logged, [sink for sink in self._sinks if sink.in_background])

    def _log(self, steps: Sequence[LoggedStep]) -> None:
        for logged in steps:
            self._send(logged, [s for s in self._sinks if not s.in_background])
            for alarm in logged.alarms:
                warnings.warn(alarm.words, UserWarning, stacklevel=2)

    def _send(self, logged: LoggedStep, sinks: Sequence[Sink]) -> None:
        values = {f"batchnorm/{n}": v for n, v in logged.summary.items()}
        for sink in sinks:
            self._attempt(sink.log_metrics, values, logged.step)
            if logged.alarms:
                self._attempt(sink.set_alarms, self.alarms)

    def _tell(self, call: Callable[[Sink], None]) -> None:
        for sink in self._sinks:
            self._attempt(call, sink)

    def _attempt(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Do something that no training may end for, if it fails."""
        try:
            call(*arguments)
        except Exception as error:  # whatever a module or a store of a user's raises
            self._failure = self._failure or error
