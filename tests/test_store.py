"""Stores: opened by several at once, files in place, the user's MLflow untouched."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
from filelock import FileLock
from mlflow import MlflowClient

from paperstart import _store
from paperstart._store import (
    STUDY_TAG,
    ensure_experiment,
    ensure_parent,
    find_parent,
    open_store,
    resolve_uri,
    sqlite_path,
    start_run,
)
from paperstart.errors import TrackingError

WORKERS = 8
WORKER = """
import sys, time
from pathlib import Path
from paperstart._store import *
uri, name = sys.argv[1:]
Path(f"ready-{name}").touch()
while not Path("go").exists():
    time.sleep(0.01)
client = open_store(uri)
experiment_id = ensure_experiment(client, uri, "study")
parent_id = ensure_parent(client, uri, experiment_id, "study")
run_id = start_run(client, experiment_id, name, {STUDY_TAG: "study"}, parent_id)
print(experiment_id, parent_id)
"""


def test_eight_processes_open_a_fresh_store(tmp_path: Path) -> None:
    """Workers that start at one moment make one schema, one experiment, one parent."""
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    repository = Path(_store.__file__).parents[1]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, uri, str(k)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(repository)},
        )
        for k in range(WORKERS)
    ]
    while any(w.poll() is None for w in workers):
        time.sleep(0.05)
        if len(list(tmp_path.glob("ready-*"))) == WORKERS:
            break
    (tmp_path / "go").touch()
    said = [worker.communicate(timeout=300) for worker in workers]

    assert [worker.returncode for worker in workers] == [0] * WORKERS, said
    assert len({out for out, _ in said}) == 1
    client = MlflowClient(uri)
    experiment_id, parent_id = said[0][0].split()
    runs = client.search_runs([experiment_id])
    assert len(runs) == WORKERS + 1
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.run_id for run in parents] == [parent_id]


class TestUri:
    """Which store is meant."""

    @pytest.mark.parametrize(
        "uri", ["http://127.0.0.1:5000", "postgresql://me:secret@host/db", "databricks"]
    )
    def test_other_stores_stay_as_they_are(self, uri: str) -> None:
        """Only a file of SQLite's has a path."""
        assert resolve_uri(uri) == uri
        assert sqlite_path(uri) is None

    def test_a_relative_path_becomes_absolute(self, tmp_path: Path) -> None:
        """A worker that runs elsewhere finds the same file; options stay."""
        assert resolve_uri("sqlite:///a.db") == f"sqlite:///{tmp_path}/a.db"
        uri = resolve_uri("sqlite:///a.db?timeout=9")
        assert uri == f"sqlite:///{tmp_path}/a.db?timeout=9"
        assert sqlite_path(uri) == tmp_path / "a.db"
        assert resolve_uri(uri) == uri

    def test_what_is_in_use(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With no URI it is MLflow's own: the environment's, or the default."""
        assert sqlite_path(resolve_uri(None)) == tmp_path / "mlflow.db"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
        assert resolve_uri(None) == "http://127.0.0.1:5000"

    def test_memory_is_no_file(self) -> None:
        """A store in memory has no path."""
        assert sqlite_path("sqlite://") is None
        assert sqlite_path("sqlite:///:memory:") is None


class TestArtifacts:
    """Files lie beside the store."""

    @pytest.mark.parametrize("folder", ["plain", "with space #1 100%", "ünï'code"])
    def test_beside_the_file(
        self, fresh_store: Path, tmp_path: Path, folder: str
    ) -> None:
        """Artifacts go beside the SQLite file, and nothing goes where Python runs."""
        place = tmp_path / folder
        place.mkdir()
        (place / "mlflow.db").write_bytes(fresh_store.read_bytes())
        work = tmp_path / "work"
        work.mkdir()
        os.chdir(place)
        uri = resolve_uri(None)  # what MLflow makes of this folder's name
        os.chdir(work)

        client = open_store(uri)
        experiment_id = ensure_experiment(client, uri, 'it\'s "quoted"/..')
        run_id = start_run(client, experiment_id, None, {})
        client.log_text(run_id, "text", "a.txt")

        assert {path.name for path in place.iterdir()} == {"mlflow.db", "mlartifacts"}
        assert len(list((place / "mlartifacts").rglob("a.txt"))) == 1
        assert list(work.iterdir()) == []
        assert {path.name for path in tmp_path.iterdir()} == {folder, "work"}

    def test_an_experiment_of_the_users_keeps_its_place(
        self, store: str, tmp_path: Path
    ) -> None:
        """An experiment that is there is used as it is."""
        client = open_store(store)
        place = (tmp_path / "elsewhere").as_uri()
        made = client.create_experiment("mine", artifact_location=place)

        assert ensure_experiment(client, store, "mine") == made
        assert client.get_experiment(made).artifact_location == place


class TestParent:
    """One parent run per study."""

    @pytest.mark.parametrize(
        "name",
        [
            "plain",
            "it's",
            'say "hi"',
            "both ' and \"",
            "back\\slash'",
            "x' AND tags.a = 'y",
            "new\nline",
            "100%_`tick`",
            "ünï",
        ],
    )
    def test_found_again_whatever_the_name(self, store: str, name: str) -> None:
        """A study's parent is found again, and no other study's is taken for it."""
        client = open_store(store)
        experiment_id = ensure_experiment(client, store, name)
        other = ensure_parent(client, store, experiment_id, "another")
        assert find_parent(client, experiment_id, name) is None
        made = ensure_parent(client, store, experiment_id, name, {"a": "b"})

        assert made != other
        assert ensure_parent(client, store, experiment_id, name) == made
        run = client.get_run(made)
        assert run.data.tags[STUDY_TAG] == name
        assert run.data.tags["a"] == "b"
        assert run.info.run_name == name
        assert run.info.status == "FINISHED"

    def test_children_are_no_parents(self, store: str) -> None:
        """A child's tag does not make it the parent when that was deleted."""
        client = open_store(store)
        experiment_id = ensure_experiment(client, store, "s")
        parent = ensure_parent(client, store, experiment_id, "s")
        child = start_run(client, experiment_id, "c", {STUDY_TAG: "s"}, parent)
        client.delete_run(parent)

        assert find_parent(client, experiment_id, "s") is None
        assert ensure_parent(client, store, experiment_id, "s") not in (parent, child)

    def test_a_run_has_a_user(self, store: str) -> None:
        """MLflow shows who started a run."""
        client = open_store(store)
        experiment_id = ensure_experiment(client, store, "s")
        run = client.get_run(start_run(client, experiment_id, "name", {"k": 1}))

        assert run.data.tags["mlflow.user"]
        assert run.data.tags["k"] == "1"
        assert run.info.run_name == "name"
        assert run.info.status == "RUNNING"


class TestErrors:
    """What goes wrong is said in words."""

    def test_a_deleted_experiment(self, store: str) -> None:
        """A deleted experiment is named, with the command that restores it."""
        client = open_store(store)
        experiment_id = ensure_experiment(client, store, "gone")
        client.delete_experiment(experiment_id)

        with pytest.raises(TrackingError) as caught:
            ensure_experiment(client, store, "gone")

        assert "'gone' was deleted" in str(caught.value)
        assert f"mlflow experiments restore -x {experiment_id}" in str(caught.value)

    @pytest.mark.parametrize(
        ("uri", "said"),
        [
            ("file:./mlruns", "mlflow migrate-filestore"),
            ("nonsense://host", "unsupported URI"),
            ("sqlite:///junk.db", "not a database"),
            ("sqlite:////dev/null/mlflow.db", "/dev/null"),
        ],
    )
    def test_a_store_that_cannot_be_opened(self, uri: str, said: str) -> None:
        """A store that is none is named, with MLflow's reason and what to check."""
        Path("junk.db").write_text("not a database at all" * 100)

        with pytest.raises(TrackingError) as caught:
            open_store(uri)

        assert uri in str(caught.value)
        assert said in str(caught.value)
        assert "Check the URI" in str(caught.value)

    def test_a_lock_that_stays(
        self, store: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who waits too long for another process is told which file to look at."""
        locks: list[Path] = []
        original = FileLock

        def spy(path: Path, **options: object) -> FileLock:
            locks.append(path)
            return original(path, **options)

        monkeypatch.setattr(_store, "FileLock", spy)
        monkeypatch.setattr(_store, "_LOCK_TIMEOUT_S", 0.05)
        client = open_store(store)

        with (
            FileLock(locks[0]),
            pytest.raises(TrackingError, match=r"paperstart-.*\.lock"),
        ):
            ensure_experiment(client, store, "s")


def test_the_users_mlflow_is_untouched(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracking URI, active experiment and active run are the user's afterwards."""
    # Later tests are not to find the experiment that is chosen here.
    monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", None)
    own = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow.set_tracking_uri(own)
    try:
        mlflow.set_experiment("the user's")
        with mlflow.start_run() as active:
            before = dict(os.environ)
            client = open_store(store)
            experiment_id = ensure_experiment(client, store, "ours")
            parent = ensure_parent(client, store, experiment_id, "ours")
            start_run(client, experiment_id, "child", {}, parent)

            assert mlflow.get_tracking_uri() == own
            assert mlflow.active_run().info.run_id == active.info.run_id
            assert dict(os.environ) == before
        with mlflow.start_run() as later:
            chosen = mlflow.get_experiment_by_name("the user's").experiment_id
            assert later.info.experiment_id == chosen
    finally:
        mlflow.set_tracking_uri(None)
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
        os.environ.pop("MLFLOW_TRACKING_URI", None)
