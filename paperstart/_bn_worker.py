"""Who works on a step's numbers while the training goes on?"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

Result = TypeVar("Result")
_MOST_WAITING = 16
"""Jobs that may wait; whoever has one more waits until they are done."""


class Worker(Generic[Result]):
    """One thread that does jobs in order.

    Leaner than ``ThreadPoolExecutor``, whose futures take the caller as long as the
    copies themselves.

    Attributes:
        results: of the jobs that are done and not yet taken, in order.
        failure: the first error.
        failed: how many jobs ended in one.
    """

    def __init__(self, name: str) -> None:
        self.results: deque[Result] = deque()
        self.failure: Exception | None = None
        self.failed = 0
        self._name = name
        self._jobs: SimpleQueue[Callable[[], Result | None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def give(self, job: Callable[[], Result | None]) -> None:
        """Have a job done; its result, unless it is ``None``, comes to ``results``."""
        if self._thread is None:
            # A daemon, so that a program that is left in the midst of a fit ends.
            self._thread = threading.Thread(
                target=self._work, name=self._name, daemon=True
            )
            self._thread.start()
        elif self._jobs.qsize() >= _MOST_WAITING:
            self.wait()
        self._jobs.put(job)

    def wait(self) -> None:
        """Wait until all jobs are done."""
        if self._thread is not None:
            done = threading.Event()
            self._jobs.put(done.set)
            done.wait()

    def close(self) -> None:
        """Wait until all jobs are done, and end the thread."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                result = job()
            except Exception as error:
                self.failure = self.failure or error
                self.failed += 1
            else:
                if result is not None:
                    self.results.append(result)
