"""How do a step's copies become statistics, aside from the thread that trains?"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
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

_MOST_WAITING = 16
"""Steps that may wait for the worker; then the caller does its part of the waiting."""


@dataclass(frozen=True)
class LoggedStep:
    """What came of one step.

    Attributes:
        step: its number.
        summary: what a tracker gets.
        alarms: those that it gave cause for, each once in a run.
    """

    step: int
    summary: dict[str, float]
    alarms: list[BatchNormAlarm]


class Pipeline:
    """One model's layers, from the copies of a step to what is logged of it.

    Attributes:
        layers: the layers that are watched now; empty if the model has none.
        dropped: due steps of which nothing is known, since a GPU's copies of the
            earlier ones were still on their way, or the model was changed meanwhile.
    """

    def __init__(self, zero_scaled: Sequence[str] = ()) -> None:
        self.layers: list[BatchNormLayer] = []
        self.dropped = 0
        self._capture = Capture([])
        self._reduction = _Reduction()
        self._worker: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[LoggedStep | None]] = deque()

    def find_layers(self, module: nn.Module) -> None:
        """Look again: a lazy layer has its buffers only after the first batch."""
        found = find_batchnorm_layers(module)
        if found != self.layers:
            self.layers = found
            self._capture = Capture(found)

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
        pending = self._capture.after()
        if pending is None:
            return
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, "paperstart-batchnorm")
        while len(self._waiting) >= _MOST_WAITING and not self._waiting[0].done():
            self._waiting[0].exception()
            break
        self._waiting.append(self._worker.submit(self._reduction, pending, step))

    def take(self) -> list[LoggedStep]:
        """What is done, in order; does not wait."""
        done = []
        while self._waiting and self._waiting[0].done():
            logged = self._waiting.popleft().result()
            if logged is None:
                self.dropped += 1
            else:
                done.append(logged)
        return done
