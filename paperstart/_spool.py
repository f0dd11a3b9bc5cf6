"""Where does what MLflow has not taken yet wait?

In a file per run, written before anything is sent: a line per entry, in order, and how
far it was sent. A process that is killed loses nothing, and another one can carry on.
The file is emptied whenever all of it was sent, and holds so much at most.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

LIMIT_VARIABLE = "PAPERSTART_SPOOL_MB"
"""Environment: the most that may wait for one run, in MB."""
_LIMIT_MB = 256.0
METRICS_PER_BATCH = 1000  # MLflow's limit for one request
_READ_BYTES = 1 << 20
SECOND = "~"
"""Marks a further spool of a run whose first one another process holds."""

Entry = dict[str, Any]
"""One of ``metrics`` (key, value, ms, step), ``params``, ``tags``, ``file``, ``end``;
its first key says which."""


@dataclass(frozen=True)
class Batch:
    """What is sent at once, and up to where that is in the spool.

    Attributes:
        kind: ``metrics``, ``params``, ``tags``, ``file`` or ``end``.
        entries: entries of that kind, in order.
        upto: the place in the file behind them.
        line: an entry that was not on disk, as it stood in memory.
    """

    kind: str
    entries: list[Entry]
    upto: int
    line: bytes | None = None


class Spool:
    """What one run has not been sent yet; of one process at a time.

    Attributes:
        run_id: the run.
        folder: where it waits.
        dropped: metrics that found no room.
    """

    def __init__(self, folder: Path, lock: FileLock) -> None:
        self.run_id, self.folder = folder.name.partition(SECOND)[0], folder
        self.dropped = 0
        self._owner = lock
        self._lock = threading.Lock()
        self._limit = float(os.environ.get(LIMIT_VARIABLE) or _LIMIT_MB) * 1e6
        self._file = os.open(
            folder / "queue.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600
        )
        self._sent = _read_number(folder / "sent")
        self._size = os.fstat(self._file).st_size
        self._size = self._without_torn_line()
        self._sent = min(self._sent, self._size)
        self._memory: deque[bytes] = deque()  # what a full disk did not take
        self._in_memory = 0
        self._files = len(list(folder.glob("file-*")))

    @property
    def is_empty(self) -> bool:
        """Whether all of it was sent."""
        with self._lock:
            return self._sent >= self._size and not self._memory

    @property
    def progress(self) -> tuple[int, int]:
        """Changes whenever something was sent."""
        return self._sent, len(self._memory)

    def append(self, entry: Entry) -> None:
        """Keep one entry, on disk if that takes it; returns when it is there."""
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            waiting = self._size - self._sent + self._in_memory + len(line)
            if waiting > self._limit and "metrics" in entry:
                self.dropped += len(entry["metrics"])
                return
            self._memory.append(line)
            self._in_memory += len(line)
            self._write_memory()

    def new_file(self, name: str) -> Path:
        """A place inside the spool for an artifact that waits."""
        with self._lock:
            self._files += 1
            folder = self.folder / f"file-{self._files:06d}"
        folder.mkdir()
        return folder / name

    def next_batch(self) -> Batch | None:
        """What comes next, or ``None`` if nothing waits."""
        with self._lock:
            self._write_memory()
            if self._sent < self._size:
                return _first_batch(self._lines(), self._sent)
            if self._memory:  # the disk is full: straight from memory
                return _first_batch(iter(()), 0, self._memory[0])
        return None

    def sent(self, batch: Batch) -> None:
        """Forget a batch that MLflow has taken, or never will."""
        with self._lock:
            if batch.line is None:
                self._sent = batch.upto
            elif self._memory and self._memory[0] is batch.line:
                self._in_memory -= len(self._memory.popleft())
            else:  # the disk has taken it in the meantime, as its next line
                self._sent += len(batch.line)
            if self._sent >= self._size and not self._memory:
                self._empty()
            else:
                _write_number(self.folder / "sent", self._sent)
        for entry in batch.entries:
            if "file" in entry:
                shutil.rmtree(self.folder / Path(entry["file"]).parent, True)

    def close(self) -> None:
        """Give the spool up; what waits stays on disk for whoever comes next."""
        with self._lock:
            self._write_memory()
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
            done = self._sent >= self._size and not self._memory
        if done:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._owner.release()

    def _write_memory(self) -> None:
        while self._memory and self._file >= 0:
            try:
                written = os.write(self._file, self._memory[0])
            except OSError:  # full; the next call tries again
                return
            if written < len(self._memory[0]):
                os.ftruncate(self._file, self._size)
                return
            self._size += written
            self._in_memory -= written
            self._memory.popleft()

    def _lines(self) -> Iterator[bytes]:
        """The lines from where it was sent; a block is read at a time."""
        place, rest = self._sent, b""
        while place < self._size:
            block = os.pread(self._file, _READ_BYTES, place)
            if not block:
                return
            place += len(block)
            *lines, rest = (rest + block).split(b"\n")
            yield from (line + b"\n" for line in lines)

    def _empty(self) -> None:
        # In this order: killed between the two, all is sent once more, which MLflow's
        # stores take as what they have.
        os.ftruncate(self._file, 0)
        self._size = self._sent = 0
        _write_number(self.folder / "sent", 0)

    def _without_torn_line(self) -> int:
        """Cut off a last line that a crash of the machine left half."""
        size = self._size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            whole = os.pread(self._file, size, 0)
            size = whole.rfind(b"\n") + 1
            os.ftruncate(self._file, size)
        return size


def _first_batch(
    lines: Iterator[bytes], place: int, in_memory: bytes | None = None
) -> Batch:
    """The first entry, and those behind it that may be sent with it."""
    kind, metrics = "", 0
    entries: list[Entry] = []
    for line in [in_memory] if in_memory else lines:
        entry: Entry = json.loads(line)
        found = next(iter(entry))
        metrics += len(entry["metrics"]) if found == "metrics" else 0
        alone = found != "metrics" or kind not in ("", "metrics")
        if entries and (alone or metrics > METRICS_PER_BATCH):
            break
        entries.append(entry)
        kind, place = found, place + len(line)
    return Batch(kind, entries, place, in_memory)


def _read_number(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _write_number(path: Path, number: int) -> None:
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(str(number), encoding="ascii")
        fresh.replace(path)
    except OSError:  # a full disk: at worst something is sent twice, and taken once
        return
