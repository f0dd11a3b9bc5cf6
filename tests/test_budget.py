"""`paperstart search` with a budget and a price, as a user types it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

# What a fit on two GPUs would have written; the objective itself is quick.
MODULE = """
def objective(trial):
    trial.set_user_attr(
        "paperstart.cost", {"gpus": 2, "gpu_hours": 1.5, "energy_kwh": 0.25}
    )
    return trial.suggest_float("learning_rate", 1e-3, 1, log=True)
"""


@pytest.fixture
def search(tmp_path: Path, store: str):  # type: ignore[no-untyped-def]
    """Runs the command for five trials with further options."""
    (tmp_path / "mine.py").write_text(MODULE)

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "paperstart", "search", "mine:objective"]
        command += ["--recipe", "resnet20-cifar10", "--trials", "5", "--seed", "0"]
        command += ["--study", "s", "--storage", f"sqlite:///{tmp_path / 'study.db'}"]
        command += ["--tracking-uri", store, *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run


def trials(tmp_path: Path) -> list[optuna.trial.FrozenTrial]:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    return optuna.load_study(study_name="s", storage=storage).trials


def parent(store: str) -> Run:
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("s")
    runs = client.search_runs([experiment.experiment_id])
    (found,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return found


def test_gpu_hours_and_a_price(search, tmp_path: Path, store: str) -> None:  # type: ignore[no-untyped-def]
    """Two trials spend 3 GPU-hours, so no third begins; money is on the parent run.

    The same command adds none, and one with a larger budget goes on.
    """
    options = ("--gpu-hours", "2", "--price-per-gpu-hour", "2.5")
    done = search(*options)

    assert done.returncode == 0, done.stderr
    assert "The budget of 2 GPU-hours is spent: the trials took 3." in done.stderr
    assert len(trials(tmp_path)) == 2
    run = parent(store)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["cost/gpu_hours"] == 3
    assert run.data.metrics["cost/energy_kwh"] == 0.5
    assert run.data.metrics["cost/money"] == 7.5
    words = "3 GPU-hours, 0.5 kWh, 7.50 at 2.5 per GPU-hour."
    assert words in run.data.tags["mlflow.note.content"]

    assert search(*options).returncode == 0
    assert len(trials(tmp_path)) == 2
    assert search("--gpu-hours", "4").returncode == 0
    assert len(trials(tmp_path)) == 3


def test_hours(search, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A budget that the first trial exceeds leaves that one finished, and no other."""
    done = search("--hours", "1e-9")

    assert done.returncode == 0, done.stderr
    assert "The budget of 1e-09 hours is spent" in done.stderr
    assert [trial.state.name for trial in trials(tmp_path)] == ["COMPLETE"]


@pytest.mark.parametrize("option", ["--hours", "--gpu-hours", "--price-per-gpu-hour"])
def test_no_amount(search, option: str) -> None:  # type: ignore[no-untyped-def]
    """What is no amount is refused before anything begins."""
    done = search(option, "-1")

    assert done.returncode == 2
    assert option in done.stderr
    assert "Traceback" not in done.stderr
