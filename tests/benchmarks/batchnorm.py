"""What does `BatchNormMonitor` cost, beside a training step and beside histograms?

Run by hand: ``python tests/benchmarks/batchnorm.py [LOGGED]``, with ``pip install
tensorboard``. One fit of a ResNet-50-like network (53 batch-norm layers, 26,560
channels) with its run in MLflow; every fifth step is logged, in turn by the monitor and
by TensorBoard's ``add_histogram`` over the same 212 tensors, in the thread that trains.
Times are the CPU time of that thread, since others use the machine too, and medians.
Where there is a GPU, the second part measures on it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import torch
from batchnorm_gpu import gpu_table
from pytorch_lightning import Callback, LightningModule, Trainer
from resnet50 import ResNet50
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.tensorboard import SummaryWriter

from paperstart import BatchNormMonitor, PaperStartCallback, find_batchnorm_layers

EVERY = 5
REPORTED_EVERY = 50
"""The interval that the share of the training is stated for."""


class Network(LightningModule):
    """The network with random images."""

    def __init__(self) -> None:
        super().__init__()
        self.network = ResNet50(groups=32)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01, momentum=0.9)


class Stopwatch:
    """CPU milliseconds of this thread, by name; and torch's operations."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}
        self.operations: dict[str, list[int]] = {}

    @contextlib.contextmanager
    def time(self, name: str) -> Iterator[None]:
        start = time.thread_time_ns()
        yield
        self.times.setdefault(name, []).append((time.thread_time_ns() - start) / 1e6)

    @contextlib.contextmanager
    def count(self, name: str) -> Iterator[None]:
        with _Counter() as counter:
            yield
        self.operations.setdefault(name, []).append(counter.operations)


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(
        self, call: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.operations += 1
        return call(*args, **(kwargs or {}))


class TimedMonitor(BatchNormMonitor):
    """The monitor, with a watch on what it does in the thread that trains."""

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__(every_n_steps=2 * EVERY)
        self.watch = watch

    def measure(self, batch_idx: int) -> Any:
        """A logged step is one that ends an interval, and the one that hands over."""
        place = (batch_idx + 1) % (2 * EVERY)
        if place == 0:
            return self.watch.time("due")
        if place == 1:
            return self.watch.time("hand over")
        if place == 2:
            return self.watch.count("not due")
        return self.watch.time("not due")

    def on_train_batch_start(self, *arguments: Any) -> None:
        with self.measure(arguments[-1]):
            super().on_train_batch_start(*arguments)

    def on_train_batch_end(self, *arguments: Any) -> None:
        with self.measure(arguments[-1]):
            super().on_train_batch_end(*arguments)


class Histograms(Callback):
    """TensorBoard's histograms of what the monitor looks at."""

    def __init__(self, watch: Stopwatch, folder: Path) -> None:
        self.watch, self.writer = watch, SummaryWriter(str(folder))

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if (batch_idx + 1) % (2 * EVERY) == EVERY:
            with self.watch.time("histograms"):
                for layer in find_batchnorm_layers(pl_module):
                    for kind in ("running_mean", "running_var", "weight", "bias"):
                        name = f"{layer.name}/{kind}"
                        tensor = getattr(layer.module, kind)
                        self.writer.add_histogram(name, tensor, batch_idx)


class Step(Callback):
    """Times the training itself: first at the start of a batch, last at its end."""

    def __init__(self, watch: Stopwatch, *, is_first: bool) -> None:
        self.watch, self.is_first = watch, is_first

    def on_train_batch_start(self, *arguments: Any) -> None:
        if not self.is_first:
            self.watch.started = time.thread_time_ns()  # type: ignore[attr-defined]

    def on_train_batch_end(self, *arguments: Any) -> None:
        if self.is_first:
            took = time.thread_time_ns() - self.watch.started  # type: ignore[attr-defined]
            self.watch.times.setdefault("step", []).append(took / 1e6)


def measure(logged: int) -> Stopwatch:
    """One fit in which the monitor logs this many steps."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        steps = 2 * EVERY * (logged + 1)
        images = torch.randn(4 * steps, 3, 64, 64)
        data = TensorDataset(images, torch.randint(0, 1000, (4 * steps,)))
        store = f"sqlite:///{folder / 'mlflow.db'}"
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=1,
            callbacks=[
                Step(watch, is_first=True),
                PaperStartCallback(tracking_uri=store),
                TimedMonitor(watch),
                Histograms(watch, folder / "histograms"),
                Step(watch, is_first=False),
            ],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(Network(), DataLoader(data, 4))
    return watch


def lines(watch: Stopwatch) -> list[str]:
    """The table of the first part."""
    medians = {name: statistics.median(each) for name, each in watch.times.items()}
    # Two hooks each: before the step and after it.
    due = statistics.median(_sums(watch.times["due"]))
    hand_over = statistics.median(_sums(watch.times["hand over"]))
    cost, step = due + hand_over, medians["step"]
    idle = statistics.median(_sums(watch.times["not due"]))
    operations = max(watch.operations["not due"])
    per_training = 100 * cost / (REPORTED_EVERY * step)
    values = {
        "training step": f"{step:.0f} ms",
        "a logged step of the monitor": f"{cost:.2f} ms (copies {due:.2f}, handing"
        f" over the numbers {hand_over:.2f})",
        "a step that is not due": f"{1000 * idle:.0f} µs,"
        f" {operations} operations of torch",
        f"share of training, every {REPORTED_EVERY} steps": f"{per_training:.4f} %",
        "TensorBoard histograms of the same": f"{medians['histograms']:.1f} ms,"
        f" {medians['histograms'] / cost:.0f} times the monitor's",
    }
    return [f"| {name} | {value} |" for name, value in values.items()]


def _sums(pairs: list[float]) -> list[float]:
    return [a + b for a, b in zip(pairs[::2], pairs[1::2], strict=True)]


def main() -> None:
    """Print both tables."""
    logged = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    watch = measure(logged)
    load = os.getloadavg()[0]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    print(f"{machine}; {versions}, 1 thread; {logged} logged steps, medians\n")
    print("| CPU time of the training thread | |\n| --- | --- |")
    print("\n".join(lines(watch)))
    print()
    print("\n".join(gpu_table()))


if __name__ == "__main__":
    main()
