"""The demo: what it leaves in its stores, and what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from paperstart import load_recipe
from paperstart.demo import RECIPE, SEARCHED, SmallResNet

TRIALS = 12


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo, run once as a user runs it."""
    folder = tmp_path_factory.mktemp("demo")
    return Demo(folder, run_demo(folder, TRIALS))


class Demo:
    """A demo's folder, and what the command printed."""

    def __init__(self, folder: Path, done: subprocess.CompletedProcess[str]) -> None:
        self.folder, self.done = folder, done
        self.client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
        experiment = self.client.get_experiment_by_name("paperstart-demo")
        assert experiment is not None
        self.experiment = experiment
        runs = self.client.search_runs([experiment.experiment_id])
        self.parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
        children = [r for r in runs if "mlflow.parentRunId" in r.data.tags]
        self.children: list[Run] = sorted(
            children, key=lambda run: int(run.data.tags["paperstart.trial"])
        )
        self.study = optuna.load_study(
            study_name="paperstart-demo", storage=f"sqlite:///{folder / 'study.db'}"
        )


def run_demo(folder: Path, trials: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "paperstart", "demo"]
    return subprocess.run(
        [*command, "--dir", str(folder), "--trials", str(trials)],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
        cwd=folder,
    )


def test_one_experiment_one_parent_twelve_children(demo: Demo) -> None:
    """The store has one experiment of ours, one parent run, and a child per trial."""
    names = {e.name for e in demo.client.search_experiments()}

    assert names == {"Default", "paperstart-demo"}  # MLflow makes the first itself
    assert len(demo.parents) == 1
    assert len(demo.children) == TRIALS
    parent = demo.parents[0].info.run_id
    assert {r.data.tags["mlflow.parentRunId"] for r in demo.children} == {parent}
    numbers = [r.data.tags["paperstart.trial"] for r in demo.children]
    assert numbers == [str(n) for n in range(TRIALS)]


def test_the_statuses_are_true(demo: Demo) -> None:
    """Whoever finished is FINISHED, in Optuna as in MLflow; nobody is left RUNNING."""
    assert {run.info.status for run in demo.children} == {"FINISHED"}
    assert demo.parents[0].info.status == "FINISHED"
    states = {trial.state for trial in demo.study.trials}
    assert states == {optuna.trial.TrialState.COMPLETE}


def test_trial_0_is_the_published_point_to_the_last_digit(demo: Demo) -> None:
    """The paper's own values come first, exactly, and are marked."""
    published = load_recipe(RECIPE).published
    first = demo.study.trials[0]

    assert first.params == {name: published[name] for name in SEARCHED}
    run = demo.children[0]
    assert run.data.tags["paperstart.published"] == "true"
    for name in SEARCHED:
        assert run.data.params[name] == str(published[name])
        assert run.data.params[f"published/{name}"] == str(published[name])
        assert float(run.data.params[f"ratio/{name}"]) == 1.0
    others = {run.data.tags["paperstart.published"] for run in demo.children[1:]}
    assert others == {"false"}


def test_each_child_has_metrics_and_the_batchnorm_table(demo: Demo) -> None:
    """Training, validation, batch norm and system are there for each of the trials."""
    for run in demo.children:
        metrics = run.data.metrics
        sections = {name.partition("/")[0] for name in metrics}
        assert sections == {"train", "val", "batchnorm", "system", "best"}
        batchnorm = [name for name in metrics if name.startswith("batchnorm/")]
        assert 10 <= len(batchnorm) <= 14
        trial = demo.study.trials[int(run.data.tags["paperstart.trial"])]
        assert metrics["best/objective"] == trial.value
        assert run.data.tags["paperstart.recipe"] == RECIPE
        assert run.data.tags["paperstart.round"] in {"1", "2", "3"}


def test_the_batchnorm_table_is_of_the_demos_network(
    demo: Demo, tmp_path: Path
) -> None:
    """The table has a row for each of the network's seven batch-norm layers."""
    path = demo.client.download_artifacts(
        demo.children[0].info.run_id, "batchnorm/table.npz", str(tmp_path)
    )
    with np.load(path) as table:
        steps, layers, columns = table["values"].shape
        assert layers == len(table["layers"]) == 7
        assert columns == len(table["columns"])
        assert steps == len(table["steps"]) > 1
        # A lag is known from the third logged step of an epoch on.
        known = [not name.endswith("_lag") for name in table["columns"]]
        assert np.isfinite(table["values"][:, :, known]).all()
        assert np.isfinite(table["values"]).all(axis=(1, 2)).any()
    history = demo.client.get_metric_history(
        demo.children[0].info.run_id, "batchnorm/train_eval_gap_max"
    )
    assert len(history) == steps


def test_artifacts_stay_in_the_folder(demo: Demo) -> None:
    """Nothing is written outside of ``--dir``."""
    assert demo.experiment.artifact_location.startswith(demo.folder.as_uri())
    names = {path.name for path in demo.folder.iterdir()}
    assert names == {"study.db", "mlflow.db", "mlartifacts"}


def test_the_end_says_what_came_out(demo: Demo) -> None:
    """Stdout has the two points with their factors, the cost, and where to look."""
    said = demo.done.stdout
    best = demo.study.best_trial

    assert "paper's own point" in said
    assert f"best: trial {best.number}" in said
    assert "factor" in said
    assert f"Spent: {TRIALS} trials, 3 rounds." in said
    store = f"sqlite:///{demo.folder / 'mlflow.db'}"
    assert f"mlflow ui --backend-store-uri {store} --port 5000" in said
    page = f"/#/experiments/{demo.experiment.experiment_id}/runs"
    assert f"http://127.0.0.1:5000{page}?workflowType=machine_learning" in said


def test_the_progress_is_plain_lines_without_a_terminal(demo: Demo) -> None:
    """Stderr has a line per trial, no escape codes, and no library's chatter."""
    lines = demo.done.stderr.splitlines()

    assert "\x1b" not in demo.done.stderr
    trials = [line for line in lines if line.startswith("trial ")]
    assert len(trials) == TRIALS
    assert "the paper's own point" in trials[0]
    others = [line for line in lines if not line.startswith("trial ")]
    assert others == [
        "Loading torch, Lightning and MLflow ...",
        "Opening the study paperstart-demo ...",
    ]


def test_repeated_it_adds_nothing(demo: Demo) -> None:
    """The same command again shows the result and trains no more."""
    again = run_demo(demo.folder, TRIALS)

    assert "12 of 12 trials are done" in again.stderr
    assert demo.done.stdout == again.stdout
    assert len(Demo(demo.folder, again).children) == TRIALS


def test_the_network_is_the_papers_with_n_1() -> None:
    """8 weighted layers: 7 convolutions, each with batch norm, and the classifier."""
    from torch import nn

    modules = list(SmallResNet().modules())
    convolutions = [m for m in modules if isinstance(m, nn.Conv2d)]

    assert len(convolutions) == sum(isinstance(m, nn.BatchNorm2d) for m in modules) == 7
    assert sum(isinstance(m, nn.Linear) for m in modules) == 1
    assert [c.out_channels for c in convolutions] == [16, 16, 16, 32, 32, 64, 64]
