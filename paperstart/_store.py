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
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from paperstart.errors import TrackingError

STUDY_TAG = "paperstart.study"
_SQLITE = "sqlite:///"
_LOCK_TIMEOUT_S = 120.0
_opened: set[tuple[int, str]] = set()


def resolve_uri(tracking_uri: str | None) -> str:
    """The tracking URI in use; a path of a local SQLite file is made absolute."""
    uri = tracking_uri or mlflow.get_tracking_uri()
    path = sqlite_path(uri)
    return uri if path is None else f"{_SQLITE}{path}"


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite store, absolute, or ``None`` for any other store."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]).absolute()


def open_store(uri: str) -> MlflowClient:
    """A client for ``uri``, whose SQLite schema is there when this returns.

    Raises:
        TrackingError: the store cannot be opened.
    """
    client = MlflowClient(uri)
    key = (os.getpid(), uri)
    path = sqlite_path(uri)
    if path is None or key in _opened:
        return client
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(uri):  # two processes that create the schema at once crash
            client.search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        raise TrackingError(
            f"MLflow's store {uri} cannot be opened: {error}. "
            f"Check that its folder exists and may be written to."
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
        with _locked(uri):
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
    tags: Mapping[str, Any] | None = None,
) -> str:
    """The id of the study's one parent run, created if there is none."""
    found = find_parent(client, experiment_id, study_name)
    if found is not None:
        return found
    with _locked(uri):
        found = find_parent(client, experiment_id, study_name)
        if found is not None:
            return found
        run = client.create_run(
            experiment_id,
            run_name=study_name,
            tags={STUDY_TAG: study_name, **_user_tag(), **(tags or {})},
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
    quoted = study_name.replace("'", "\\'")
    runs = client.search_runs(
        [experiment_id],
        filter_string=f"tags.`{STUDY_TAG}` = '{quoted}'",
        run_view_type=ViewType.ACTIVE_ONLY,
        order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        max_results=1000,
    )
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return str(parents[0].info.run_id) if parents else None


def start_run(
    client: MlflowClient,
    experiment_id: str,
    name: str | None,
    tags: Mapping[str, Any],
    parent_id: str | None = None,
) -> str:
    """Create a running run; a child if ``parent_id`` is given. Returns its id."""
    nested = {} if parent_id is None else {"mlflow.parentRunId": parent_id}
    run = client.create_run(
        experiment_id, run_name=name, tags={**_user_tag(), **tags, **nested}
    )
    return str(run.info.run_id)


def _create_experiment(client: MlflowClient, uri: str, name: str) -> str:
    path = sqlite_path(uri)
    location = None
    if path is not None:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        location = (path.parent / "mlartifacts" / digest).as_uri()
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


@contextlib.contextmanager
def _locked(uri: str) -> Iterator[None]:
    digest = hashlib.sha256(uri.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"paperstart-{digest}.lock"
    with FileLock(path, timeout=_LOCK_TIMEOUT_S, mode=0o666):
        yield
