"""How do a step's copies become statistics, aside from the thread that trains?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from paperstart._bn_alarms import HISTORY, BatchNormAlarm, batchnorm_alarms
from paperstart._bn_capture import Capture, Pending
from paperstart._bn_layers import BatchNormLayer, find_batchnorm_layers
from paperstart._bn_record import BatchNormRecord, Table
from paperstart._bn_snapshot import Array, BatchNormSnapshot
from paperstart._bn_statistics import BatchNormStatistics, batchnorm_statistics
from paperstart._bn_summary import batchnorm_summary
from paperstart._bn_worker import Worker


@dataclass(frozen=True)
class LoggedStep:
    """What came of one step.

    Attributes:
        step: its number.
        summary: what a tracker gets; empty if nothing is known of the step.
        alarms: those that it gave cause for, each once in a run.
    """

    step: int
    summary: dict[str, float]
    alarms: list[BatchNormAlarm]


@dataclass(frozen=True)
class RunSoFar:
    """What is written to files.

    Attributes:
        table: the layer x step table.
        scales: |scale| of each layer's channels at the last step.
    """

    table: Table
    scales: dict[str, Array]


class Pipeline:
    """One model's layers, from the copies of a step to what is logged of it.

    Args:
        publish: called from the worker with each step that something is known of.

    Attributes:
        layers: the layers that are watched now; empty if the model has none.
        dropped: due steps of which nothing is known: the GPU's copies of the ones
            before were still on their way, or the model was changed meanwhile.
    """

    def __init__(
        self, publish: Callable[[LoggedStep], None] = lambda logged: None
    ) -> None:
        self.layers: list[BatchNormLayer] = []
        self.dropped = 0
        self._publish = publish
        self._capture = Capture([])
        self._reduction = _Reduction()
        self._worker: Worker[LoggedStep] = Worker("paperstart-batchnorm")

    @property
    def failure(self) -> Exception | None:
        """The first error of the worker."""
        return self._worker.failure

    def find_layers(self, module: nn.Module) -> None:
        """Look again: a lazy layer gets its size late, and others may be frozen."""
        found = find_batchnorm_layers(module, self.layers)
        if found != self.layers:
            self.layers = found
            self._capture = Capture(found)
        else:
            self._capture.look()

    def read(self, table: Path) -> None:
        """Go on in the table of an earlier part of the run."""
        self._reduction.record.read(table)

    def before(self, module: nn.Module) -> None:
        """Copy what the step is about to move."""
        if not self.layers:
            self.find_layers(module)
        if self.layers and not self._capture.before():
            self.dropped += 1

    def after(self, step: int) -> None:
        """Copy what the step has left, and have it worked on; `take` has the result."""
        if not self._capture.is_armed:
            return
        pending = self._capture.after()
        if pending is None:
            self.dropped += 1
            return
        self._worker.give(partial(self._reduce, pending, step))

    def take(self, *, wait: bool = False) -> list[LoggedStep]:
        """The steps that are done, in order; with ``wait``, all of them."""
        if wait:
            self._worker.wait()
        done = []
        while self._worker.results:
            logged = self._worker.results.popleft()
            if logged.summary:
                done.append(logged)
            else:
                self.dropped += 1
        return done

    def then(self, use: Callable[[RunSoFar], None]) -> None:
        """Call ``use`` from the worker once it has done the steps so far, if any."""
        if self.layers:
            self._worker.give(partial(self._reduction.hand_over, use))

    def close(self) -> None:
        """Wait for the worker, and end it; what `take` has not taken stays."""
        self._worker.close()
        self.dropped += self._worker.failed

    def _reduce(self, pending: Pending, step: int) -> LoggedStep:
        logged = self._reduction(pending, step)
        if logged.summary:
            self._publish(logged)
        return logged


class _Reduction:
    """What the worker keeps from step to step."""

    def __init__(self) -> None:
        self.record = BatchNormRecord()
        self._history: list[BatchNormStatistics] = []
        self._raised: list[BatchNormAlarm] = []
        self._counts: dict[str, tuple[int, int]] = {}
        self._scales: dict[str, Array] = {}

    def __call__(self, pending: Pending, step: int) -> LoggedStep:
        """Wait for the copies and reduce them; nothing if they are of no use."""
        fetched = pending.fetch()
        if fetched is None:
            return LoggedStep(step, {}, [])
        before, after = self._fill(*fetched, pending.layers)
        earlier = self._history[-1] if self._history else None
        statistics = batchnorm_statistics(
            before, after, pending.layers, step=step, earlier=earlier
        )
        self._history = [*self._history, statistics][-HISTORY:]
        alarms = batchnorm_alarms(self._history, self._raised)
        self._raised += alarms
        self.record.add(statistics)
        starts = np.cumsum(statistics.channels)[:-1]
        scales = np.split(np.abs(after.weight), starts)
        self._scales = dict(zip(statistics.layers, scales, strict=True))
        return LoggedStep(step, batchnorm_summary(statistics), alarms)

    def hand_over(self, use: Callable[[RunSoFar], None]) -> None:
        """Call ``use`` with what there is."""
        table = self.record.table()
        if table is not None:
            use(RunSoFar(table, self._scales))

    def _fill(
        self,
        before: BatchNormSnapshot,
        after: BatchNormSnapshot,
        layers: list[BatchNormLayer],
    ) -> tuple[BatchNormSnapshot, BatchNormSnapshot]:
        """Counts that were not read this time, as they were at their last turn."""
        first, last = before.batches.copy(), after.batches.copy()
        for i, layer in enumerate(layers):
            if last[i] >= 0:
                self._counts[layer.name] = int(first[i]), int(last[i])
            elif layer.name in self._counts:
                first[i], last[i] = self._counts[layer.name]
        return replace(before, batches=first), replace(after, batches=last)
