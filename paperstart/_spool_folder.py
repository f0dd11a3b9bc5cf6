"""Where do spools lie, which are there, and who may open one?

One folder per store, in it one per run, and beside each a lock that its process holds.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from pathlib import Path

from filelock import FileLock, Timeout

from paperstart._spool import SECOND, Spool

FOLDER_VARIABLE = "PAPERSTART_SPOOL"
"""Environment: another folder for the spools."""


def spool_folder() -> Path:
    """Where all spools of this user lie."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "paperstart" / "spool"


def store_folder(uri: str) -> Path:
    """Where the spools of one store lie; the file ``uri`` in it names the store."""
    digest = hashlib.sha256(uri.encode()).hexdigest()[:16]
    folder = spool_folder() / digest
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = folder / "uri"
    if not name.exists():
        fresh = folder / f"uri.{os.getpid()}"
        fresh.touch(mode=0o600)  # an address may hold a password
        fresh.write_text(uri, encoding="utf-8")
        fresh.replace(name)
    return folder


def open_spool(uri: str, name: str) -> Spool | None:
    """The spool of this name, made if there is none; ``None`` if another has it."""
    folder = store_folder(uri) / name
    lock = FileLock(folder.parent / f"{name}.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    folder.mkdir(exist_ok=True, mode=0o700)
    return Spool(folder, lock)


def open_spool_of_run(uri: str, run_id: str) -> Spool:
    """A spool for a run; while another process sends the run's first, a further one."""
    names = (f"{run_id}{SECOND}{n}" if n else run_id for n in itertools.count())
    return next(s for s in (open_spool(uri, name) for name in names) if s is not None)


def waiting_stores() -> list[str]:
    """The addresses of all stores for which something waits."""
    found = []
    for folder in sorted(spool_folder().glob("*/uri")):
        if waiting_runs(folder.parent):
            found.append(folder.read_text(encoding="utf-8"))
    return found


def waiting_runs(store: Path) -> list[str]:
    """The names of a store's spools that hold something."""
    return sorted(
        queue.parent.name
        for queue in store.glob("*/queue.jsonl")
        if queue.stat().st_size > 0
    )
