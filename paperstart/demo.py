"""What does the demo train?

A small residual network on scikit-learn's 8x8 digits, with the recipe that He et al.
2016 published for the same architecture on CIFAR-10. Only the objective is here: the
search around it is the one that `paperstart search` runs.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import torch
from optuna import Trial
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from paperstart._lightning import lightning
from paperstart.callback import PaperStartCallback
from paperstart.recipe import Recipe

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer
else:
    LightningModule, Trainer = lightning().LightningModule, lightning().Trainer

RECIPE = "resnet20-cifar10"
SEARCHED = ("learning_rate", "momentum", "weight_decay", "batch_size")
EPOCHS = 6
VALIDATION_SHARE = 0.2
SEED = 0


def objective(trial: Trial, recipe: Recipe) -> float:
    """Train once; the validation accuracy after the last epoch, in [0, 1]."""
    hp = recipe.suggest(
        trial,
        only=SEARCHED,
        fixed={"bn_momentum": 0.1, "bn_epsilon": 1e-5, "nesterov": False},
        ranges={"batch_size": (32, 256)},  # 1,437 images; the paper had 50,000
    )
    torch.set_num_threads(1)  # the network is too small for more to pay
    torch.manual_seed(SEED)
    train, validation = _digits()
    callback = PaperStartCallback(recipe, trial, monitor="val_acc")
    trainer = _trainer(callback)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning")
        trainer.fit(
            DigitsModule(hp),
            DataLoader(train, int(hp["batch_size"]), shuffle=True),
            DataLoader(validation, len(validation)),
        )
    return float(trainer.callback_metrics["val_acc"])


class DigitsModule(LightningModule):
    """Trains the network with the recipe's optimizer and its steps of the rate.

    The rate is multiplied by ``lr_decay_factor`` after one half and three quarters of
    the training, as the paper does after 32k and 48k of its 64k steps.
    """

    def __init__(self, hp: dict[str, Any]) -> None:
        super().__init__()
        self.hp = hp
        self.network = SmallResNet()

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """The cross-entropy of one batch."""
        images, labels = batch
        loss = functional.cross_entropy(self.network(images), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Accuracy and cross-entropy of one batch."""
        images, labels = batch
        logits = self.network(images)
        self.log("val_acc", (logits.argmax(1) == labels).float().mean())
        self.log("val_loss", functional.cross_entropy(logits, labels))

    def configure_optimizers(self) -> Any:
        """SGD with momentum and a rate that falls in steps."""
        hp = self.hp
        optimizer = torch.optim.SGD(
            self.parameters(),
            lr=hp["learning_rate"],
            momentum=hp["momentum"],
            weight_decay=hp["weight_decay"],
            nesterov=hp["nesterov"],
        )
        total = self.trainer.estimated_stepping_batches
        milestones = [int(total * k / hp["steps"]) for k in hp["lr_decay_steps"]]
        schedule = torch.optim.lr_scheduler.MultiStepLR(
            optimizer, milestones, gamma=hp["lr_decay_factor"]
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class SmallResNet(nn.Module):
    """The CIFAR network of He et al. 2016, section 4.2, with n = 1: 8 layers.

    Three stages of 16, 32 and 64 filters; shortcuts are identities padded with zeros
    (option A). Takes images of shape (N, 1, 8, 8), gives logits of shape (N, 10).
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(1, 16), nn.BatchNorm2d(16), nn.ReLU())
        self.stages = nn.Sequential(
            ResidualBlock(16, 16), ResidualBlock(16, 32, 2), ResidualBlock(32, 64, 2)
        )
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (N, 10)."""
        features: Tensor = self.stages(self.stem(images))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each with batch norm, and a shortcut without parameters."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = _conv(outputs, outputs), nn.BatchNorm2d(outputs)
        self.stride, self.extra = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, outputs, H / stride, W / stride)."""
        y = functional.relu(self.bn1(self.conv1(x)))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, self.extra))
        return functional.relu(self.bn2(self.conv2(y)) + shortcut)


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


def _digits() -> tuple[TensorDataset, TensorDataset]:
    """Training and validation images, always split alike."""
    images, labels = load_digits(return_X_y=True)
    pixels = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    classes = torch.tensor(labels)
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(SEED))
    split = int(len(order) * VALIDATION_SHARE)
    mean = pixels[order[split:]].mean(0)  # the paper subtracts the per-pixel mean
    data = pixels - mean
    train, validation = order[split:], order[:split]
    return (
        TensorDataset(data[train], classes[train]),
        TensorDataset(data[validation], classes[validation]),
    )


def _trainer(callback: PaperStartCallback) -> Trainer:
    # Lightning's hints are about trainings that take longer than to read them.
    logging.getLogger(lightning().__name__).setLevel(logging.ERROR)
    return Trainer(
        max_epochs=EPOCHS,
        callbacks=[callback],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=5,
    )
