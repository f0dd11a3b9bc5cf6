"""What does tracking cost the one who trains?

Run by hand: ``python tests/benchmarks/tracking.py [STEPS]``. It trains a network with
53 batch-norm layers on one core, logging at the default interval, and measures in that
one run how long the callback's hooks hold up the training. Then it logs the very
metrics that the run has once more: through the run's log, and one by one with MLflow's
client, each into a fresh run of the same store, taking turns.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from mlflow import MlflowClient
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from paperstart import PaperStartCallback
from paperstart._run_log import RunLog
from paperstart._store import ensure_experiment, open_store, start_run

LAYERS, WIDTH, BATCH = 53, 16, 8
DEFAULT_INTERVAL = 50  # Lightning's, and so the callback's
TURNS = 3
METRICS = 240  # logged both ways: the run's own, repeated over further steps
HOOKS = ("on_train_batch_start", "on_train_batch_end")


class Deep(LightningModule):
    """As many batch-norm layers as a ResNet-50 has."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, WIDTH, 3, padding=1)]
        for _ in range(LAYERS):
            layers += [nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH)]
            layers += [nn.ReLU()]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, 10)]
        self.network = nn.Sequential(*layers)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = functional.cross_entropy(self.network(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Timed(PaperStartCallback):
    """The callback, with its hooks of each step timed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.spent: dict[str, list[float]] = {name: [] for name in HOOKS}
        self.starts: list[float] = []

    def on_train_batch_start(self, *arguments: Any) -> None:
        began = time.perf_counter()
        self.starts.append(began)
        super().on_train_batch_start(*arguments)
        self.spent["on_train_batch_start"].append(time.perf_counter() - began)

    def on_train_batch_end(self, *arguments: Any) -> None:
        began = time.perf_counter()
        super().on_train_batch_end(*arguments)
        self.spent["on_train_batch_end"].append(time.perf_counter() - began)


def train(uri: str, steps: int) -> Timed:
    """One training, with the callback as it is by default."""
    torch.manual_seed(0)
    data = TensorDataset(
        torch.randn(BATCH * 8, 3, 32, 32), torch.arange(BATCH * 8) % 10
    )
    callback = Timed(tracking_uri=uri)
    trainer = Trainer(
        max_steps=steps,
        max_epochs=-1,
        callbacks=[callback],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        # One long epoch: in a short one Lightning, and we, log once an epoch.
        limit_train_batches=steps,
    )
    loader = DataLoader(_Repeated(data, steps * BATCH), BATCH)
    trainer.fit(Deep(), loader)
    return callback


class _Repeated(torch.utils.data.Dataset[Any]):
    def __init__(self, data: TensorDataset, length: int) -> None:
        self.data, self.length = data, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return self.data[index % len(self.data)]


Point = tuple[int, dict[str, float]]


def points_of(client: MlflowClient, run_id: str) -> list[Point]:
    """What the run was told, step by step."""
    steps: dict[int, dict[str, float]] = {}
    for name in client.get_run(run_id).data.metrics:
        if not name.startswith("system/"):
            for metric in client.get_metric_history(run_id, name):
                steps.setdefault(metric.step, {})[name] = metric.value
    once = sorted(steps.items())
    times = -(-METRICS // sum(len(values) for _, values in once))
    last = once[-1][0]
    return [(step + k * last, values) for k in range(times) for step, values in once]


def one_by_one(
    client: MlflowClient, run_id: str, points: list[Point]
) -> tuple[float, float]:
    """The caller's seconds with ``client.log_metric`` for each value; no wait after."""
    began = time.perf_counter()
    for step, values in points:
        for name, value in values.items():
            client.log_metric(run_id, name, value, step=step)
    return time.perf_counter() - began, 0.0


def through_the_log(
    client: MlflowClient, run_id: str, points: list[Point]
) -> tuple[float, float]:
    """The caller's seconds with our log, and then until all was sent, at the end."""
    log = RunLog(client, run_id)
    log.log_metrics({"a": 0.0}, 0)  # opens the spool, once per run
    began = time.perf_counter()
    for step, values in points:
        log.log_metrics(values, step)
    took = time.perf_counter() - began
    log.close()
    return took, time.perf_counter() - began - took


def both_ways(
    client: MlflowClient, uri: str, points: list[Point]
) -> tuple[float, float, float]:
    """Medians: one by one, through the log, and its wait; each turn in fresh runs."""
    experiment_id = ensure_experiment(client, uri, "benchmark")
    ways: list[Callable[[MlflowClient, str, list[Point]], tuple[float, float]]]
    ways = [one_by_one, through_the_log]
    times: list[list[tuple[float, float]]] = [[], []]
    for _ in range(TURNS):
        for way, found in zip(ways, times, strict=True):
            run_id = start_run(client, experiment_id, None, {})
            found.append(way(client, run_id, points))
    slow = statistics.median(took for took, _ in times[0])
    fast = statistics.median(took for took, _ in times[1])
    wait = statistics.median(waited for _, waited in times[1])
    return slow, fast, wait


def main() -> None:
    """Print the table."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PAPERSTART_SPOOL"] = str(Path(folder) / "spool")
        uri = f"sqlite:///{folder}/mlflow.db"
        client = open_store(uri)
        callback = train(uri, steps)
        whole = callback.starts[-1] - callback.starts[0]
        hooks = sum(sum(found[:-1]) for found in callback.spent.values())
        assert callback.run_id is not None
        points = points_of(client, callback.run_id)
        slow, fast, wait = both_ways(client, uri, points)
    metrics = sum(len(values) for _, values in points)
    print(f"{LAYERS} batch-norm layers, {steps} steps, one core, SQLite store")
    print(f"a training step                      {1000 * whole / (steps - 1):9.2f} ms")
    print(f"of it in the callback, on average    {1000 * hooks / (steps - 1):9.3f} ms")
    print(f"share of a step                      {100 * hooks / whole:9.2f} %")
    print(f"metrics logged both ways             {metrics:9d}")
    print(f"caller's time, one by one            {1000 * slow:9.1f} ms")
    print(f"caller's time, the run's log         {1000 * fast:9.1f} ms")
    print(f"its wait at the end                  {1000 * wait:9.1f} ms")
    print(f"ratio while training                 {slow / fast:9.0f}")
    print(f"ratio with the wait at the end       {slow / (fast + wait):9.0f}")


if __name__ == "__main__":
    main()
