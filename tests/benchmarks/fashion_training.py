"""What does one training on Fashion-MNIST reach? Two networks, in plain torch.

The networks are those of He et al. 2016 (arXiv:1512.03385): of section 4.2 for CIFAR-10
(three stages, shortcuts without parameters), and ResNet-18 of table 1 with the stem of
the former, since the images have 28x28 pixels. Initialization, the mean subtracted per
pixel, and the rate divided by 10 after a half and three quarters of the training are
section 4.2's; its augmentation is left out.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

NETWORKS = {"resnet8": ((16, 32, 64), 1, 2), "resnet18": ((64, 128, 256, 512), 2, 1)}
"""Filters of each stage, blocks in a stage, and the stride of the first convolution."""


class Images:
    """Training and validation images of a ``.npz`` file, on ``device``.

    The file has ``train_images`` (N, 28, 28) and ``train_labels`` (N,), or the same as
    ``images`` and ``labels``, all uint8. The last fifth validates, at most 10,000.
    """

    def __init__(self, path: Path, device: str, most: int | None = None) -> None:
        with np.load(path, allow_pickle=False) as file:
            prefix = "train_" if "train_images" in file else ""
            pixels, labels = file[f"{prefix}images"], file[f"{prefix}labels"]
        x = torch.from_numpy(pixels[:most]).to(device).float().div(255).unsqueeze(1)
        y = torch.from_numpy(labels[:most]).to(device).long()
        split = len(y) - min(10_000, len(y) // 5)
        self.train = x[:split] - x[:split].mean(0), y[:split]
        self.validation = x[split:] - x[:split].mean(0), y[split:]


class ResNet(nn.Module):
    """Residual stages; images of shape (N, 1, H, W) to logits of shape (N, 10)."""

    def __init__(self, filters: tuple[int, ...], blocks: int, stride: int) -> None:
        super().__init__()
        first = filters[0]
        layers: list[nn.Module] = [conv(1, first, 3, stride), nn.BatchNorm2d(first)]
        layers.append(nn.ReLU())
        before = first
        for stage, width in enumerate(filters):
            for block in range(blocks):
                step = 2 if stage and not block else 1
                layers.append(Block(before, width, step, projected=len(filters) == 4))
                before = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(before, 10)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images).mean((2, 3)))
        return logits


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut: zero-padded, or projected by 1x1."""

    def __init__(self, inputs: int, width: int, stride: int, projected: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(inputs, width, 3, stride),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            conv(width, width, 3, 1),
            nn.BatchNorm2d(width),
        )
        self.stride, self.extra = stride, width - inputs
        self.projection: nn.Module | None = None
        if projected and (stride > 1 or self.extra):
            self.projection = nn.Sequential(
                conv(inputs, width, 1, stride), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.projection is not None:
            shortcut = self.projection(x)
        else:
            shortcut = x[:, :, :: self.stride, :: self.stride]
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, self.extra))
        return functional.relu(self.body(x) + shortcut)


def conv(inputs: int, outputs: int, size: int, stride: int) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


def train(
    hp: dict[str, Any], images: Images, network: str, epochs: int, seed: int
) -> tuple[float, float]:
    """Train once with SGD; the last validation accuracy in [0, 1], and the seconds.

    ``seconds`` is this process's CPU time on a CPU, wall-clock time on a GPU. A loss
    that is no longer a number ends the training, with the accuracy of what is left.
    """
    cuda = images.train[0].is_cuda
    clock = time.perf_counter if cuda else time.process_time
    start = clock()
    torch.manual_seed(seed)
    model = ResNet(*NETWORKS[network]).to(images.train[0].device)
    fit(model, hp, images, epochs)
    reached = accuracy(model, *images.validation)
    return reached, clock() - start


def fit(model: nn.Module, hp: dict[str, Any], images: Images, epochs: int) -> None:
    """Change ``model`` in place: SGD whose rate falls in steps; bfloat16 on a GPU."""
    x, y = images.train
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=hp["learning_rate"],
        momentum=hp["momentum"],
        weight_decay=hp["weight_decay"],
    )
    size = int(hp["batch_size"])
    total = epochs * -(-len(y) // size)
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        optimizer, [total // 2, total * 3 // 4], gamma=0.1
    )
    for _ in range(epochs):
        for chosen in torch.randperm(len(y)).to(x.device).split(size):
            with torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda):
                loss = functional.cross_entropy(model(x[chosen]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if not torch.isfinite(loss):
            return


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of the images that ``model`` puts into the right class."""
    model.eval()
    batches = zip(x.split(500), y.split(500), strict=True)
    right = [(model(images).argmax(1) == labels).sum() for images, labels in batches]
    return float(torch.stack(right).sum()) / len(y)
