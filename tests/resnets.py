"""A small residual network on scikit-learn's digits, in a plain training loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from paperstart.batchnorm import (
    BatchNormAlarm,
    BatchNormStatistics,
    batchnorm_alarms,
    batchnorm_statistics,
    find_batchnorm_layers,
    take_snapshot,
)


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def resnet(width: int = 8, *, zero_init: bool = False) -> nn.Sequential:
    """Three blocks for 8 x 8 images of one channel and 10 classes; 9 batch norms."""
    blocks = [
        Block(width, width, 1),
        Block(width, 2 * width, 2),
        Block(2 * width, 4 * width, 2),
    ]
    for block in blocks:
        if zero_init:
            nn.init.zeros_(block.bn2.weight)
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, 10),
    )


@functools.cache
def images() -> tuple[Tensor, Tensor]:
    """1,797 images of unit variance, shape (1797, 1, 8, 8), and their labels."""
    pixels, labels = load_digits(return_X_y=True)
    x = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return (x - x.mean()) / x.std(), torch.tensor(labels)


@dataclass
class Trained:
    """What was seen of a training."""

    history: list[BatchNormStatistics]
    alarms: list[BatchNormAlarm]


def train(
    net: nn.Module,
    steps: int = 120,
    *,
    every: int = 10,
    batch_size: int = 32,
    rate: float = 0.1,
    forward: Callable[[Tensor], Tensor] | None = None,
    at_step: Callable[[int], None] = lambda step: None,
) -> Trained:
    """Train with SGD, and look at every ``every``-th step."""
    x, y = images()
    generator = torch.Generator().manual_seed(0)
    parameters = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, rate, momentum=0.9, weight_decay=1e-4)
    layers = find_batchnorm_layers(net)
    seen = Trained([], [])
    dtype = parameters[0].dtype
    for step in range(1, steps + 1):
        at_step(step)
        picked = torch.randint(0, len(x), (batch_size,), generator=generator)
        before = take_snapshot(layers) if step % every == 0 else None
        optimizer.zero_grad()
        logits = (forward or net)(x[picked].to(dtype))
        functional.cross_entropy(logits.float(), y[picked]).backward()
        optimizer.step()
        if before is not None:
            earlier = seen.history[-1] if seen.history else None
            after = take_snapshot(layers)
            found = batchnorm_statistics(
                before, after, layers, step=step, earlier=earlier
            )
            seen.history.append(found)
            seen.alarms += batchnorm_alarms(seen.history[-3:], seen.alarms)
    return seen
