"""Through what does a run get everything that it is told?"""

from __future__ import annotations

import functools
import math
import re
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from paperstart._outbox import outbox_of
from paperstart._probe import probe
from paperstart._send import copy_into
from paperstart._spool import LIMIT_VARIABLE, METRICS_PER_BATCH, Spool
from paperstart._spool_folder import store_folder

_PARAMS_PER_BATCH = 100  # MLflow's limit for one request


class RunLog:
    """Everything that one run is told.

    All of it is written to the run's spool on disk and sent from there, in batches, in
    order and in the background, so the caller does not wait and a store that goes away
    costs nothing: what it has not taken is sent when it answers again, by this process
    or by a later one. What it refuses for good is said in one warning at the end;
    training never stops for it.

    Attributes:
        run_id: the run.
        is_resumed: whether an earlier fit of ours has written it.
        client: of the run's store.
        known_metrics: the last of each metric that the run had before.
        known_tags: the tags that it had.
    """

    def __init__(
        self,
        client: MlflowClient,
        run_id: str,
        resumed: Run | None = None,
        *,
        adopted: Run | None = None,
    ) -> None:
        """A log for a run; ``resumed`` or ``adopted`` is what is known of it."""
        self.run_id = run_id
        self.is_resumed = resumed is not None
        self.client = client
        known = resumed or adopted
        self._params = {} if known is None else dict(known.data.params)
        self.known_tags = {} if known is None else dict(known.data.tags)
        self.known_metrics = [] if known is None else known.data._metric_objs
        self._nonfinite: Counter[str] = Counter()
        self._outbox = outbox_of(client)
        self._spool: Spool | None = None
        self._opening = threading.Lock()
        self._refused = 0
        self._first_refusal = ""

    @property
    def uri(self) -> str:
        """The run's store."""
        return self._outbox.uri

    @property
    def known_params(self) -> Mapping[str, str]:
        """The params that the run has, as text."""
        return self._params

    @property
    def is_away(self) -> bool:
        """Whether the store does not answer now; asked briefly, if it is a server."""
        return self._outbox.away is not None or probe(self.uri) is not None

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Queue metrics. NaN and infinities are counted instead: they break pages."""
        now = int(time.time() * 1000)
        finite = {}
        for name, value in values.items():
            key = clean_key(name)
            if math.isfinite(value):
                finite[key] = float(value)
            else:
                count = f"{key.partition('/')[0]}/nonfinite_count"
                self._nonfinite[count] += 1
                finite[count] = float(self._nonfinite[count])
        rows = [[key, value, now, step] for key, value in finite.items()]
        for first in range(0, len(rows), METRICS_PER_BATCH):
            self._append({"metrics": rows[first : first + METRICS_PER_BATCH]})

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Queue params; those that the run has stay as they are.

        MLflow cuts a value after 6,000 characters, and takes no second one.
        """
        params = {clean_key(name): str(value) for name, value in values.items()}
        new = {k: value for k, value in params.items() if k not in self._params}
        self._params |= new
        rows = [[key, value] for key, value in new.items()]
        for first in range(0, len(rows), _PARAMS_PER_BATCH):
            self._append({"params": rows[first : first + _PARAMS_PER_BATCH]})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Queue tags."""
        if tags:
            self._append({"tags": [[key, str(value)] for key, value in tags.items()]})

    def tag(self, name: str) -> str:
        """What a tag says in the store, or an empty text; waits for the answer."""
        return str(self.client.get_run(self.run_id).data.tags.get(name, ""))

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Queue a copy of a file for the run's artifacts."""
        self.attempt(self._queue_file, path, folder)

    def log_text(self, text: str, name: str) -> None:
        """Queue a text for the run's artifacts."""
        folder, _, file = name.rpartition("/")
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / file
            path.write_text(text, encoding="utf-8")
            self.log_file(path, folder or None)

    def fetch_file(self, name: str, folder: Path) -> Path | None:
        """Copy one of the run's artifacts to ``folder``, if it is there."""
        self._outbox.wait(self.run_id)
        found = self.client.list_artifacts(self.run_id, name.rpartition("/")[0])
        if name not in {file.path for file in found}:
            return None
        return Path(self.client.download_artifacts(self.run_id, name, str(folder)))

    def attempt(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Do something for the run that no training may end for, if it fails."""
        try:
            call(*arguments)
        except Exception as error:  # whatever an artifact store's driver raises
            self._refuse(1, str(error))

    def flush(self) -> None:
        """Send what is queued; does not wait."""
        self._outbox.flush()

    def close(self, status: str | None = None) -> None:
        """End the run with ``status``, and wait until MLflow has everything.

        It does not wait for a store that does not answer: what is left is sent later.
        """
        if status is not None:
            self._append({"end": status, "at": int(time.time() * 1000)})
        sent = self._outbox.wait(self.run_id)
        dropped = 0
        if self._spool is not None:
            dropped, self._spool.dropped = self._spool.dropped, 0
            self._spool = None
            self._outbox.release(self.run_id)
        self._refuse(*self._outbox.refusals(self.run_id))
        self._warn(sent, dropped)
        self._refused = 0

    def _append(self, entry: dict[str, Any]) -> None:
        self._opened().append(entry)

    def _opened(self) -> Spool:
        with self._opening:
            if self._spool is None:
                self._spool = self._outbox.open(self.run_id)
            return self._spool

    def _queue_file(self, path: Path, folder: str | None) -> None:
        place = copy_into(self._opened(), Path(path))
        self._append({"file": place, "folder": folder})

    def _refuse(self, count: int, said: str) -> None:
        if count:
            self._first_refusal = self._first_refusal if self._refused else said
            self._refused += count

    def _warn(self, sent: bool, dropped: int) -> None:
        said = []
        if self._refused:
            said.append(
                f"MLflow did not take {self._refused} batches or files of run "
                f"{self.run_id}, which are lost. Of the first it said: "
                f"{self._first_refusal}"
            )
        if dropped:
            said.append(
                f"{dropped} metrics of run {self.run_id} found no room on disk while "
                f"MLflow was away, and are lost. {LIMIT_VARIABLE} sets the room in MB."
            )
        if not sent:
            said.append(
                f"MLflow at {self._outbox.uri} does not answer "
                f"({self._outbox.away or 'nothing was said'}). What it has not taken "
                f"of run {self.run_id} waits in {store_folder(self._outbox.uri)} and "
                f"is sent when it answers; `paperstart sync` sends what this process "
                f"leaves behind."
            )
        if said:
            warnings.warn(" ".join(said), RuntimeWarning, stacklevel=3)


@functools.lru_cache(4096)
def clean_key(name: str) -> str:
    """The name without what MLflow refuses in a key: odd characters, odd paths."""
    allowed = re.sub(r"[^\w\-. :/]", "_", name)[:250]
    parts = [part.lstrip(".") for part in allowed.split("/")]
    return "/".join(part for part in parts if part) or "_"
