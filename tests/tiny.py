"""The tiny network that tests train, on a few of scikit-learn's digits."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from lit import Callback, LightningModule, Trainer
from mlflow import MlflowClient
from mlflow.entities import Run
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

BATCHES = 6
"""Training batches in an epoch; the last one is smaller."""


@functools.cache
def digits() -> tuple[TensorDataset, TensorDataset]:
    """90 images to train on, and 64 others."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images[:154], dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    y = torch.tensor(labels[:154])
    return TensorDataset(x[:90], y[:90]), TensorDataset(x[90:], y[90:])


def batchnorm_network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(144, 10),
    )


class Net(LightningModule):
    """Logs in every way that Lightning has."""

    def __init__(self, learning_rate: float = 0.1, network: Any = None) -> None:
        super().__init__()
        self.save_hyperparameters(ignore="network")
        self.network = network or batchnorm_network()

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss, accuracy = self.loss_and_accuracy(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.log("train_acc", accuracy, on_step=False, on_epoch=True)
        self.log("lr", self.hparams["learning_rate"])
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("epoch_number", float(self.current_epoch))

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        loss, accuracy = self.loss_and_accuracy(batch)
        self.log("val_loss", loss)
        self.log("val_acc", accuracy)

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("test_acc", self.loss_and_accuracy(batch)[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), self.hparams["learning_rate"])

    def loss_and_accuracy(self, batch: list[Tensor]) -> tuple[Tensor, Tensor]:
        images, labels = batch
        logits = self.network(images)
        right = (logits.argmax(1) == labels).float().mean()
        return functional.cross_entropy(logits, labels), right


def trainer(*callbacks: Callback, epochs: int = 2, **options: Any) -> Trainer:
    """A trainer that says nothing and writes nothing, unless told to."""
    usual: dict[str, Any] = {
        "max_epochs": epochs,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 2,
    }
    return Trainer(callbacks=list(callbacks), **{**usual, **options})


def loaders() -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Batches of 16 to train on, in a shuffled order, and of 32 to validate on."""
    train, validation = digits()
    return DataLoader(train, 16, shuffle=True), DataLoader(validation, 32)


def fit(
    *callbacks: Callback, net: LightningModule | None = None, **options: Any
) -> Trainer:
    """Train, always from the same seed."""
    torch.manual_seed(0)
    net = net or Net()
    made = trainer(*callbacks, **options)
    made.fit(net, *loaders())
    return made


def run_of(store: str, run_id: str | None) -> Run:
    assert run_id is not None
    return MlflowClient(store).get_run(run_id)


def history(store: str, run_id: str | None, name: str) -> list[tuple[int, float]]:
    """A metric's steps and values, in order."""
    found = MlflowClient(store).get_metric_history(run_id, name)
    return sorted((metric.step, metric.value) for metric in found)


def artifact(store: str, run_id: str | None, name: str, folder: Path) -> Path:
    """An artifact's copy in ``folder``."""
    return Path(MlflowClient(store).download_artifacts(run_id, name, str(folder)))
