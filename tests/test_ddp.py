"""Two ranks on a CPU train one trial: one run, the same values; a prune stops both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

pytestmark = pytest.mark.ddp
TESTS = Path(__file__).parent
TRIALS = 3
OBJECTIVE = f"""
import json, os, sys
from pathlib import Path
sys.path.insert(0, {str(TESTS)!r})
import torch
from tiny import Net, loaders, trainer
from paperstart import PaperStartCallback

torch.set_num_threads(1)


def objective(trial, recipe):
    hp = recipe.suggest(trial, only=["learning_rate", "momentum"])
    callback = PaperStartCallback(recipe, trial, monitor="val_acc")
    made = trainer(callback, epochs=2, strategy="ddp", devices=2)
    torch.manual_seed(0)
    rank = os.environ.get("LOCAL_RANK", "0")
    seen = {{"trial": trial.number, "params": trial.params, "run": None}}
    try:
        made.fit(Net(hp["learning_rate"]), *loaders())
        seen["end"] = "finished"
    except BaseException as error:
        seen["end"] = type(error).__name__
        raise
    finally:
        seen["run"] = callback.run_id
        with Path(f"rank-{{rank}}.jsonl").open("a") as file:
            file.write(json.dumps(seen) + "\\n")
    return float(made.callback_metrics["val_acc"])
"""


@pytest.fixture
def folder(store: str, tmp_path: Path) -> Path:
    (tmp_path / "ddp_objective.py").write_text(OBJECTIVE)
    return tmp_path


def search(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "paperstart", "search", "ddp_objective:objective"]
    command += ["--recipe", "resnet20-cifar10", "--trials", str(TRIALS), "--seed", "0"]
    command += ["--study", "ddp", "--direction", "maximize", *options]
    return subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(TESTS.parent),
            "PYTHONWARNINGS": "ignore",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "GLOO_SOCKET_IFNAME": "lo",
        },
        capture_output=True,
        text=True,
        timeout=400,
    )


def ranks(folder: Path) -> list[list[dict[str, object]]]:
    """What each rank saw, trial by trial."""
    files = [folder / f"rank-{rank}.jsonl" for rank in (0, 1)]
    return [[json.loads(line) for line in f.read_text().splitlines()] for f in files]


def the_study(folder: Path) -> optuna.Study:
    return optuna.load_study(
        study_name="ddp", storage=f"sqlite:///{folder / 'study.db'}"
    )


def children(folder: Path) -> list[str]:
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ddp")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    found = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(runs) == len(found) + 1
    found.sort(key=lambda run: int(run.data.tags["paperstart.trial"]))
    return [run.info.status for run in found]


def test_one_trial_one_run_the_same_values(folder: Path) -> None:
    """Each trial is one trial and one run, and both ranks train it with its values."""
    done = search(folder, "--pruner", "none")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("paper's own point") >= 1

    study = the_study(folder)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * TRIALS
    assert children(folder) == ["FINISHED"] * TRIALS
    first, second = ranks(folder)
    assert [one["params"] for one in first] == [t.params for t in study.trials]
    assert [one["params"] for one in second] == [t.params for t in study.trials]
    assert {one["run"] for one in second} == {None}
    assert len({one["run"] for one in first}) == TRIALS


def test_a_prune_stops_both(folder: Path) -> None:
    """A pruner that stops every trial stops both ranks, and the search goes on."""
    text = (folder / "ddp_objective.py").read_text()
    hard = "import optuna\nfrom paperstart import search as _s\n" + text.replace(
        "def objective", "_s.PRUNERS  # as ever\n\n\ndef objective"
    )
    hard = hard.replace(
        "_s.PRUNERS  # as ever",
        '_s.PRUNERS["sha"] = lambda: optuna.pruners.ThresholdPruner(lower=2)',
    )
    (folder / "ddp_objective.py").write_text(hard)
    done = search(folder, "--pruner", "sha")
    assert done.returncode == 0, done.stderr

    study = the_study(folder)
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED] * TRIALS
    assert children(folder) == ["KILLED"] * TRIALS
    first, second = ranks(folder)
    assert [one["end"] for one in first] == ["TrialPruned"] * TRIALS
    assert [one["end"] for one in second] == ["TrialPruned"] * TRIALS
