"""The callback in a plain Trainer, on real training and a real store."""

from __future__ import annotations

import csv
import logging
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from lit import (
    NAME,
    Callback,
    CSVLogger,
    EarlyStopping,
    LightningDataModule,
    LightningModule,
    Trainer,
    Tuner,
)
from mlflow import MlflowClient
from mlflow.entities import Run
from tiny import (
    BATCHES,
    Net,
    artifact,
    batchnorm_network,
    digits,
    fit,
    history,
    loaders,
    run_of,
    trainer,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from paperstart import PaperStartCallback
from paperstart._outbox import outbox_of
from paperstart.errors import TrackingError
from paperstart.tracking import metric_name


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    logger = logging.getLogger(NAME)
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


class TestNoArguments:
    """``PaperStartCallback()`` alone is a full user of the package."""

    @pytest.fixture
    def run(self, store: str) -> Run:
        """One fit; the store is the one that MLflow uses in this folder."""
        callback = PaperStartCallback()
        fit(callback)
        return run_of(store, callback.run_id)

    def test_one_run(self, run: Run, store: str, tmp_path: Path) -> None:
        """The fit is one finished run of the experiment ``paperstart``, with a name."""
        client = MlflowClient(store)
        experiment = client.get_experiment_by_name("paperstart")
        runs = client.search_runs([experiment.experiment_id])

        assert [found.info.run_id for found in runs] == [run.info.run_id]
        assert run.info.status == "FINISHED"
        assert run.info.run_name
        assert run.data.params == {"learning_rate": "0.1"}
        assert {p.name for p in tmp_path.iterdir()} == {"mlflow.db", "mlartifacts"}
        sections = {name.partition("/")[0] for name in run.data.metrics}
        assert sections == {"train", "val", "batchnorm", "system"}
        assert "system/cpu_utilization_percentage" in run.data.metrics
        assert len([n for n in run.data.metrics if n.startswith("batchnorm/")]) == 14

    def test_the_batchnorm_table(self, run: Run, store: str, tmp_path: Path) -> None:
        """The layer x step table is an artifact, a row for each step that was due."""
        path = artifact(store, run.info.run_id, "batchnorm/table.npz", tmp_path)
        due = [2, 4, 6, 8, 10, 12]

        with np.load(path) as table:
            assert table["steps"].tolist() == due
            assert table["layers"].tolist() == ["network.1"]
            columns = table["columns"].tolist()
            for name, values in zip(columns, table["values"].T, strict=True):
                # A lag is averaged over three steps or more.
                known = values[0, 2:] if name.endswith("_lag") else values
                assert np.isfinite(known).all(), name
            gap = table["values"][
                :, 0, table["columns"].tolist().index("train_eval_gap")
            ]
        logged = history(store, run.info.run_id, "batchnorm/train_eval_gap_max")
        assert [step for step, _ in logged] == due
        assert [value for _, value in logged] == pytest.approx(gap.tolist())


class TestMetrics:
    """MLflow has what Lightning's own loggers have."""

    @pytest.mark.parametrize("options", [{}, {"val_check_interval": 0.5}])
    def test_as_lightning_logs_them(
        self, store: str, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        """Each value that Lightning's CSV file has is in the run, and no other one."""
        callback = PaperStartCallback()
        fit(callback, logger=CSVLogger(tmp_path, "csv"), epochs=3, **options)
        with next(tmp_path.rglob("metrics.csv")).open() as file:
            lines = list(csv.DictReader(file))
        expected: dict[str, list[tuple[int, float]]] = {}
        for line in lines:
            for name, value in line.items():
                own = name in ("step", "epoch") or name.startswith("batchnorm/")
                if value and not own:
                    # Lightning counts from 0, and names the step of the last batch.
                    point = (int(line["step"]) + 1, float(value))
                    expected.setdefault(metric_name(name, "train"), []).append(point)

        assert set(expected) == {
            *("train/loss_step", "train/loss_epoch", "train/acc", "train/lr"),
            *("train/epoch_number", "val/loss", "val/acc"),
        }
        for name, points in expected.items():
            assert history(store, callback.run_id, name) == sorted(points), name

    def test_one_name_in_training_and_validation(self, store: str) -> None:
        """A name that both stages use is kept apart by stage."""

        class Both(Net):
            def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
                self.log("loss", 1.0)
                return super().training_step(batch, batch_idx)

            def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
                self.log("loss", 2.0)
                self.log("extra", 3.0, on_step=True, on_epoch=True)

        callback = PaperStartCallback()
        fit(callback, net=Both(), val_check_interval=1)  # before anything is due
        metrics = run_of(store, callback.run_id).data.metrics

        assert metrics["train/loss"] == 1
        assert metrics["val/loss"] == 2
        assert metrics["val/extra_epoch"] == 3
        named = {name for name in metrics if "loss" in name or "extra" in name}
        assert named == {
            *("train/loss", "train/loss_step", "train/loss_epoch"),
            *("val/loss", "val/extra_epoch"),
        }
        steps = [step for step, _ in history(store, callback.run_id, "val/loss")]
        assert steps == list(range(1, 2 * BATCHES + 1))

    def test_several_validation_sets(self, store: str) -> None:
        """Each of several data sets keeps its own metrics."""

        class Two(Net):
            def validation_step(
                self, batch: list[Tensor], batch_idx: int, dataloader_idx: int = 0
            ) -> None:
                self.log("val_n", float(dataloader_idx))

        callback = PaperStartCallback()
        train, validation = loaders()
        trainer(callback).fit(Two(), train, [validation, validation])
        metrics = run_of(store, callback.run_id).data.metrics

        assert metrics["val/n/dataloader_idx_0"] == 0
        assert metrics["val/n/dataloader_idx_1"] == 1

    def test_numbers_of_every_kind(self, store: str) -> None:
        """Double precision keeps its digits, and what is not finite is counted."""

        class Kinds(Net):
            def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
                self.log("double", torch.tensor(0.1, dtype=torch.float64))
                self.log("single", torch.tensor([0.5]))
                self.log("nothing", float("nan"))
                return super().training_step(batch, batch_idx)

        callback = PaperStartCallback()
        fit(callback, net=Kinds(), epochs=1)
        metrics = run_of(store, callback.run_id).data.metrics

        assert metrics["train/double"] == 0.1
        assert metrics["train/single"] == 0.5
        assert metrics["train/nonfinite_count"] == BATCHES / 2
        assert "train/nothing" not in metrics

    def test_a_test_goes_to_the_fits_run(self, store: str) -> None:
        """A test after the fit is in the fit's run, which stays finished."""
        callback = PaperStartCallback()
        made = fit(callback)
        made.test(Net(), dataloaders=loaders()[1], verbose=False)
        run = run_of(store, callback.run_id)

        assert run.data.metrics["test/acc"] == made.callback_metrics["test_acc"]
        assert run.info.status == "FINISHED"


class TestDue:
    """How often a step is recorded."""

    @pytest.mark.parametrize(
        ("options", "arguments", "due"),
        [
            ({"log_every_n_steps": 50}, {}, [3, 9]),
            ({"log_every_n_steps": 5}, {}, [5, 10]),
            ({"log_every_n_steps": 0}, {}, [3, 9]),
            ({"log_every_n_steps": 50}, {"every_n_steps": 4}, [4, 8, 12]),
            ({"log_every_n_steps": 50, "max_steps": 2, "epochs": -1}, {}, [1]),
            ({"limit_train_batches": 1, "log_every_n_steps": 50}, {}, [1, 2]),
            ({"accumulate_grad_batches": 3}, {"every_n_steps": 1}, [1, 2, 3, 4]),
            ({"accumulate_grad_batches": 2}, {"every_n_steps": 2}, [2, 4, 6]),
        ],
    )
    def test_steps(
        self,
        store: str,
        options: dict[str, Any],
        arguments: dict[str, Any],
        due: list[int],
    ) -> None:
        """Every n optimizer steps, and at least once in an epoch, however short."""
        callback = PaperStartCallback(**arguments)
        fit(callback, **options)
        points = history(store, callback.run_id, "batchnorm/updates_per_step_max")

        assert points == [(step, 1) for step in due]

    def test_metrics_keep_the_trainers_interval(self, store: str) -> None:
        """A rare look at batch norm does not make training metrics rare."""
        callback = PaperStartCallback(every_n_steps=6)
        fit(callback)

        assert len(history(store, callback.run_id, "train/loss_step")) == BATCHES
        assert len(history(store, callback.run_id, "batchnorm/dead_fraction")) == 2

    def test_an_epoch_of_unknown_length(self, store: str) -> None:
        """Data without a length is recorded at the interval."""

        class Stream(IterableDataset[Any]):
            def __iter__(self) -> Iterator[Any]:
                train, _ = digits()
                return (train[i] for i in range(len(train)))

        callback = PaperStartCallback()
        trainer(callback, epochs=1).fit(Net(), DataLoader(Stream(), 16), loaders()[1])
        points = history(store, callback.run_id, "batchnorm/dead_fraction")

        assert [step for step, _ in points] == [2, 4, 6]


class TestModels:
    """Whatever the model is, the fit goes on."""

    def test_no_batch_norm(self, store: str) -> None:
        """A model without batch norm has no such metrics and no table."""
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        callback = PaperStartCallback()
        fit(callback, net=Net(network=network))
        run = run_of(store, callback.run_id)

        assert run.info.status == "FINISHED"
        assert run.data.metrics["val/acc"] > 0
        assert not [name for name in run.data.metrics if name.startswith("batchnorm")]
        artifacts = MlflowClient(store).list_artifacts(run.info.run_id)
        assert [file.path for file in artifacts] == ["environment.txt"]

    @pytest.mark.parametrize("sanity_steps", [0, 2])
    def test_lazy_layers(self, store: str, sanity_steps: int) -> None:
        """Layers that get their size in training are recorded in the first epoch."""
        network = nn.Sequential(nn.LazyBatchNorm2d(), nn.Flatten(), nn.Linear(64, 10))
        net = Net(network=network)
        net.configure_optimizers = lambda: torch.optim.SGD(network[2].parameters(), 0.1)
        callback = PaperStartCallback()
        fit(callback, net=net, num_sanity_val_steps=sanity_steps)
        points = history(store, callback.run_id, "batchnorm/dead_fraction")

        assert [step for step, _ in points] == [2, 4, 6, 8, 10, 12]

    def test_two_networks_with_manual_optimization(self, store: str) -> None:
        """A module that steps its two optimizers itself is recorded, layer by layer."""

        class Pair(Net):
            def __init__(self) -> None:
                super().__init__()
                self.automatic_optimization = False
                self.other = batchnorm_network()

            def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
                for network, optimizer in zip(
                    (self.network, self.other), self.optimizers(), strict=True
                ):
                    optimizer.zero_grad()
                    loss = nn.functional.cross_entropy(network(batch[0]), batch[1])
                    self.manual_backward(loss)
                    optimizer.step()

            def configure_optimizers(self) -> list[torch.optim.Optimizer]:
                return [
                    torch.optim.SGD(network.parameters(), 0.1)
                    for network in (self.network, self.other)
                ]

        callback = PaperStartCallback()
        fit(callback, net=Pair(), epochs=1)
        points = history(store, callback.run_id, "batchnorm/updates_per_step_max")

        assert points == [(4, 1), (8, 1), (12, 1)]  # two steps for each batch

    def test_an_epoch_that_is_cut_short(self, store: str) -> None:
        """A module that skips the rest of an epoch mixes no two steps."""

        class Short(Net):
            def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
                return -1 if batch_idx == 3 else None  # a step that would be due

        callback = PaperStartCallback()
        fit(callback, net=Short())
        points = history(store, callback.run_id, "batchnorm/updates_per_step_max")

        assert points == [(2, 1), (4, 1), (6, 1)]
        assert run_of(store, callback.run_id).info.status == "FINISHED"

    def test_no_hyperparameters(self, store: str) -> None:
        """A module that saves no hyperparameters has a run without params."""

        class Plain(Net):
            def __init__(self) -> None:
                super().__init__()
                self._hparams.clear()

            def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
                return self.loss_and_accuracy(batch)[0]

            def configure_optimizers(self) -> torch.optim.Optimizer:
                return torch.optim.SGD(self.parameters(), 0.1)

        callback = PaperStartCallback()
        fit(callback, net=Plain(), epochs=1)

        assert run_of(store, callback.run_id).data.params == {}

    def test_hyperparameters_of_every_kind(self, store: str) -> None:
        """Nested ones, lists and the data module's are there; objects are not."""

        class Settings(Net):
            def __init__(self, hp: dict[str, Any], **more: Any) -> None:
                super().__init__()
                self.save_hyperparameters()

        class Data(LightningDataModule):
            def __init__(self, batch_size: int) -> None:
                super().__init__()
                self.save_hyperparameters()

            def train_dataloader(self) -> DataLoader[Any]:
                return DataLoader(digits()[0], self.hparams["batch_size"])

            val_dataloader = train_dataloader

        callback = PaperStartCallback()
        net = Settings(
            {"depth": 20, "inner": {"name": "a"}},
            width=np.int64(4),
            sizes=[1, 2],
            loss=torch.nn.functional.mse_loss,
            extra=None,
            path=Path("a"),
        )
        trainer(callback, epochs=1).fit(net, datamodule=Data(45))

        assert run_of(store, callback.run_id).data.params == {
            "learning_rate": "0.1",
            "batch_size": "45",
            "hp/depth": "20",
            "hp/inner/name": "a",
            "width": "4",
            "sizes": "[1, 2]",
            "extra": "None",
            "path": "a",
        }

    def test_a_recipe_beside_the_params(self, store: str) -> None:
        """With a recipe, what was published and the ratio stand beside each param."""
        callback = PaperStartCallback("resnet20-cifar10")
        fit(callback, net=Net(learning_rate=0.05), epochs=1)
        run = run_of(store, callback.run_id)

        assert run.data.params == {
            "learning_rate": "0.05",
            "published/learning_rate": "0.1",
            "ratio/learning_rate": "0.5",
        }
        assert run.data.tags["paperstart.recipe"] == "resnet20-cifar10"


class Spy(Callback):
    """Sees which hooks the modules have while they train."""

    def __init__(self) -> None:
        self.hooks: list[Any] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        for module in pl_module.modules():
            for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks"):
                self.hooks += getattr(module, kind)


class TestNothingElseChanges:
    """The training is the one that it would have been."""

    def test_bit_by_bit(self, store: str) -> None:
        """Weights, buffers and random states are the same without the callback."""

        def train(*callbacks: Callback) -> tuple[dict[str, Tensor], list[Any]]:
            random.seed(0)
            np.random.seed(0)
            made = fit(*callbacks)
            states = [random.getstate(), str(np.random.get_state())]
            return made.model.state_dict(), [*states, torch.get_rng_state().tolist()]

        plain, plain_random = train()
        watched, watched_random = train(PaperStartCallback(every_n_steps=1))

        assert plain.keys() == watched.keys()
        assert all(torch.equal(plain[name], watched[name]) for name in plain)
        assert plain_random == watched_random

    def test_no_hooks(self, store: str) -> None:
        """No module has a hook while it trains."""
        spy = Spy()
        fit(PaperStartCallback(), spy)

        assert spy.hooks == []

    def test_the_users_mlflow(
        self, store: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An active run of the user's is the fit's one run, and stays active."""
        monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", None)
        mlflow.set_tracking_uri(store)
        try:
            with mlflow.start_run() as active:
                callback = PaperStartCallback()
                fit(callback, epochs=1)
                assert mlflow.active_run().info.run_id == active.info.run_id
                assert mlflow.get_tracking_uri() == store
                assert run_of(store, active.info.run_id).info.status == "RUNNING"
            assert callback.run_id == active.info.run_id
            client = MlflowClient(store)
            experiments = [e.experiment_id for e in client.search_experiments()]
            assert len(client.search_runs(experiments)) == 1
            assert run_of(store, callback.run_id).info.status == "FINISHED"
        finally:
            mlflow.set_tracking_uri(None)

    @pytest.mark.parametrize(
        "variable", ["MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"]
    )
    def test_the_users_experiment(
        self, store: str, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        """A run goes to the experiment that the user chose for MLflow."""
        chosen = MlflowClient(store).create_experiment("mine")
        monkeypatch.setenv(variable, {"N": "mine", "I": chosen}[variable[18]])
        callback = PaperStartCallback()
        fit(callback, epochs=1)

        assert run_of(store, callback.run_id).info.experiment_id == chosen

    def test_fast_dev_run(self, tmp_path: Path) -> None:
        """A trial run of Lightning's makes no run, and not even a store."""
        callback = PaperStartCallback()
        fit(callback, fast_dev_run=True)

        assert callback.run_id is None
        assert list(tmp_path.iterdir()) == []

    def test_a_tuner(self, store: str) -> None:
        """A search for the learning rate makes no run and leaves none open."""
        callback = PaperStartCallback()
        made = trainer(callback)
        torch.manual_seed(0)
        net = Net()
        Tuner(made).lr_find(
            net,
            *loaders(),
            num_training=4,
            attr_name="learning_rate",
            early_stop_threshold=None,
            update_attr=False,
        )
        assert callback.run_id is None
        made.fit(net, *loaders())

        assert run_of(store, callback.run_id).info.status == "FINISHED"
        assert len(history(store, callback.run_id, "train/loss_step")) == BATCHES


class Failing(Net):
    """Raises in the second epoch."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if self.current_epoch == 1 and batch_idx == 3:
            raise self.error


class TestEndings:
    """How a fit ended is what its run says."""

    def test_an_exception(self, store: str, tmp_path: Path) -> None:
        """A fit that fails is FAILED, with the error's name and its traceback."""
        callback = PaperStartCallback()
        with pytest.raises(ZeroDivisionError, match="by hand"):
            fit(callback, net=Failing(ZeroDivisionError("by hand")))
        run = run_of(store, callback.run_id)

        assert run.info.status == "FAILED"
        assert run.data.tags["paperstart.failure"] == "ZeroDivisionError"
        text = artifact(store, callback.run_id, "traceback.txt", tmp_path).read_text()
        assert "ZeroDivisionError: by hand" in text
        assert "on_train_batch_start" in text
        assert "val/acc" in run.data.metrics
        assert artifact(
            store, callback.run_id, "batchnorm/table.npz", tmp_path
        ).exists()

    def test_an_interrupt(self, store: str) -> None:
        """A fit that somebody stops is KILLED, with what it had until then."""
        callback = PaperStartCallback()
        before = signal.getsignal(signal.SIGINT)
        try:
            with pytest.raises(SystemExit):
                fit(callback, net=Failing(KeyboardInterrupt()))
        finally:
            signal.signal(signal.SIGINT, before)  # Lightning leaves it ignored
        run = run_of(store, callback.run_id)

        assert run.info.status == "KILLED"
        assert run.data.tags["paperstart.failure"] == "KeyboardInterrupt"
        assert "val/acc" in run.data.metrics
        paths = [f.path for f in MlflowClient(store).list_artifacts(callback.run_id)]
        assert paths == ["batchnorm", "environment.txt"]

    def test_early_stopping(self, store: str) -> None:
        """A fit that stops by itself is finished."""
        callback = PaperStartCallback()
        stop = EarlyStopping("val_acc", patience=0, mode="min")
        fit(callback, stop, epochs=50)

        assert run_of(store, callback.run_id).info.status == "FINISHED"

    def test_a_monitor_that_is_not_there(self, store: str) -> None:
        """A metric that nobody logs is named, with those that were logged."""
        callback = PaperStartCallback(monitor="val_accuracy")
        with pytest.raises(TrackingError) as caught:
            fit(callback)

        assert "'val_accuracy'" in str(caught.value)
        assert "val_acc, val_loss" in str(caught.value)
        assert "monitor=" in str(caught.value)
        assert run_of(store, callback.run_id).info.status == "FAILED"

    def test_what_fails_after_the_fit(self, store: str) -> None:
        """A finished fit stays finished, whatever becomes of what follows."""

        class Broken(Net):
            def setup(self, stage: str) -> None:
                raise ZeroDivisionError

        callback = PaperStartCallback()
        made = fit(callback)
        with pytest.raises(ZeroDivisionError):
            made.validate(Broken(), dataloaders=loaders()[1], verbose=False)
        with pytest.raises(ZeroDivisionError):
            made.fit(Broken(), *loaders())
        run = run_of(store, callback.run_id)

        assert run.info.status == "FINISHED"
        assert "paperstart.failure" not in run.data.tags

    def test_a_store_that_goes_away(self, store: str, tmp_path: Path) -> None:
        """Training goes on to its end; one warning says what waits, and it is sent."""

        class Away(Callback):
            def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
                db = tmp_path / "mlflow.db"
                if db.is_file():
                    db.rename(tmp_path / "elsewhere.db")
                    db.mkdir()

        callback = PaperStartCallback()
        with pytest.warns(RuntimeWarning, match="does not answer") as caught:
            made = fit(callback, Away(), epochs=3)

        assert made.current_epoch == 3
        assert [w.category for w in caught].count(RuntimeWarning) == 1
        (tmp_path / "mlflow.db").rmdir()
        (tmp_path / "elsewhere.db").rename(tmp_path / "mlflow.db")
        assert outbox_of(MlflowClient(store)).wait(callback.run_id)
        run = run_of(store, callback.run_id)
        assert run.info.status == "FINISHED"
        assert len(history(store, callback.run_id, "val/acc")) == 3

    def test_a_store_that_never_was(self, tmp_path: Path) -> None:
        """A store that cannot be opened stops the fit at once, in words."""
        (tmp_path / "mlflow.db").mkdir()
        with pytest.raises(TrackingError, match=r"mlflow\.db cannot be opened"):
            fit(PaperStartCallback())


class TestTwice:
    """One callback, several fits."""

    def test_two_fits_are_two_runs(self, store: str) -> None:
        """Each fit has a run of its own, also with a test from a checkpoint between."""
        callback = PaperStartCallback()
        made = fit(callback)
        first = callback.run_id
        made.save_checkpoint("a.ckpt")
        made.test(Net(), loaders()[1], ckpt_path="a.ckpt", verbose=False)
        fit(callback)

        assert callback.run_id != first
        for run_id in (first, callback.run_id):
            assert run_of(store, run_id).info.status == "FINISHED"
            points = history(store, run_id, "batchnorm/dead_fraction")
            assert [step for step, _ in points] == [2, 4, 6, 8, 10, 12]
        assert "test/acc" in run_of(store, first).data.metrics

    def test_resuming(self, store: str, tmp_path: Path) -> None:
        """A fit from a checkpoint goes on in the same run, with the earlier steps."""
        first = PaperStartCallback()
        made = fit(first, epochs=1)
        made.save_checkpoint("a.ckpt")
        state = torch.load("a.ckpt", weights_only=True)
        assert state["callbacks"]["PaperStartCallback"] == {"run_id": first.run_id}

        second = PaperStartCallback()
        trainer(second, epochs=3).fit(
            Net(learning_rate=0.2), *loaders(), ckpt_path="a.ckpt", weights_only=True
        )
        run = run_of(store, second.run_id)

        assert second.run_id == first.run_id
        assert run.info.status == "FINISHED"
        assert [s for s, _ in history(store, run.info.run_id, "val/acc")] == [6, 12, 18]
        path = artifact(store, run.info.run_id, "batchnorm/table.npz", tmp_path)
        with np.load(path) as table:
            assert table["steps"].tolist() == list(range(2, 20, 2))
        system = history(store, run.info.run_id, "system/cpu_utilization_percentage")
        assert len(system) >= 2
        assert [step for step, _ in system] == list(range(len(system)))

    def test_a_checkpoint_of_a_run_that_is_gone(self, store: str) -> None:
        """Without the checkpoint's run, a warning says so, and a new one is made."""
        first = PaperStartCallback()
        fit(first, epochs=1).save_checkpoint("a.ckpt")
        MlflowClient(store).delete_run(first.run_id)

        second = PaperStartCallback()
        with pytest.warns(UserWarning, match=f"{first.run_id} is no longer"):
            trainer(second).fit(
                Net(), *loaders(), ckpt_path="a.ckpt", weights_only=True
            )

        assert second.run_id != first.run_id
        assert run_of(store, second.run_id).info.status == "FINISHED"
