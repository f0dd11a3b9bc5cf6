"""What every test shares: quiet libraries, one thread, and stores of their own."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("optuna.testing.pytest_samplers")

# Before MLflow and torch are imported, here and in every process that a test starts.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["PAPERSTART_SPOOL"] = tempfile.mkdtemp(prefix="paperstart-spool-")
atexit.register(shutil.rmtree, os.environ["PAPERSTART_SPOOL"], ignore_errors=True)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the checkout, or into the user's MLflow."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(
        "PAPERSTART_SPOOL", str(tmp_path.parent / f"{tmp_path.name}-spool")
    )
    for name in ("TRACKING_URI", "EXPERIMENT_NAME", "EXPERIMENT_ID", "RUN_ID"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)


@pytest.fixture(autouse=True)
def _no_reports_at_exit() -> Iterator[None]:
    """The report of a test's study is not made when pytest ends: its store is gone."""
    yield
    keeper = sys.modules.get("paperstart._keeper")
    if keeper is not None:
        keeper._keepers.clear()


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's schema; making it takes seconds, a copy does not."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "fresh.db"
    before = Path.cwd()
    os.chdir(path.parent)  # where the default experiment's artifacts will go
    try:
        MlflowClient(f"sqlite:///{path}").search_experiments()
    finally:
        os.chdir(before)
    return path


@pytest.fixture
def store(fresh_store: Path, tmp_path: Path) -> str:
    """The tracking URI of an empty MLflow store of the test's own."""
    path = tmp_path / "mlflow.db"
    shutil.copy(fresh_store, path)
    return f"sqlite:///{path}"
