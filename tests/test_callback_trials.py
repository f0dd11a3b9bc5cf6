"""The callback with an Optuna trial: one child per trial, reports, pruning, truth."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import FixedTrial, Trial, TrialState
from tiny import Net, batchnorm_network, fit, history, loaders, run_of, trainer
from torch import Tensor

from paperstart import PaperStartCallback, PaperStartSampler
from paperstart.errors import TrackingError
from paperstart.tracking import RUN_ATTR, TRACKING_URI_ATTR

RECIPE = "resnet20-cifar10"


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "optuna")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


class Study:
    """A study whose objective trains the tiny network with the callback."""

    def __init__(
        self,
        store: str,
        sampler: optuna.samplers.BaseSampler | None = None,
        pruner: optuna.pruners.BasePruner | None = None,
        name: str = "a study",
    ) -> None:
        self.optuna = optuna.create_study(
            study_name=name,
            sampler=sampler or PaperStartSampler(RECIPE, seed=0),
            pruner=pruner or optuna.pruners.NopPruner(),
            direction="maximize",
        )
        self.optuna.set_user_attr(TRACKING_URI_ATTR, store)
        self.store = store
        self.client = MlflowClient(store)
        self.arguments: dict[str, Any] = {"monitor": "val_acc"}
        self.options: dict[str, Any] = {}

    def objective(self, trial: Trial) -> float:
        rate = trial.suggest_float("learning_rate", 1e-3, 1, log=True)
        callback = PaperStartCallback(trial=trial, **self.arguments)
        net = Net(rate, batchnorm_network())
        with warnings.catch_warnings():
            # What a high rate does to four channels is test_bn_alarms' concern.
            warnings.filterwarnings("ignore", ".*channels.*are dead.*")
            made = fit(callback, net=net, **self.options)
        return float(made.callback_metrics["val_acc"])

    def run(self, trials: int) -> list[Run]:
        """Run some trials; the runs of all trials, the oldest first."""
        self.optuna.optimize(self.objective, trials)
        return self.children

    @property
    def runs(self) -> list[Run]:
        experiment = self.client.get_experiment_by_name(self.optuna.study_name)
        return list(self.client.search_runs([experiment.experiment_id]))

    @property
    def parent(self) -> Run:
        (found,) = [r for r in self.runs if "mlflow.parentRunId" not in r.data.tags]
        return found

    @property
    def children(self) -> list[Run]:
        found = [run for run in self.runs if "mlflow.parentRunId" in run.data.tags]
        return sorted(found, key=lambda run: int(run.data.tags["paperstart.trial"]))


@pytest.fixture(scope="module")
def study(fresh_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Three trials: the published point and two draws."""
    path = tmp_path_factory.mktemp("trials") / "mlflow.db"
    path.write_bytes(fresh_store.read_bytes())
    study = Study(f"sqlite:///{path}")
    study.run(3)
    return study


class TestRuns:
    """Where a trial's run stands, and what it says."""

    def test_one_child_each(self, study: Study) -> None:
        """One parent has one finished child per trial, named by its number."""
        parent = study.parent
        children = study.children

        assert parent.info.run_name == "a study"
        assert parent.data.tags["paperstart.recipe"] == RECIPE
        parents = {run.data.tags["mlflow.parentRunId"] for run in children}
        assert parents == {parent.info.run_id}
        names = [run.info.run_name for run in children]
        assert names == ["trial 0 (published)", "trial 1", "trial 2"]
        assert {run.info.status for run in children} == {"FINISHED"}
        runs = [trial.user_attrs[RUN_ATTR] for trial in study.optuna.trials]
        assert runs == [run.info.run_id for run in children]

    def test_tags(self, study: Study) -> None:
        """Recipe, study, trial, round and published point are tags."""
        for number, run in enumerate(study.children):
            tags = run.data.tags
            assert tags["paperstart.recipe"] == RECIPE
            assert tags["paperstart.study"] == "a study"
            assert tags["paperstart.trial"] == str(number)
            assert tags["paperstart.round"] == "1"
            assert tags["paperstart.published"] == ("true" if number == 0 else "false")
            assert "paperstart.pruned" not in tags

    def test_params(self, study: Study) -> None:
        """The value used stands beside the paper's, with the ratio."""
        for trial, run in zip(study.optuna.trials, study.children, strict=True):
            rate = trial.params["learning_rate"]
            assert run.data.params == {
                "learning_rate": str(rate),
                "published/learning_rate": "0.1",
                "ratio/learning_rate": f"{rate / 0.1:.4g}",
            }
        assert study.children[0].data.params["learning_rate"] == "0.1"

    def test_reports(self, study: Study) -> None:
        """Each epoch's value is reported, the sanity check's not; the best is kept."""
        for trial, run in zip(study.optuna.trials, study.children, strict=True):
            reported = trial.intermediate_values
            logged = history(study.store, run.info.run_id, "val/acc")
            assert list(reported) == [0, 1]
            assert list(reported.values()) == [value for _, value in logged]
            best = run.data.metrics["best/val_acc"]
            assert best == max(reported.values())


class TestPruning:
    """A trial that is not worth it ends early."""

    def test_pruned(self, store: str) -> None:
        """A pruned trial is PRUNED in Optuna, and KILLED with a tag in MLflow."""
        study = Study(store, pruner=optuna.pruners.ThresholdPruner(lower=2))
        (run,) = study.run(1)
        (trial,) = study.optuna.trials

        assert trial.state == TrialState.PRUNED
        assert list(trial.intermediate_values) == [0]
        assert run.info.status == "KILLED"
        assert run.data.tags["paperstart.pruned"] == "true"
        assert "paperstart.failure" not in run.data.tags
        assert run.data.metrics["best/val_acc"] == trial.intermediate_values[0]
        paths = [f.path for f in study.client.list_artifacts(run.info.run_id)]
        assert paths == ["batchnorm", "environment.txt", f"{RECIPE}.yaml"]

    def test_only_the_bad_one(self, store: str) -> None:
        """A trial behind the median of the others is pruned, the others are not."""
        study = Study(
            store,
            sampler=optuna.samplers.GridSampler({"learning_rate": [0.3, 0.2, 1e-3]}),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=2),
        )
        for rate in (0.3, 0.2, 1e-3):
            study.optuna.enqueue_trial({"learning_rate": rate})
        study.options = {"epochs": 3}
        runs = study.run(3)

        assert [r.info.status for r in runs] == ["FINISHED", "FINISHED", "KILLED"]

    @pytest.mark.parametrize(
        ("options", "steps"),
        [
            ({"val_check_interval": 0.5}, [0, 1, 2, 3]),
            ({"check_val_every_n_epoch": 2, "epochs": 4}, [1, 3]),
            ({"num_sanity_val_steps": 0}, [0, 1]),
        ],
    )
    def test_steps(self, store: str, options: dict[str, Any], steps: list[int]) -> None:
        """A step is reported once, and is the epoch where each has one validation."""
        study = Study(store)
        study.options = options
        study.run(1)

        assert list(study.optuna.trials[0].intermediate_values) == steps

    def test_overfitting_on_purpose(self, store: str) -> None:
        """A fit on a few batches again and again says nothing about a trial."""
        study = Study(store)
        trial = study.optuna.ask()
        made = trainer(
            PaperStartCallback(trial=trial, monitor="val_acc"), overfit_batches=1
        )
        _, validation = loaders()
        made.fit(Net(), validation, validation)

        assert study.optuna.trials[0].intermediate_values == {}

    def test_without_a_validation(self, store: str) -> None:
        """A fit without validation reports a training average after each epoch."""
        study = Study(store)
        study.arguments = {"monitor": "train_acc"}
        study.options = {"limit_val_batches": 0}

        def objective(trial: Trial) -> float:
            callback = PaperStartCallback(trial=trial, **study.arguments)
            made = fit(callback, **study.options)
            return float(made.callback_metrics["train_acc"])

        study.optuna.optimize(objective, 1)
        trial = study.optuna.trials[0]
        logged = history(store, study.children[0].info.run_id, "train/acc")

        assert list(trial.intermediate_values) == [0, 1]
        assert list(trial.intermediate_values.values()) == [v for _, v in logged]

    def test_a_value_that_is_not_finite(self, store: str) -> None:
        """NaN is never the best, and reaches the store as a count."""

        class Sick(Net):
            def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
                values = [float("nan"), 0.75, 0.5]
                self.log("val_acc", values[self.current_epoch])

        study = Study(store)
        trial = study.optuna.ask()
        callback = PaperStartCallback(trial=trial, monitor="val_acc")
        fit(callback, net=Sick(), epochs=3)
        metrics = run_of(store, callback.run_id).data.metrics

        assert metrics["best/val_acc"] == 0.75
        assert metrics["val/nonfinite_count"] == 1


class TestEndings:
    """A trial that fails has a run that says so."""

    def test_an_exception(self, store: str) -> None:
        """A failed trial's run is FAILED; the next trial has a run of its own."""
        study = Study(store)
        study.arguments = {"monitor": "nothing"}
        with pytest.raises(TrackingError, match="'nothing'"):
            study.run(1)
        study.arguments = {}
        runs = study.run(1)

        assert [run.info.status for run in runs] == ["FAILED", "FINISHED"]
        assert runs[0].data.tags["paperstart.failure"] == "TrackingError"

    def test_a_retry_has_its_own_run(self, store: str) -> None:
        """A trial that Optuna made from another's attributes is another trial."""
        study = Study(store)
        study.run(1)
        first = study.optuna.trials[0]
        study.optuna.enqueue_trial(first.params, user_attrs=first.user_attrs)
        runs = study.run(1)

        assert [run.data.tags["paperstart.trial"] for run in runs] == ["0", "1"]
        assert study.optuna.trials[1].user_attrs[RUN_ATTR] == runs[1].info.run_id

    def test_two_fits_of_one_trial(self, store: str) -> None:
        """A trial that trains twice still has one run, finished, with both."""
        study = Study(store)
        study.arguments = {}
        trial = study.optuna.ask()
        study.objective(trial)
        study.objective(trial)
        (run,) = study.children

        assert run.info.status == "FINISHED"
        assert len(history(store, run.info.run_id, "val/acc")) == 4

    def test_a_checkpoint_of_another_trial(self, store: str) -> None:
        """A trial that starts from another's weights leaves the other's run alone."""
        study = Study(store)
        first, second = study.optuna.ask(), study.optuna.ask()
        fit(PaperStartCallback(trial=first), epochs=1).save_checkpoint("a.ckpt")
        before = history(store, first.user_attrs[RUN_ATTR], "val/acc")
        callback = PaperStartCallback(trial=second)
        trainer(callback).fit(Net(), *loaders(), ckpt_path="a.ckpt", weights_only=True)

        assert callback.run_id == second.user_attrs[RUN_ATTR]
        assert callback.run_id != first.user_attrs[RUN_ATTR]
        assert history(store, first.user_attrs[RUN_ATTR], "val/acc") == before


class TestOtherTrials:
    """Trials that are not our sampler's."""

    def test_another_sampler(self, store: str) -> None:
        """A trial of TPE's has a run with params, and neither recipe nor round."""
        study = Study(store, optuna.samplers.TPESampler(seed=0))
        (run,) = study.run(1)

        assert list(run.data.params) == ["learning_rate"]
        assert run.data.tags["paperstart.published"] == "false"
        assert not {"paperstart.recipe", "paperstart.round"} & set(run.data.tags)
        assert list(study.optuna.trials[0].intermediate_values) == [0, 1]

    def test_another_sampler_and_a_recipe(self, store: str) -> None:
        """A recipe given to the callback stands beside any sampler's values."""
        study = Study(store, optuna.samplers.RandomSampler(seed=0))
        study.arguments = {"recipe": RECIPE}
        (run,) = study.run(1)

        assert run.data.params["published/learning_rate"] == "0.1"
        assert run.data.tags["paperstart.recipe"] == RECIPE

    def test_names_of_the_users_own(self, store: str) -> None:
        """The sampler's mapping of names also finds the published values."""
        sampler = PaperStartSampler(RECIPE, names={"lr": "learning_rate"}, seed=0)
        study = Study(store, sampler)
        trial = study.optuna.ask()
        trial.suggest_float("lr", 1e-3, 1, log=True)
        callback = PaperStartCallback(trial=trial)
        fit(callback, epochs=1)
        params = run_of(store, callback.run_id).data.params

        assert params["published/lr"] == "0.1"
        assert params["ratio/lr"] == "1"

    def test_an_experiment_of_ones_own(self, store: str) -> None:
        """The experiment is the study's, unless one is named."""
        study = Study(store)
        trial = study.optuna.ask()
        callback = PaperStartCallback(trial=trial, experiment="mine")
        fit(callback, epochs=1)
        run = run_of(store, callback.run_id)

        assert MlflowClient(store).get_experiment(run.info.experiment_id).name == "mine"
        assert "mlflow.parentRunId" in run.data.tags

    def test_a_trial_without_a_study(self, store: str) -> None:
        """An objective tried by hand, or again, makes a run of its own with params."""
        study = Study(store)
        study.run(1)
        again = study.optuna.best_trial
        for trial in (FixedTrial({"learning_rate": 0.25}), again):
            rate = trial.suggest_float("learning_rate", 1e-3, 1, log=True)
            callback = PaperStartCallback(trial=trial, monitor="val_acc")
            fit(callback, epochs=1)
            run = run_of(store, callback.run_id)

            assert run.info.status == "FINISHED"
            assert run.data.params["learning_rate"] == str(rate)
            assert "mlflow.parentRunId" not in run.data.tags
        assert len(study.children) == 1

    def test_quotes_in_the_studys_name(self, store: str) -> None:
        """A study of any name has one parent."""
        study = Study(store, name='it\'s "the" study')
        study.options = {"epochs": 1}
        study.run(2)

        assert study.parent.info.run_name == 'it\'s "the" study'
        assert len(study.children) == 2
