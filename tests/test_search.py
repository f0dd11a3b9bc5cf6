"""The search: one worker, its study in Optuna and its runs in MLflow."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from paperstart import load_recipe
from paperstart._history import finished_trials
from paperstart._objective import Objective, load_objective
from paperstart.errors import ObjectiveError, SearchError
from paperstart.search import Search

DEMO = [sys.executable, "-m", "paperstart", "demo"]


def quadratic(trial: optuna.Trial) -> float:
    """An objective that needs no training: best at a rate of 0.01."""
    import math

    rate = trial.suggest_float("learning_rate", 1e-4, 1.0)
    momentum = trial.suggest_float("momentum", 0.5, 0.999)
    return (math.log10(rate) + 2) ** 2 + (momentum - 0.95) ** 2


@pytest.fixture
def make(tmp_path: Path, store: str) -> Callable[..., Search]:
    """A search on stores of the test's own."""

    def build(objective: Objective = quadratic, **options: object) -> Search:
        given = {
            "recipe": load_recipe("resnet20-cifar10"),
            "study_name": "s",
            "storage": f"sqlite:///{tmp_path / 'study.db'}",
            "tracking_uri": store,
            "seed": 0,
            **options,
        }
        return Search(objective=objective, **given)  # type: ignore[arg-type]

    return build


def children(store: str, study: str = "s") -> dict[int, object]:
    """The study's child runs by trial."""
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    return {
        int(run.data.tags["paperstart.trial"]): run
        for run in runs
        if "mlflow.parentRunId" in run.data.tags
    }


def parent(store: str, study: str = "s"):  # type: ignore[no-untyped-def]
    """The study's parent run."""
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (found,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return found


def test_an_objective_without_the_callback_has_runs_too(
    make: Callable[..., Search], store: str
) -> None:
    """Each trial has one child run with its params and its value."""
    result = make().run(5)

    runs = children(store)
    assert sorted(runs) == [0, 1, 2, 3, 4]
    for trial in result.study.trials:
        run = runs[trial.number]
        assert run.info.status == "FINISHED"  # type: ignore[attr-defined]
        data = run.data  # type: ignore[attr-defined]
        assert data.metrics["best/objective"] == trial.value
        assert float(data.params["learning_rate"]) == trial.params["learning_rate"]
        assert data.params["published/learning_rate"] == "0.1"
    assert result.study.trials[0].params == {"learning_rate": 0.1, "momentum": 0.9}


def test_repeated_it_continues_the_study(
    make: Callable[..., Search], store: str
) -> None:
    """A second call adds its trials to the first one's, under the same parent."""
    make().run(3)
    result = make().run(4)

    assert result.spent == len(result.study.trials) == 7
    assert len(children(store)) == 7
    assert parent(store).info.status == "FINISHED"


def test_in_all_counts_earlier_trials(make: Callable[..., Search]) -> None:
    """``in_all`` runs only what is left of the number asked for."""
    make().run(3, in_all=True)

    assert make().run(5, in_all=True).spent == 5
    assert make().run(5, in_all=True).spent == 5


def test_two_halves_are_the_whole(make: Callable[..., Search], store: str) -> None:
    """A continued search draws what an uninterrupted one would have drawn."""
    make(study_name="halves").run(6)
    halves = make(study_name="halves").run(6).study.trials
    whole = make(study_name="whole").run(12).study.trials

    assert [t.params for t in halves] == [t.params for t in whole]


def test_the_objective_may_ask_for_the_recipe(make: Callable[..., Search]) -> None:
    """A parameter called recipe is filled with the search's recipe."""
    seen = []

    def objective(trial: optuna.Trial, recipe: object) -> float:
        seen.append(recipe)
        return 1.0

    search = make(objective)
    search.run(1)

    assert seen == [search.recipe]


def test_a_failing_trial_is_a_failed_run_and_the_search_goes_on(
    make: Callable[..., Search], store: str
) -> None:
    """One trial's error is in its run, with traceback; the others are not touched."""

    def objective(trial: optuna.Trial) -> float:
        value = quadratic(trial)
        if trial.number == 1:
            raise ValueError("out of memory, say")
        return value

    result = make(objective).run(4)

    states = [t.state for t in result.study.trials]
    assert states.count(TrialState.FAIL) == 1
    run = children(store)[1]
    assert run.info.status == "FAILED"  # type: ignore[attr-defined]
    assert run.data.tags["paperstart.failure"] == "ValueError"  # type: ignore[attr-defined]
    client = MlflowClient(store)
    artifacts = client.list_artifacts(run.info.run_id)  # type: ignore[attr-defined]
    names = {artifact.path for artifact in artifacts}
    assert names == {"environment.txt", "resnet20-cifar10.yaml", "traceback.txt"}


def test_a_pruned_trial_is_a_killed_run(
    make: Callable[..., Search], store: str
) -> None:
    """Pruned is neither finished nor failed: KILLED, with a tag that says why."""

    def objective(trial: optuna.Trial) -> float:
        value = quadratic(trial)
        if trial.number == 2:
            raise optuna.TrialPruned
        return value

    make(objective).run(3)

    run = children(store)[2]
    assert run.info.status == "KILLED"  # type: ignore[attr-defined]
    assert run.data.tags["paperstart.pruned"] == "true"  # type: ignore[attr-defined]


def test_a_broken_objective_ends_the_search(make: Callable[..., Search]) -> None:
    """Three failures before any success are an error that quotes the last one."""

    def objective(trial: optuna.Trial) -> float:
        raise RuntimeError("no such file: data.npz")

    with pytest.raises(SearchError, match=r"first 3 trials failed.*no such file"):
        make(objective).run(10)


def test_an_objective_that_exits_is_a_failure(
    make: Callable[..., Search], store: str
) -> None:
    """``sys.exit`` in an objective fails the trial and not the whole search."""

    def objective(trial: optuna.Trial) -> float:
        value = quadratic(trial)
        if trial.number == 1:
            sys.exit(3)
        return value

    result = make(objective).run(3)

    assert result.study.trials[1].state == TrialState.FAIL
    assert children(store)[1].info.status == "FAILED"  # type: ignore[attr-defined]


def test_another_recipe_is_refused(make: Callable[..., Search]) -> None:
    """A study belongs to the recipe that it started from."""
    make().run(1)

    with pytest.raises(SearchError, match="resnet20-cifar10, not from dcgan"):
        make(recipe=load_recipe("dcgan")).run(1)


def test_another_direction_is_refused(make: Callable[..., Search]) -> None:
    """A study that minimizes cannot go on maximizing."""
    make().run(1)

    with pytest.raises(SearchError, match="is to minimize, not to maximize"):
        make(direction="maximize").run(1)


def test_a_storage_that_cannot_be_opened_is_said(make: Callable[..., Search]) -> None:
    """The message names the URL and what to check."""
    with pytest.raises(SearchError, match=r"no-such-folder.*Check the URL"):
        make(storage="sqlite:////no-such-folder/study.db").run(1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train", "write MODULE:OBJECTIVE"),
        ("train.py:objective", "write train:objective"),
        ("no_such_module:objective", "No module is named 'no_such_module'"),
        ("math:no_such", "has no function 'no_such'"),
    ],
)
def test_an_objective_that_is_not_there_is_said(name: str, words: str) -> None:
    """What is wrong with MODULE:OBJECTIVE, and what to write."""
    with pytest.raises(ObjectiveError, match=words):
        load_objective(name)


def start_demo(folder: Path, trials: int) -> subprocess.Popen[str]:
    """The demo in the background, its stderr in a file that can be watched."""
    with (folder / "stderr.txt").open("w") as stderr:
        return subprocess.Popen(
            [*DEMO, "--dir", "d", "--trials", str(trials)],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
        )


def running_trial(folder: Path, process: subprocess.Popen[str], number: int) -> None:
    """Wait until the trial is in the middle of its training."""
    # Read only: whoever opens the file through Optuna may create its tables.
    path = folder / "d" / "study.db"
    query = (
        "SELECT COUNT(*) FROM trial_user_attributes JOIN trials USING (trial_id) "
        "WHERE number = ? AND key = 'paperstart.run_id'"
    )
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(sqlite3.OperationalError):  # not there yet
            uri = f"file:{path}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
                if connection.execute(query, (number,)).fetchone()[0]:
                    return
        time.sleep(0.2)
    pytest.fail(f"trial {number} never began: {(folder / 'stderr.txt').read_text()}")


def demo_study(folder: Path) -> optuna.Study:
    return optuna.load_study(
        study_name="paperstart-demo", storage=f"sqlite:///{folder / 'd' / 'study.db'}"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_demo_carries_on(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and even SIGKILL leave stores from which the same command goes on.

    The trial in flight is closed, in Optuna and in MLflow, and the paper's own point,
    which it was, is tried again.
    """
    process = start_demo(tmp_path, 2)
    running_trial(tmp_path, process, 0)
    os.kill(process.pid, number)
    process.wait(120)
    if number == signal.SIGINT:
        assert process.returncode == 1
        said = (tmp_path / "stderr.txt").read_text()
        assert "Stopped after 0 of 2 trials; the same command carries on." in said
        assert "Traceback" not in said
        assert demo_study(tmp_path).trials[0].state == TrialState.FAIL

    again = start_demo(tmp_path, 2)

    assert again.wait(240) == 0, (tmp_path / "stderr.txt").read_text()
    trials = demo_study(tmp_path).trials
    states = [trial.state for trial in trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert len(finished_trials(trials)) == 2
    assert trials[1].params == trials[0].params  # the published point, once more
    uri = f"sqlite:///{tmp_path / 'd' / 'mlflow.db'}"
    statuses = {
        trial: run.info.status  # type: ignore[attr-defined]
        for trial, run in children(uri, "paperstart-demo").items()
    }
    assert statuses == {0: "KILLED", 1: "FINISHED", 2: "FINISHED"}
    assert parent(uri, "paperstart-demo").info.status == "FINISHED"
