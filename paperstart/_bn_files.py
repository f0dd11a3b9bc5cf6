"""When are the table and the pictures of a run written?"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from paperstart._bn_facts import LayerFacts, write_facts
from paperstart._bn_pictures import draw_pictures
from paperstart._bn_pipeline import RunSoFar
from paperstart._bn_record import write_table
from paperstart._bn_sinks import Sink

_MOST_TIME = 0.01
"""Share of the time that may go into drawing while the training goes on."""
_FIRST_GUESS_S = 0.3  # what a set of pictures takes of a small model


class RunFiles:
    """Writes files in a thread of its own, one set after the other.

    Attributes:
        failure: the first error in that thread.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.failure: Exception | None = None
        self._sinks = sinks
        self._thread: ThreadPoolExecutor | None = None
        self._last: Future[None] | None = None
        self._drawing_s = _FIRST_GUESS_S
        self._drawn_at = time.monotonic()

    def write_facts(self, facts: Sequence[LayerFacts], sink: Sink) -> None:
        """Write what is known of each layer for one sink; does not wait."""
        self._start(self._put_facts, facts, sink)

    def write_epoch(self, run: RunSoFar) -> None:
        """Write the table so far, and pictures unless they would take too long.

        Does not wait; nothing is written while an earlier epoch's files still are.
        """
        if self._last is None or self._last.done():
            since = time.monotonic() - self._drawn_at
            self._start(self._put, run, self._drawing_s < _MOST_TIME * since)

    def write_last(self, run: RunSoFar) -> None:
        """Write all of it."""
        self._start(self._put, run, True)

    def close(self) -> None:
        """Wait until everything is written."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _start(self, call: Callable[..., None], *arguments: Any) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "paperstart-files")
        self._last = self._thread.submit(self._attempt, call, *arguments)

    def _attempt(self, call: Callable[..., None], *arguments: Any) -> None:
        try:
            call(*arguments)
        except Exception as error:  # a full disk, a font: no training ends for it
            self.failure = self.failure or error

    def _put_facts(self, facts: Sequence[LayerFacts], sink: Sink) -> None:
        if facts:
            with tempfile.TemporaryDirectory() as folder:
                sink.put(write_facts(facts, Path(folder)))

    def _put(self, run: RunSoFar, has_pictures: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self._put_paths(write_table(run.table, Path(folder)))
            if has_pictures:
                start = time.monotonic()
                self._put_paths(draw_pictures(run.table, run.scales, Path(folder)))
                self._drawn_at = time.monotonic()
                self._drawing_s = self._drawn_at - start

    def _put_paths(self, paths: Sequence[Path]) -> None:
        for sink in self._sinks:
            for path in paths:
                sink.put(path)
