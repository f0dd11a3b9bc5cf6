"""How does a search stop when somebody asks it to?"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class StopGate:
    """Lets Ctrl-C and SIGTERM end a training at once, but no write to a store.

    While the gate is entered, a first signal raises ``KeyboardInterrupt`` only inside
    `training`; elsewhere it is remembered, so that trial and run are closed properly.
    A second signal takes its usual course.

    Attributes:
        asked: whether somebody asked to stop.
    """

    def __init__(self) -> None:
        self.asked = False
        self._training = False
        self._before: dict[int, object] = {}

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Take over the signals; only a main thread can."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.getsignal(number)
        self._install()
        try:
            yield
        finally:
            self._restore()

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """What may be interrupted at any point."""
        self._training = True
        try:
            yield
        finally:
            self._training = False
            if not self.asked:
                self._install()  # a Trainer puts handlers of its own in place

    def _install(self) -> None:
        for number in self._before:
            signal.signal(number, self._handle)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()
        if self._training:
            raise KeyboardInterrupt
