"""A run beside the user's own MLflow, and after its process: one run, a true status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pytest
import torch
from lit import loggers
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna import Trial
from optuna.trial import TrialState
from tiny import Net, fit, history, loaders, run_of, trainer

from paperstart import PaperStartCallback, PaperStartSampler, load_recipe
from paperstart._children import LOST_TAG, WORKER_TAG, close_lost, runs_of
from paperstart._gpu import GpuMeter
from paperstart._provenance import config_hash, recipe_file
from paperstart.errors import SearchError
from paperstart.search import Search

RECIPE = "resnet20-cifar10"
TESTS = Path(__file__).parent


@pytest.fixture
def tracked(store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The store as the one that the user has chosen for MLflow."""
    monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", None)
    mlflow.set_tracking_uri(store)
    yield store
    mlflow.set_tracking_uri(None)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        os.environ.pop(name, None)


@pytest.fixture
def autolog(tracked: str) -> Iterator[str]:
    """Autologging, on as a user has it, and off again."""
    # MLflow itself cannot autolog where there is ``lightning`` alone.
    pytest.importorskip("pytorch_lightning")
    mlflow.pytorch.autolog(log_models=False, checkpoint=False, silent=True)
    yield tracked
    mlflow.pytorch.autolog(disable=True, silent=True)


def all_runs(store: str) -> list[Run]:
    client = MlflowClient(store)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(ids))


def children(store: str) -> list[Run]:
    return [run for run in all_runs(store) if "mlflow.parentRunId" in run.data.tags]


def optimize(store: str, pruned: bool = False, **options: Any) -> optuna.Study:
    """A study of one trial whose fit has ``options`` for its trainer."""
    pruner = optuna.pruners.ThresholdPruner(lower=2) if pruned else None
    study = optuna.create_study(
        study_name="s",
        direction="maximize",
        sampler=PaperStartSampler(RECIPE, seed=0),
        pruner=pruner,
    )

    def objective(trial: Trial) -> float:
        rate = trial.suggest_float("learning_rate", 1e-3, 1.0, log=True)
        callback = PaperStartCallback(trial=trial, monitor="val_acc")
        made = fit(callback, net=Net(rate), **options)
        return float(made.callback_metrics["val_acc"])

    study.optimize(objective, 1)
    return study


class TestLogger:
    """The user has an MLFlowLogger as well."""

    def logger(self, store: str, **options: Any) -> Any:
        return loggers.MLFlowLogger("theirs", tracking_uri=store, **options)

    def test_one_run(self, tracked: str) -> None:
        """The logger's run is the fit's: both write to it, and the logger ends it."""
        logger = self.logger(tracked)
        callback = PaperStartCallback()
        fit(callback, logger=logger)
        (run,) = all_runs(tracked)

        assert callback.run_id == run.info.run_id == logger.run_id
        assert run.info.status == "FINISHED"
        assert {"val_acc", "val/acc"} <= set(run.data.metrics)
        assert run.data.params["learning_rate"] == "0.1"

    @pytest.mark.parametrize(
        ("pruned", "status"), [(False, "FINISHED"), (True, "KILLED")]
    )
    def test_a_trial(self, tracked: str, pruned: bool, status: str) -> None:
        """A trial's run is the logger's, below the parent; a pruned one is KILLED."""
        study = optimize(tracked, pruned, logger=self.logger(tracked))
        (run,) = children(tracked)

        assert len(all_runs(tracked)) == 2  # and the parent
        assert run.info.status == status
        assert run.data.tags["paperstart.trial"] == "0"
        state = TrialState.PRUNED if pruned else TrialState.COMPLETE
        assert study.trials[0].state == state

    def test_a_store_that_mlflow_refuses(self, store: str, tmp_path: Path) -> None:
        """A folder of files, the logger's default, is refused in words."""

        def objective(trial: Trial) -> float:
            logger = loggers.MLFlowLogger("theirs", save_dir=str(tmp_path / "runs"))
            fit(PaperStartCallback(trial=trial), logger=logger)
            return 0.0

        search = Search(
            objective,
            load_recipe(RECIPE),
            "s",
            f"sqlite:///{tmp_path / 'study.db'}",
            store,
        )
        with pytest.raises(SearchError) as caught:
            search.run(3)

        assert "a folder of files" in str(caught.value)
        assert "tracking_uri='sqlite:///mlflow.db'" in str(caught.value)
        assert "MLFLOW_ALLOW_FILE_STORE" in str(caught.value)


class TestActiveRun:
    """The user has an active run."""

    def test_within_the_trial(self, tracked: str) -> None:
        """A run that the objective opens is the trial's run."""
        study = optuna.create_study(
            study_name="s", sampler=PaperStartSampler(RECIPE, seed=0)
        )

        def objective(trial: Trial) -> float:
            trial.suggest_float("learning_rate", 1e-3, 1.0, log=True)
            with mlflow.start_run() as active:
                callback = PaperStartCallback(trial=trial, monitor="val_acc")
                fit(callback, epochs=1)
                assert mlflow.active_run().info.run_id == active.info.run_id
                assert callback.run_id == active.info.run_id
            return 0.0

        study.optimize(objective, 2)
        found = children(tracked)

        assert len(found) == 2
        assert len(all_runs(tracked)) == 3
        assert {run.data.tags["paperstart.trial"] for run in found} == {"0", "1"}
        assert {run.info.status for run in found} == {"FINISHED"}

    def test_around_the_study(self, tracked: str) -> None:
        """A run around the whole study is not a trial's, and gets nothing."""
        with mlflow.start_run() as active:
            optimize(tracked, epochs=1)
            assert mlflow.active_run().info.run_id == active.info.run_id
        mine = run_of(tracked, active.info.run_id)

        assert mine.data.metrics == {}
        assert len(children(tracked)) == 1

    def test_params_of_the_same_name(self, tracked: str) -> None:
        """A param that the user has set otherwise stays; ours stands beside it."""
        with mlflow.start_run():
            mlflow.log_param("learning_rate", "theirs")
            callback = PaperStartCallback()
            fit(callback, epochs=1)
        params = run_of(tracked, callback.run_id).data.params

        assert params["learning_rate"] == "theirs"
        assert params["paperstart/learning_rate"] == "0.1"


class TestAutolog:
    """Autologging is on."""

    def test_one_run(self, autolog: str) -> None:
        """Autologging's run is the fit's, its params and settings are untouched."""
        callback = PaperStartCallback()
        fit(callback)
        (run,) = all_runs(autolog)

        assert callback.run_id == run.info.run_id
        assert run.info.status == "FINISHED"
        assert run.data.params["paperstart/learning_rate"] == "0.1"
        assert "val/acc" in run.data.metrics
        assert mlflow.active_run() is None

    def test_a_pruned_trial(self, autolog: str) -> None:
        """Autologging calls a pruned fit failed; the run says KILLED all the same."""
        optimize(autolog, pruned=True)
        (run,) = children(autolog)

        assert run.info.status == "KILLED"
        assert run.data.tags["paperstart.pruned"] == "true"
        assert mlflow.active_run() is None


class TestContents:
    """What a run has beside its metrics."""

    def test_a_childs(self, store: str, tmp_path: Path) -> None:
        """Tags, recipe, environment, data and a description are there."""
        mlflow_client = MlflowClient(store)
        study = optuna.create_study(
            study_name="s", sampler=PaperStartSampler(RECIPE, seed=0)
        )
        trial = study.ask()
        trial.suggest_float("learning_rate", 1e-3, 1.0, log=True)
        callback = PaperStartCallback(trial=trial, tracking_uri=store)
        fit(callback, epochs=1)
        run = run_of(store, callback.run_id)
        tags = run.data.tags

        assert len(tags["paperstart.config_hash"]) == 12
        assert tags["mlflow.source.name"]
        lines = tags["mlflow.note.content"].splitlines()
        assert lines[0].startswith("Trial 0 of the study `s`, from the recipe")
        assert "the paper's own point" in lines[0]
        assert lines[2].startswith("Against the paper: all 1 searched values")
        names = {f.path for f in mlflow_client.list_artifacts(run.info.run_id)}
        assert names == {"batchnorm", "environment.txt", f"{RECIPE}.yaml"}
        path = mlflow_client.download_artifacts(
            run.info.run_id, f"{RECIPE}.yaml", str(tmp_path)
        )
        assert load_recipe(path) == load_recipe(RECIPE)
        path = mlflow_client.download_artifacts(
            run.info.run_id, "environment.txt", str(tmp_path)
        )
        assert f"\ntorch=={torch.__version__}" in Path(path).read_text()
        inputs = run.inputs.dataset_inputs
        contexts = {tag.value for one in inputs for tag in one.tags}
        assert contexts == {"training", "validation"}
        assert {"TensorDataset"} == {one.dataset.name for one in inputs}

    @pytest.mark.parametrize("name", ["resnet50", "bert-base-pretraining", "sac"])
    def test_the_recipes_file(self, name: str, tmp_path: Path) -> None:
        """The file that a run has is read back as the same recipe."""
        try:
            recipe = load_recipe(name)
        except LookupError:
            pytest.skip("not in this catalog")
        (tmp_path / f"{name}.yaml").write_text(recipe_file(recipe), encoding="utf-8")

        assert load_recipe(tmp_path / f"{name}.yaml") == recipe

    def test_the_hash(self) -> None:
        """It depends on params and recipe, and on nothing else."""
        recipe = load_recipe(RECIPE)
        one = config_hash({"a": 1, "b": 0.5}, recipe)

        assert one == config_hash({"b": 0.5, "a": 1}, recipe)
        assert one != config_hash({"a": 1, "b": 0.6}, recipe)
        assert one != config_hash({"a": 1, "b": 0.5}, None)


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
import optuna
from test_runs import RECIPE, Net, fit
from paperstart import PaperStartCallback, PaperStartSampler
study = optuna.create_study(
    study_name="s", storage=sys.argv[1], sampler=PaperStartSampler(RECIPE, seed=0),
    load_if_exists=True,
)
def objective(trial):
    rate = trial.suggest_float("learning_rate", 1e-3, 1.0, log=True)
    callback = PaperStartCallback(trial=trial, tracking_uri=sys.argv[2])
    class Stay(type(callback).__mro__[1]):
        def on_train_epoch_end(self, *_):
            print(callback.run_id, flush=True)
            time.sleep(float(sys.argv[3]))
    fit(callback, Stay(), net=Net(rate), epochs=1)
    return 0.0
study.optimize(objective, 1)
"""


def start(storage: str, store: str, stay_s: float) -> subprocess.Popen[str]:
    code = SCRIPT.format(tests=str(TESTS))
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, storage, store, str(stay_s)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    )


class TestKilled:
    """A process is killed; nobody closes its run but those who come after."""

    @pytest.fixture
    def killed(self, store: str, tmp_path: Path) -> tuple[str, str]:
        """Storage, and the run that was left RUNNING."""
        storage = f"sqlite:///{tmp_path / 'study.db'}"
        process = start(storage, store, 600)
        assert process.stdout is not None
        with process.stdout:
            run_id = process.stdout.readline().strip()
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert run_of(store, run_id).info.status == "RUNNING"
        return storage, run_id

    def test_a_report_closes_it(self, killed: tuple[str, str], store: str) -> None:
        """`close_lost`, which the report calls, closes it and says why; once."""
        storage, run_id = killed
        study = optuna.load_study(study_name="s", storage=storage)
        client = MlflowClient(store)
        found = runs_of(study, client)
        assert found is not None

        assert close_lost(study, client, found[1]) == 1
        run = run_of(store, run_id)
        assert run.info.status == "KILLED"
        assert "was gone" in run.data.tags[LOST_TAG]
        found = runs_of(study, client)
        assert found is not None
        assert close_lost(study, client, found[1]) == 0

    def test_a_killed_search(self, store: str, tmp_path: Path) -> None:
        """After a killed search `paperstart report` closes the trial and the parent."""
        (tmp_path / "forever.py").write_text(
            "import time\n\ndef objective(trial):\n"
            "    trial.suggest_float('learning_rate', 1e-3, 1.0, log=True)\n"
            "    print('begun', flush=True)\n    time.sleep(600)\n"
        )
        command = [sys.executable, "-W", "ignore", "-m", "paperstart", "search"]
        command += ["forever:objective", "--recipe", RECIPE, "--trials", "3"]
        env = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
        env["MLFLOW_TRACKING_URI"] = store
        with subprocess.Popen(
            [*command, "--study", "s"], stdout=subprocess.PIPE, env=env, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            process.kill()
        assert "RUNNING" in {run.info.status for run in all_runs(store)}

        done = subprocess.run(
            [sys.executable, "-m", "paperstart", "report", "s"],
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert {run.info.status for run in all_runs(store)} == {"KILLED"}

    def test_the_next_trial_closes_it(
        self, killed: tuple[str, str], store: str
    ) -> None:
        """Whoever goes on with the study closes it, and leaves live ones alone."""
        storage, run_id = killed
        process = start(storage, store, 0)
        said, _ = process.communicate(timeout=120)

        assert process.returncode == 0
        assert run_of(store, run_id).info.status == "KILLED"
        assert run_of(store, said.strip()).info.status == "FINISHED"

    def test_a_live_process_keeps_its_run(self, store: str, tmp_path: Path) -> None:
        """A run whose process works on is not closed by a report."""
        storage = f"sqlite:///{tmp_path / 'study.db'}"
        process = start(storage, store, 600)
        assert process.stdout is not None
        with process.stdout:
            run_id = process.stdout.readline().strip()
            study = optuna.load_study(study_name="s", storage=storage)
            client = MlflowClient(store)
            found = runs_of(study, client)
            assert found is not None
            closed = close_lost(study, client, found[1])
            process.kill()
            process.wait()

        assert closed == 0
        assert str(process.pid) in run_of(store, run_id).data.tags[WORKER_TAG]


class TestResume:
    """A fit goes on from a checkpoint."""

    def test_plain_types(self, store: str, tmp_path: Path) -> None:
        """A checkpoint loads under ``weights_only``, and the fit goes on in its run."""
        callback = PaperStartCallback()
        made = fit(callback, epochs=1)
        made.save_checkpoint(tmp_path / "a.ckpt")
        loaded = torch.load(tmp_path / "a.ckpt", weights_only=True)
        state = next(s for n, s in loaded["callbacks"].items() if "PaperStart" in n)
        assert state == {"run_id": callback.run_id}
        again = PaperStartCallback()
        trainer(again, epochs=2).fit(
            Net(), *loaders(), ckpt_path=tmp_path / "a.ckpt", weights_only=True
        )

        assert again.run_id == callback.run_id
        (run,) = all_runs(store)
        assert run.info.status == "FINISHED"
        assert [step for step, _ in history(store, again.run_id, "val/acc")] == [6, 12]


class FakeGpus:
    """NVML's interface, of two GPUs of 100 and 300 W; the second has no counter."""

    NVMLError = RuntimeError

    def __init__(self) -> None:
        self.now = 0.0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        if handle == 1:
            raise RuntimeError("not supported")
        return int(100 * self.now * 1000)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return (100, 300)[handle] * 1000


class TestGpu:
    """No GPU is here: the arithmetic is checked, and that nothing is counted."""

    def test_the_arithmetic(self) -> None:
        """Half an hour of two GPUs is an hour, and 0.2 kWh at 400 W."""
        gpus = FakeGpus()
        meter = GpuMeter(2, [0, 1], gpus, lambda: gpus.now)
        for minute in range(1, 31):
            gpus.now = minute * 60.0
            meter.sample()

        assert meter.gpu_hours() == pytest.approx(1.0)
        assert meter.energy_kwh() == pytest.approx(0.2)
        assert meter.metrics() == {
            "gpu_hours": pytest.approx(1.0),
            "gpu_energy_kwh": pytest.approx(0.2),
        }

    def test_no_gpu(self, store: str) -> None:
        """A fit on a CPU costs no GPU-hours, and logs no such metric."""
        study = optimize_with(store)
        cost = study.trials[0].user_attrs["paperstart.cost"]
        (run,) = children(store)

        assert cost == {"gpus": 0, "gpu_hours": 0.0, "energy_kwh": None}
        assert not [name for name in run.data.metrics if "gpu" in name]


def optimize_with(store: str) -> optuna.Study:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optimize(store, epochs=1)
