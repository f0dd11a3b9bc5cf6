"""Who sends what waits, and what if MLflow does not answer?

One thread per process and store. It sends each run's entries in order; what MLflow
refuses for good is counted and dropped, anything else waits until it answers again.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time

from mlflow import MlflowClient

from paperstart._probe import probe
from paperstart._send import is_lasting, send
from paperstart._spool import Spool
from paperstart._spool_folder import (
    open_spool,
    open_spool_of_run,
    store_folder,
    waiting_runs,
)

_logger = logging.getLogger(__name__)
_THREAD = "paperstart-tracking"
# MLflow prints a page of traceback for each attempt on a full or missing database; ours
# are many, and a warning at the end says it. Other threads' it prints as ever.
logging.getLogger("mlflow.store.db.utils").addFilter(
    lambda record: record.threadName != _THREAD
)

SEND_S = 2.0
"""Metrics wait so long for others, to be sent with them."""
_RETRY_S = (1.0, 2.0, 5.0, 10.0, 15.0)
_STUCK_S = 20.0
_EXIT_S = 10.0


class Outbox:
    """Sends the spools of one store in the background.

    Attributes:
        uri: the store.
        away: what was said when it last did not answer; ``None`` if it answers.
    """

    def __init__(self, client: MlflowClient) -> None:
        self.uri: str = client.tracking_uri
        self.away: str | None = None
        self._client = client
        self._spools: dict[str, Spool] = {}
        self._users: dict[str, int] = {}
        self._refused: dict[str, tuple[int, str]] = {}
        self._changed = threading.Condition()
        self._hurry = False
        self._thread: threading.Thread | None = None
        self._failures = 0

    def open(self, run_id: str) -> Spool:
        """The run's spool, to append to; `release` the run afterwards."""
        with self._changed:
            spool = self._spools.get(run_id) or open_spool_of_run(self.uri, run_id)
            self._spools[run_id] = spool
            self._users[run_id] = self._users.get(run_id, 0) + 1
            self._start()
            return spool

    def adopt(self) -> list[str]:
        """Take over what processes that are gone left behind; returns the runs."""
        adopted = []
        for name in waiting_runs(store_folder(self.uri)):
            with self._changed:
                spool = None if name in self._spools else open_spool(self.uri, name)
                if spool is not None:  # else its process is at work
                    self._spools[name] = spool
                    adopted.append(spool.run_id)
                    self._start()
        return adopted

    def flush(self) -> None:
        """Send what waits now; does not wait."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()

    def wait(self, run_id: str, at_most_s: float | None = None) -> bool:
        """Until all of a run was sent, or the store turned out to be away.

        Returns whether all was sent. With a store that answers it takes as long as it
        takes; with one that says nothing at all, not long.
        """
        self.flush()
        began = seen = time.monotonic()
        left, failures = None, self._failures
        while True:
            with self._changed:
                spool = self._spools.get(run_id)
                if spool is None or spool.is_empty:
                    return True
                now = time.monotonic()
                place = spool.progress
                left, seen = (left, seen) if place == left else (place, now)
                if self.away is not None and self._failures > failures:
                    return False
                if now - seen > _STUCK_S or (at_most_s and now - began > at_most_s):
                    return False
                self._changed.wait(0.1)

    def refusals(self, run_id: str) -> tuple[int, str]:
        """How much of a run MLflow refused for good, and what it said first."""
        return self._refused.pop(run_id, (0, ""))

    def release(self, run_id: str) -> None:
        """No more comes for a run now; what waits is still sent."""
        with self._changed:
            self._users[run_id] = self._users.get(run_id, 1) - 1
            if self._users[run_id] <= 0:
                self._users.pop(run_id)
            self._drop_done()
            thread = None if self._spools else self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_EXIT_S)

    def leave(self) -> list[str]:
        """At the end of the process: give up what could not be sent; its runs."""
        with self._changed:
            runs = [run for run, spool in self._spools.items() if not spool.is_empty]
        for run_id in runs:
            self.wait(run_id, _EXIT_S)
        return [run for run in runs if run in self._spools]

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._work, name=_THREAD, daemon=True
            )
            self._thread.start()

    def _work(self) -> None:
        while True:
            with self._changed:
                pause = SEND_S if self.away is None else self._retry_s()
                if not self._hurry and self._spools:
                    self._changed.wait_for(
                        lambda: self._hurry or not self._spools, pause
                    )
                self._hurry = False
                spools = list(self._spools.values())
                if not spools:
                    self._thread = None
                    return
            if any(not spool.is_empty for spool in spools) and self._answers():
                for spool in spools:
                    if not self._send_all(spool):
                        break
            with self._changed:
                self._drop_done()
                self._changed.notify_all()

    def _retry_s(self) -> float:
        return _RETRY_S[min(self._failures, len(_RETRY_S)) - 1]

    def _drop_done(self) -> None:
        for run_id, spool in list(self._spools.items()):
            if run_id not in self._users and spool.is_empty:
                del self._spools[run_id]
                spool.close()

    def _answers(self) -> bool:
        """Ask a server first, briefly: MLflow itself would try for minutes."""
        said = probe(self.uri)
        if said is not None:
            self._fail(said)
        return said is None

    def _send_all(self, spool: Spool) -> bool:
        """Send a spool until it is empty; ``False`` if the store went away."""
        while (batch := spool.next_batch()) is not None:
            try:
                send(self._client, spool, batch)
            except Exception as error:
                if not is_lasting(error):
                    self._fail(str(error))
                    return False
                count, first = self._refused.get(spool.run_id, (0, str(error)))
                self._refused[spool.run_id] = (count + 1, first)
            spool.sent(batch)
            with self._changed:
                self.away, self._failures = None, 0
                self._changed.notify_all()
        return True

    def _fail(self, said: str) -> None:
        with self._changed:
            self.away = said
            self._failures += 1
            self._changed.notify_all()


_outboxes: dict[tuple[int, str], Outbox] = {}
_outboxes_lock = threading.Lock()


def outbox_of(client: MlflowClient) -> Outbox:
    """The one outbox of this process for a client's store."""
    key = (os.getpid(), client.tracking_uri)
    with _outboxes_lock:
        fresh = key not in _outboxes
        if fresh:
            _outboxes[key] = Outbox(client)
        outbox = _outboxes[key]
    if fresh:
        outbox.adopt()
    return outbox


@atexit.register
def _leave() -> None:
    for (pid, uri), outbox in list(_outboxes.items()):
        if pid == os.getpid():
            left = outbox.leave()
            if left:
                _logger.warning(
                    "MLflow at %s has not taken all of %d run(s) yet; "
                    "`paperstart sync` sends the rest when it answers.",
                    uri,
                    len(left),
                )
