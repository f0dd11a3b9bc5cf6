"""Whoever runs ``study.optimize`` finds the report, and true words, all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna import Trial
from tiny import Net, batchnorm_network, fit

from paperstart import PaperStartCallback, PaperStartSampler, _keeper
from paperstart._keeper import keep
from paperstart.search import Search

RECIPE = "resnet20-cifar10"
TESTS = Path(__file__).parent
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from test_keeper import RECIPE, objective
import optuna
from paperstart import PaperStartSampler
sampler = PaperStartSampler(RECIPE, seed=0, coarse_trials=2, round_trials=2)
study = optuna.create_study(
    study_name="own", sampler=sampler, direction="maximize"
)
study.optimize(objective, n_trials=int(sys.argv[2]), catch=ValueError)
"""


def objective(trial: Trial) -> float:
    """Trains the tiny network; trial 1 fails once its fit has ended."""
    rate = trial.suggest_float("learning_rate", 1e-3, 1, log=True)
    callback = PaperStartCallback(trial=trial, monitor="val_acc")
    made = fit(callback, net=Net(rate, batchnorm_network()))
    if trial.number == 1:
        raise ValueError("no good")
    return float(made.callback_metrics["val_acc"])


def runs(store: str) -> dict[str, Run]:
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("own")
    found = client.search_runs([experiment.experiment_id])
    return {run.info.run_name.partition(" (")[0]: run for run in found}


def second_line(run: Run) -> str:
    return str(run.data.tags["mlflow.note.content"].splitlines()[1])


def artifacts(store: str, run: Run) -> set[str]:
    return {file.path for file in MlflowClient(store).list_artifacts(run.info.run_id)}


class TestAtTheEnd:
    """A program that ends leaves a report, and what each trial reached."""

    @pytest.fixture
    def program(self, store: str) -> str:
        """The store, after a program of three trials."""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, str(TESTS), "3"],
            env={
                **os.environ,
                "MLFLOW_TRACKING_URI": store,
                "PYTHONPATH": str(TESTS.parent),
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return store

    def test_all_of_it(self, program: str) -> None:
        """The report, the best of all three, true statuses and descriptions."""
        found = runs(program)

        assert {"report.html", "coarse_to_fine.png"} <= artifacts(program, found["own"])
        assert "best/objective" in found["own"].data.metrics
        assert "paper's own point" in second_line(found["trial 0"])
        assert found["trial 1"].info.status == "FAILED"
        assert second_line(found["trial 1"]).startswith("Failed.")
        third = found["trial 2"]
        assert third.info.status == "FINISHED"
        value = third.data.metrics["best/objective"]
        assert second_line(third).startswith(f"It reached **{value:.6g}**")


class TestRounds:
    """The report is made anew when a round begins."""

    @pytest.fixture
    def study(self, store: str, monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
        sampler = PaperStartSampler(RECIPE, seed=0, coarse_trials=3, round_trials=9)
        return optuna.create_study(
            study_name="own", sampler=sampler, direction="maximize"
        )

    @staticmethod
    def wait() -> None:
        for keeper in _keeper._keepers.values():
            if keeper._thread is not None:
                keeper._thread.join()

    def test_not_before_a_round_has_ended(
        self, study: optuna.Study, store: str
    ) -> None:
        """After three trials there is none; the fourth begins a round and makes it."""
        study.optimize(objective, n_trials=3, catch=ValueError)
        self.wait()
        assert artifacts(store, runs(store)["own"]) == set()
        assert second_line(runs(store)["trial 2"]).startswith("Its fit has ended; val")

        study.optimize(objective, n_trials=1)
        self.wait()
        found = runs(store)
        assert "report.html" in artifacts(store, found["own"])
        assert second_line(found["trial 2"]).startswith("It reached")
        assert second_line(found["trial 3"]).startswith("Its fit has ended")

    def test_a_report_that_fails(
        self,
        study: optuna.Study,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """It stops no training, and says what to do."""

        def broken(*_: object) -> None:
            raise OSError("no room")

        monkeypatch.setattr("paperstart._parent_report.refresh_report", broken)
        study.optimize(objective, n_trials=4, catch=ValueError)
        self.wait()

        assert len(study.trials) == 4
        assert "`paperstart report` makes it" in caplog.text
        assert "no room" in caplog.text


def test_a_search_makes_its_own(store: str, tmp_path: Path) -> None:
    """Within `paperstart search`, the search alone writes the report."""
    from paperstart import load_recipe

    search = Search(
        objective=objective,
        recipe=load_recipe(RECIPE),
        study_name="own",
        storage=f"sqlite:///{tmp_path / 'study.db'}",
        tracking_uri=store,
        direction="maximize",
        seed=0,
    )
    search.run(1)

    assert not _keeper._keepers
    keep(
        optuna.trial.create_trial(value=0.0),  # type: ignore[arg-type]
        MlflowClient(store),
        "0",
        runs(store)["own"].info.run_id,
    )
    assert not _keeper._keepers
