"""The monitor in a Trainer: who is told what, of every kind of training."""

from __future__ import annotations

import csv
import logging
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from pytorch_lightning import Callback, LightningModule
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, MLFlowLogger
from test_bn_capture import Operations
from tiny import (
    BATCHES,
    Net,
    artifact,
    batchnorm_network,
    fit,
    history,
    loaders,
    run_of,
    trainer,
)
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from paperstart import BatchNormMonitor, PaperStartCallback

PICTURES = {
    *("train_eval_gap.png", "dead_channels.png", "log_running_var.png"),
    "sorted_scales.png",
}
FILES = {"table.npz", "last_step.csv", "layers.csv", *PICTURES}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    torch.manual_seed(0)
    yield
    logger.setLevel(level)
    mlflow.set_tracking_uri(None)  # MLFlowLogger sets it for the whole process


def logged(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What a CSVLogger has of batch norm: steps and values by name."""
    points: dict[str, list[tuple[int, float]]] = {}
    with next(folder.rglob("metrics.csv")).open() as file:
        for line in csv.DictReader(file):
            for name, value in line.items():
                if value and name.startswith("batchnorm/"):
                    points.setdefault(name, []).append(
                        (int(line["step"]), float(value))
                    )
    return points


def table_of(folder: Path) -> dict[str, Any]:
    with np.load(next(folder.rglob("table.npz"))) as found:
        return dict(found)


def updates(folder: Path) -> list[float]:
    """How often the layer was updated in each logged step."""
    table = table_of(folder)
    column = table["columns"].tolist().index("updates_per_step")
    return list(table["values"][:, 0, column])


class TestSinks:
    """Who is told."""

    def test_any_logger(self, tmp_path: Path) -> None:
        """A logger of Lightning's gets the numbers, and its folder the files."""
        fit(BatchNormMonitor(), logger=CSVLogger(tmp_path, "csv"))
        points = logged(tmp_path)

        assert len(points) == 14
        due = [2, 4, 6, 8, 10, 12]
        assert [step for step, _ in points["batchnorm/train_eval_gap_max"]] == due
        folder = next(tmp_path.rglob("table.npz")).parent
        assert folder.name == "batchnorm"
        assert {path.name for path in folder.iterdir()} == FILES
        assert table_of(tmp_path)["steps"].tolist() == due

    def test_lightnings_mlflow_logger(self, store: str, tmp_path: Path) -> None:
        """The run of an MLFlowLogger has numbers, facts and files; no folder has."""
        logger = MLFlowLogger("mine", tracking_uri=store)
        fit(BatchNormMonitor(), logger=logger)
        run = run_of(store, logger.run_id)
        client = MlflowClient(store)

        found = [name for name in run.data.metrics if name.startswith("batchnorm/")]
        assert len(found) == 14
        paths = client.list_artifacts(logger.run_id, "batchnorm")
        assert {Path(file.path).name for file in paths} == FILES
        assert not list(tmp_path.rglob("alarms.md"))
        tags = {
            name.removeprefix("paperstart.batchnorm."): value
            for name, value in run.data.tags.items()
            if name.startswith("paperstart.batchnorm.")
        }
        assert tags == {
            "layers": "1",
            "channels": "4",
            "momentum": "0.1",
            "half_life_steps": "6.58",
            "initial_value_steps": "44",
            "buffer_dtype": "float32",
            "sync": "false",
        }

    def test_a_folder_of_ones_own(self, tmp_path: Path) -> None:
        """Without a logger, files go to the folder that is asked for, or nowhere."""
        fit(BatchNormMonitor(folder=tmp_path / "here"), logger=False)
        assert {path.name for path in (tmp_path / "here").iterdir()} == FILES

        fit(BatchNormMonitor(), logger=False)
        assert {path.name for path in tmp_path.iterdir()} <= {"here", "checkpoints"}

    def test_a_part_of_the_other_callback(self, store: str, tmp_path: Path) -> None:
        """`PaperStartCallback` tells its run, and every logger the numbers too."""
        callback = PaperStartCallback()
        fit(callback, logger=CSVLogger(tmp_path, "csv"))
        points = logged(tmp_path)

        assert len(points) == 14
        for name, values in points.items():
            assert history(store, callback.run_id, name) == values
        paths = MlflowClient(store).list_artifacts(callback.run_id, "batchnorm")
        assert {Path(file.path).name for file in paths} == FILES
        tags = run_of(store, callback.run_id).data.tags
        assert tags["paperstart.batchnorm.momentum"] == "0.1"

    @pytest.mark.parametrize("is_first", [True, False])
    def test_both(self, store: str, tmp_path: Path, is_first: bool) -> None:
        """A monitor beside `PaperStartCallback` takes its part, at its own interval."""
        callback = PaperStartCallback()
        callbacks = [BatchNormMonitor(3), callback][:: 1 if is_first else -1]
        fit(*callbacks, logger=CSVLogger(tmp_path, "csv"))

        steps = [3, 6, 9, 12]
        for name, values in logged(tmp_path).items():
            assert history(store, callback.run_id, name) == values
        gaps = history(store, callback.run_id, "batchnorm/train_eval_gap_max")
        assert [step for step, _ in gaps] == steps
        path = artifact(store, callback.run_id, "batchnorm/table.npz", tmp_path)
        with np.load(path) as table:
            assert table["steps"].tolist() == steps

    def test_each_epoch(self, tmp_path: Path) -> None:
        """The table is there, with the steps so far, while the fit goes on."""
        seen: list[list[int]] = []

        class Look(Callback):
            def on_train_epoch_start(self, *_: Any) -> None:
                for _ in range(200):
                    if (tmp_path / "table.npz").exists():
                        break
                    if not seen and self.is_first:
                        break
                    time.sleep(0.05)
                self.is_first = False
                if (tmp_path / "table.npz").exists():
                    with np.load(tmp_path / "table.npz") as table:
                        seen.append(table["steps"].tolist())

            is_first = True

        fit(BatchNormMonitor(folder=tmp_path), Look(), epochs=2)

        assert seen == [[2, 4, 6]]


class TestAlarms:
    """What is said of a fault."""

    @staticmethod
    def faulty() -> Net:
        network = batchnorm_network()
        network[1].momentum = 0.99
        return Net(network=network)

    def test_said_once_each(self, store: str) -> None:
        """An alarm is a warning, a tag of the run, and a line of its description."""
        callback = PaperStartCallback()
        with pytest.warns(UserWarning, match="TensorFlow's convention") as caught:
            fit(callback, net=self.faulty())
        tags = run_of(store, callback.run_id).data.tags

        (words,) = [str(w.message) for w in caught if w.category is UserWarning]
        assert words.startswith("network.1: momentum 0.99")
        assert tags["paperstart.alarms"] == words
        assert tags["mlflow.note.content"] == f"### Batch-norm alarms\n\n- {words}\n"

    def test_the_users_description_stays(self, store: str) -> None:
        """What a run's description says already stands before the alarms."""
        logger = MLFlowLogger("mine", tracking_uri=store)
        client = MlflowClient(store)
        client.set_tag(logger.run_id, "mlflow.note.content", "What I tried.")
        monitor = BatchNormMonitor()
        with pytest.warns(UserWarning, match="TensorFlow"):
            fit(monitor, net=self.faulty(), logger=logger)

        note = run_of(store, logger.run_id).data.tags["mlflow.note.content"]
        assert note.startswith("What I tried.\n\n### Batch-norm alarms\n\n- network.1")
        assert [alarm.kind for alarm in monitor.alarms] == ["tf_momentum"]

    def test_of_a_resumed_run(self, store: str) -> None:
        """A run that goes on keeps the alarms of its earlier part."""
        first, second = PaperStartCallback(), PaperStartCallback()
        with pytest.warns(UserWarning, match="TensorFlow"):
            made = fit(first, net=self.faulty(), epochs=1)
        made.save_checkpoint("a.ckpt")
        network = batchnorm_network()
        network[1].requires_grad_(False)
        with pytest.warns(UserWarning, match="half-frozen"):
            trainer(second, epochs=2).fit(
                Net(network=network), *loaders(), ckpt_path="a.ckpt", weights_only=True
            )
        tags = run_of(store, second.run_id).data.tags

        assert second.run_id == first.run_id
        lines = tags["paperstart.alarms"].splitlines()
        assert ["TensorFlow" in line for line in lines] == [True, False]
        assert tags["mlflow.note.content"].count("\n- network.1: ") == 2

    def test_in_a_folder(self, tmp_path: Path) -> None:
        """Without MLflow, alarms are a file beside the table."""
        with pytest.warns(UserWarning, match="TensorFlow"):
            fit(BatchNormMonitor(folder=tmp_path), net=self.faulty())

        assert "network.1: momentum 0.99" in (tmp_path / "alarms.md").read_text()

    def test_the_next_fit_is_another(self) -> None:
        """Each fit has alarms of its own."""
        monitor = BatchNormMonitor()
        with pytest.warns(UserWarning, match="TensorFlow"):
            fit(monitor, net=self.faulty())
        with pytest.warns(UserWarning, match="TensorFlow"):
            fit(monitor, net=self.faulty())
        assert len(monitor.alarms) == 1

        fit(monitor)
        assert monitor.alarms == []


class Checkpointing(Net):
    """Runs its network again in the backward pass."""

    def loss_and_accuracy(self, batch: list[Tensor]) -> tuple[Tensor, Tensor]:
        if not self.training:
            return super().loss_and_accuracy(batch)
        images = batch[0].requires_grad_()
        logits = checkpoint(self.network, images, use_reentrant=False)
        loss = nn.functional.cross_entropy(logits, batch[1])
        return loss, (logits.argmax(1) == batch[1]).float().mean()


class TestTrainings:
    """Whatever a training does, a step is one step."""

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"accumulate_grad_batches": 2},
            {"precision": "bf16-mixed"},
            {"val_check_interval": 0.34},
            {"gradient_clip_val": 0.1},
            {"max_steps": 4, "epochs": -1},
            {"limit_train_batches": 3},
        ],
    )
    def test_options(self, tmp_path: Path, options: dict[str, Any]) -> None:
        """A layer is updated once in each step that is logged."""
        fit(BatchNormMonitor(folder=tmp_path), **options)

        found = updates(tmp_path)
        assert found
        assert set(found) == {1}

    def test_gradient_accumulation(self, tmp_path: Path) -> None:
        """Of a step's micro-batches one is looked at."""
        fit(BatchNormMonitor(1, folder=tmp_path), accumulate_grad_batches=3)

        assert table_of(tmp_path)["steps"].tolist() == [1, 2, 3, 4]
        assert set(updates(tmp_path)) == {1}

    def test_activation_checkpointing(self, tmp_path: Path) -> None:
        """A layer that is run again in the backward pass was updated twice."""
        with pytest.warns(UserWarning, match="updated 2 times a step"):
            fit(BatchNormMonitor(folder=tmp_path), net=Checkpointing())

        assert set(updates(tmp_path)) == {2}

    def test_two_networks_with_manual_optimization(self, tmp_path: Path) -> None:
        """Of two networks that are stepped in turn, each has its own updates."""

        class Pair(Net):
            def __init__(self) -> None:
                super().__init__()
                self.automatic_optimization = False
                self.other = batchnorm_network()

            def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
                first, second = self.optimizers()
                for network, optimizer in ((self.network, first), (self.other, second)):
                    if network is self.other and batch_idx % 2:
                        continue  # every other batch
                    self.toggle_optimizer(optimizer)
                    loss = nn.functional.cross_entropy(network(batch[0]), batch[1])
                    optimizer.zero_grad()
                    self.manual_backward(loss)
                    optimizer.step()
                    self.untoggle_optimizer(optimizer)

            def configure_optimizers(self) -> list[torch.optim.Optimizer]:
                return [
                    torch.optim.SGD(network.parameters(), 0.1)
                    for network in (self.network, self.other)
                ]

        fit(BatchNormMonitor(1, folder=tmp_path), net=Pair(), epochs=1)
        table = table_of(tmp_path)
        column = table["columns"].tolist().index("updates_per_step")

        assert table["layers"].tolist() == ["network.1", "other.1"]
        assert table["values"][:, 0, column].tolist() == [1] * 6
        assert table["values"][:, 1, column].tolist() == [1, 0] * 3

    def test_channels_last(self, tmp_path: Path) -> None:
        """The images' layout in memory changes nothing."""
        for name, layout in (
            ("plain", torch.contiguous_format),
            ("last", torch.channels_last),
        ):
            torch.manual_seed(0)
            net = Net().to(memory_format=layout)
            fit(BatchNormMonitor(folder=tmp_path / name), net=net)

        plain, last = table_of(tmp_path / "plain"), table_of(tmp_path / "last")
        assert net.network[0].weight.is_contiguous(memory_format=torch.channels_last)
        np.testing.assert_allclose(
            plain["values"], last["values"], rtol=1e-3, atol=1e-4
        )

    def test_layers_of_all_kinds(self, tmp_path: Path) -> None:
        """Every kind of layer with running statistics is in one table, in order."""
        network = nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4, affine=False),
            nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
            nn.BatchNorm2d(4, momentum=None),
            nn.BatchNorm2d(4, track_running_stats=False),
            nn.BatchNorm2d(4).eval(),
            nn.SyncBatchNorm(4).eval(),
            nn.Flatten(2),
            nn.BatchNorm1d(4),
            nn.Unflatten(2, (6, 6, 1)),
            nn.BatchNorm3d(4),
            nn.Flatten(),
            nn.Linear(144, 10),
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Found 2 module.*in eval mode")
            fit(BatchNormMonitor(folder=tmp_path), net=Net(network=network))
        table = table_of(tmp_path)

        assert table["layers"].tolist() == [
            f"network.{i}" for i in (1, 2, 3, 5, 6, 8, 10)
        ]
        column = table["columns"].tolist().index("updates_per_step")
        assert table["values"][-1, :, column].tolist() == [1, 1, 1, 0, 0, 1, 1]

    def test_no_batch_norm(self, store: str, tmp_path: Path) -> None:
        """A model without batch norm is left alone: no word, no file, no operation."""
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        logger = CSVLogger(tmp_path, "csv")
        seen = hooked(logger=logger, net=Net(network=network))

        assert not seen.names
        assert logged(tmp_path) == {}
        assert not list(tmp_path.rglob("batchnorm"))

    def test_steps_in_between_cost_nothing(self) -> None:
        """A step that is not due calls no operation of torch."""
        assert not hooked(log_every_n_steps=3, epochs=1).names

    def test_fast_dev_run(self, tmp_path: Path) -> None:
        """A trial run is not looked at."""
        fit(BatchNormMonitor(1, folder=tmp_path), fast_dev_run=3)

        assert not list(tmp_path.glob("*.npz"))

    def test_a_fit_that_fails(self, tmp_path: Path) -> None:
        """What was seen before an error is written, and the error is the user's own."""

        class Failing(Net):
            def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
                if batch_idx == 3:
                    raise ValueError("mine")
                return super().training_step(batch, batch_idx)

        with pytest.raises(ValueError, match="mine"):
            fit(BatchNormMonitor(folder=tmp_path), net=Failing())

        assert table_of(tmp_path)["steps"].tolist() == [2]

    def test_nothing_stops_a_training(self, tmp_path: Path) -> None:
        """A folder that cannot be written costs a warning, not the training."""
        (tmp_path / "taken").write_text("")
        with pytest.warns(RuntimeWarning, match="batch-norm statistics of this fit"):
            made = fit(BatchNormMonitor(folder=tmp_path / "taken"))

        assert made.global_step == 2 * BATCHES

    def test_resuming_within_an_epoch(self, tmp_path: Path) -> None:
        """A fit from a checkpoint in mid-epoch has each step once."""
        keep = ModelCheckpoint(tmp_path / "c", "{step}", every_n_train_steps=3)
        keep.save_top_k = -1
        options = {"enable_checkpointing": True, "epochs": 1}
        fit(BatchNormMonitor(1, folder=tmp_path / "a"), keep, **options)
        path = tmp_path / "c" / "step=3.ckpt"
        torch.manual_seed(0)
        again = trainer(BatchNormMonitor(1, folder=tmp_path / "b"), epochs=1)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*callbacks used to create")
            warnings.filterwarnings("ignore", message=".*resuming from a checkpoint")
            again.fit(Net(), *loaders(), ckpt_path=path, weights_only=True)

        assert table_of(tmp_path / "a")["steps"].tolist() == [1, 2, 3, 4, 5, 6]
        assert table_of(tmp_path / "b")["steps"].tolist() == [4, 5, 6]
        assert set(updates(tmp_path / "b")) == {1}


def hooked(**options: Any) -> Operations:
    """The operations in the monitor's hooks of steps that are not due."""
    seen = Operations()

    class Counted(BatchNormMonitor):
        def on_train_batch_start(self, *arguments: Any) -> None:
            if (arguments[-1] + 1) % 3:
                with seen:
                    return super().on_train_batch_start(*arguments)
            return super().on_train_batch_start(*arguments)

        def on_train_batch_end(self, *arguments: Any) -> None:
            if (arguments[-1] + 1) % 3:
                with seen:
                    return super().on_train_batch_end(*arguments)
            return super().on_train_batch_end(*arguments)

    fit(Counted(), **options)
    return seen


class TestCompiled:
    """A compiled model stays as it is."""

    def test_no_graph_break_and_no_recompilation(self, tmp_path: Path) -> None:
        """With the monitor, torch compiles the same frames and operations."""
        from torch._dynamo.testing import CompileCounter

        counts = []
        for callbacks in ([], [BatchNormMonitor(1, folder=tmp_path)]):
            torch._dynamo.reset()
            counter = CompileCounter()
            torch.manual_seed(0)
            network = torch.compile(batchnorm_network(), backend=counter)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # dynamo's own deprecations
                fit(*callbacks, net=Net(network=network), limit_val_batches=0)
            counts.append((counter.frame_count, counter.op_count))
        torch._dynamo.reset()

        assert counts[0][0] > 0
        assert counts[0] == counts[1]
        assert table_of(tmp_path)["layers"].tolist() == ["network.1"]
        assert set(updates(tmp_path)) == {1}


class TestPackages:
    """Both of Lightning's packages take the monitor."""

    def test_lightning_pytorch(self, tmp_path: Path) -> None:
        """A Trainer of ``lightning.pytorch`` runs it."""
        pl = pytest.importorskip("lightning.pytorch")
        from lightning.pytorch.loggers import CSVLogger as OtherLogger

        class Other(pl.LightningModule):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.network = batchnorm_network()

            def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
                return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

            def configure_optimizers(self) -> torch.optim.Optimizer:
                return torch.optim.SGD(self.parameters(), 0.1)

        made = pl.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=OtherLogger(tmp_path, "csv"),
            callbacks=[BatchNormMonitor(2)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        made.fit(Other(), loaders()[0])

        assert len(logged(tmp_path)) == 14

    def test_pytorch_lightning(self) -> None:
        """It is a callback of ``pytorch_lightning``."""
        assert isinstance(BatchNormMonitor(), Callback)
        assert issubclass(LightningModule, nn.Module)


DISTRIBUTED = """
import os, sys, warnings
sys.path.insert(0, sys.argv[1])
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
from pathlib import Path
from tiny import Net, loaders, trainer
from paperstart import BatchNormMonitor

class Loud(BatchNormMonitor):
    def on_fit_end(self, trainer, pl_module):
        super().on_fit_end(trainer, pl_module)
        print("rank", trainer.global_rank, self._watch is not None, flush=True)

if __name__ == "__main__":
    torch.manual_seed(0)
    made = trainer(Loud(1, folder="bn"), epochs=1, devices=2, strategy="ddp")
    made.fit(Net(), *loaders())
"""


def test_two_processes(tmp_path: Path) -> None:
    """Of two processes the first one looks, and each of its steps is one update."""
    (tmp_path / "program.py").write_text(DISTRIBUTED)
    tests = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "program.py", tests],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    said = sorted(line for line in done.stdout.splitlines() if line.startswith("rank"))
    assert said == ["rank 0 True", "rank 1 False"]
    assert table_of(tmp_path)["steps"].tolist() == [1, 2, 3]
    assert set(updates(tmp_path)) == {1}
