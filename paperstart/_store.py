"""In which MLflow store, experiment and parent run do these runs live?

Whatever several workers could create twice (a fresh SQLite schema, an experiment, a
study's parent run) is created here, under a lock. The user's own tracking URI, active
experiment and active run are read and never changed.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import random
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import mlflow
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import make_url

from paperstart._probe import wait_until_it_answers
from paperstart.errors import TrackingError

STUDY_TAG = "paperstart.study"
PARENT_TAG = "paperstart.parent_key"
"""Only a study's parent run has it: a digest of the name, which needs no quoting."""
_LOCK_TIMEOUT_S = 120.0
_opened: set[tuple[int, str]] = set()


@contextlib.contextmanager
def locked(uri: str) -> Iterator[None]:
    """Hold what only one process of this machine may do to a store at a time."""
    path = Path(tempfile.gettempdir()) / f"paperstart-{_digest(uri)}.lock"
    try:
        lock = FileLock(path, timeout=_LOCK_TIMEOUT_S, mode=0o666).acquire()
    except Timeout:
        raise TrackingError(
            f"Another process has held {path} for {_LOCK_TIMEOUT_S:.0f} s, so the "
            f"store {uri} cannot be prepared. If no other process is at work, remove "
            f"the file."
        ) from None
    with lock:
        yield


def resolve_uri(tracking_uri: str | None) -> str:
    """The tracking URI in use; a path of a local SQLite file is made absolute."""
    uri = tracking_uri or mlflow.get_tracking_uri()
    path = sqlite_path(uri)
    if path is None:
        return uri
    url, plain = make_url(uri), f"sqlite:///{path}"
    if not url.query and make_url(plain).database == str(path):
        return plain  # MLflow makes a stray folder out of a quoted name
    # SQLAlchemy reads what it writes; its versions differ in how they quote.
    return url.set(database=str(path)).render_as_string(hide_password=False)


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite store, absolute, or ``None`` for any other store."""
    if not uri.startswith("sqlite:"):
        return None
    database = make_url(uri).database
    return None if database in (None, "", ":memory:") else Path(database).absolute()


def open_store(uri: str) -> MlflowClient:
    """A client for ``uri``, whose SQLite schema is there when this returns.

    A server that is away is waited for: MLflow itself would try for minutes, silently.

    Raises:
        TrackingError: the store cannot be opened.
    """
    said = wait_until_it_answers(uri)
    if said is not None:
        raise TrackingError(
            f"MLflow at {uri} does not answer ({said}). Start the server, or name "
            f"another store."
        )
    path = sqlite_path(uri)
    key = (os.getpid(), uri)
    try:
        if path is None or key in _opened:
            return MlflowClient(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(uri):  # two processes that create the schema at once crash
            _check_file(path)
            client = MlflowClient(uri)
    except TrackingError:
        raise
    except Exception as error:  # whatever the store's driver raises
        raise TrackingError(
            f"MLflow's store {uri} cannot be opened: {error}. "
            f"Check the URI; the folder of a SQLite file must be writable."
        ) from error
    _opened.add(key)
    return client


def ensure_experiment(client: MlflowClient, uri: str, name: str) -> str:
    """The id of the experiment of this name, created if there is none.

    Artifacts of a local SQLite store go beside its file, not into the folder in which
    the process happens to run.

    Raises:
        TrackingError: the experiment was deleted.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        with locked(uri):
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                return _create_experiment(client, uri, name)
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"The MLflow experiment {name!r} was deleted. Restore it "
            f"(`mlflow experiments restore -x {experiment.experiment_id}`), or choose "
            f"another name."
        )
    return str(experiment.experiment_id)


def ensure_parent(
    client: MlflowClient,
    uri: str,
    experiment_id: str,
    study_name: str,
    tags: Mapping[str, str] | None = None,
) -> str:
    """The id of the study's one parent run, created if there is none."""
    found = find_parent(client, experiment_id, study_name)
    if found is not None:
        return found
    with locked(uri):
        found = find_parent(client, experiment_id, study_name)
        if found is not None:
            return found
        run = client.create_run(
            experiment_id,
            run_name=study_name,
            tags={
                STUDY_TAG: study_name,
                PARENT_TAG: _digest(study_name),
                **_user_tag(),
                **(tags or {}),
            },
        )
        # Only a search keeps it running; otherwise it holds the children together.
        client.set_terminated(run.info.run_id)
    # The lock holds on one machine. If another one created a parent at the same
    # moment, the older of the two is everybody's.
    first = find_parent(client, experiment_id, study_name)
    if first is not None and first != run.info.run_id:
        client.delete_run(run.info.run_id)
        return first
    return str(run.info.run_id)


def find_parent(
    client: MlflowClient, experiment_id: str, study_name: str
) -> str | None:
    """The id of the study's parent run, or ``None``."""
    runs = client.search_runs(
        [experiment_id],
        filter_string=f"tags.`{PARENT_TAG}` = '{_digest(study_name)}'",
        run_view_type=ViewType.ACTIVE_ONLY,
        order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        max_results=1,
    )
    return str(runs[0].info.run_id) if runs else None


def start_run(
    client: MlflowClient,
    experiment_id: str,
    name: str | None,
    tags: Mapping[str, str],
    parent_id: str | None = None,
) -> str:
    """Create a running run; a child if ``parent_id`` is given. Returns its id."""
    nested = {} if parent_id is None else {"mlflow.parentRunId": parent_id}
    state = random.getstate()  # MLflow draws a name, where there is none, from it
    try:
        run = client.create_run(
            experiment_id, run_name=name, tags={**_user_tag(), **tags, **nested}
        )
    finally:
        random.setstate(state)
    return str(run.info.run_id)


def _create_experiment(client: MlflowClient, uri: str, name: str) -> str:
    path = sqlite_path(uri)
    location = None
    if path is not None:
        location = (path.parent / "mlartifacts" / _digest(name)).as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        # Another machine was faster; whatever else it is, asking again says it.
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            raise
        return str(experiment.experiment_id)


def _user_tag() -> dict[str, str]:
    try:
        return {"mlflow.user": getpass.getuser()}
    except (KeyError, OSError):  # a container whose user has no name
        return {}


def _check_file(path: Path) -> None:
    """Fail now where SQLite cannot read the file; MLflow would try for 100 seconds."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA schema_version")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
