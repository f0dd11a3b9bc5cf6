"""Many trials of a network with 53 batch-norm layers: MLflow's UI still opens.

How long it takes is printed, not judged: machines are shared. The full store is made
with ``PAPERSTART_LARGE_TRIALS=50 pytest -s -m browser tests/browser/test_large.py``.
"""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient
from optuna import Trial
from shown import SIZE, Shown, start_ui, stop_ui
from torch import nn

from paperstart import PaperStartCallback, PaperStartSampler

TRIALS = int(os.environ.get("PAPERSTART_LARGE_TRIALS", "8"))
LAYERS = 53
MOST_KEYS = 150
PATIENCE_S = 300.0


def deep_network() -> nn.Module:
    """As many batch-norm layers as a ResNet-50 has, in a chain of narrow ones."""
    layers: list[nn.Module] = [nn.Conv2d(1, 4, 3, padding=1)]
    for _ in range(LAYERS):
        layers += [nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10))


@pytest.fixture(scope="module")
def large(
    fresh_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shown]:
    """The store: real trainings, a few steps each, every step logged."""
    from tiny import Net, fit

    folder = tmp_path_factory.mktemp("large")
    shutil.copy(fresh_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"

    def objective(trial: Trial) -> float:
        rate = trial.suggest_float("learning_rate", 1e-3, 1.0, log=True)
        trial.suggest_float("momentum", 0.5, 0.99)
        callback = PaperStartCallback(
            trial=trial, monitor="val_acc", tracking_uri=uri, system_interval_s=60
        )
        net = Net(rate, network=deep_network())
        made = fit(callback, net=net, epochs=2, log_every_n_steps=1)
        return float(made.callback_metrics["val_acc"])

    sampler = PaperStartSampler("resnet50", seed=0)
    study = optuna.create_study(
        direction="maximize", study_name="large", sampler=sampler
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.optimize(objective, TRIALS)
    process, shown = start_ui(folder, "large")
    yield shown
    stop_ui(process)


def test_a_run_has_few_enough_keys(large: Shown) -> None:
    """MLflow's pages slow down at some hundred keys; a run has 150 at most."""
    client = MlflowClient(f"sqlite:///{large.folder / 'mlflow.db'}")
    run = client.get_run(large.children[0].info.run_id)
    sections = {name.partition("/")[0] for name in run.data.metrics}

    assert len(run.data.metrics) <= MOST_KEYS
    assert sections <= {"train", "val", "batchnorm", "system", "best"}
    assert len([n for n in run.data.metrics if n.startswith("batchnorm/")]) >= 10


def is_seen(place: Any) -> bool:
    """Whether it lies in the visible part of the page."""
    box = place.first.bounding_box() if place.count() else None
    return box is not None and 0 < box["y"] < SIZE["height"] - 60


def test_the_runs_open_and_scroll(
    large: Shown, open_page: Callable[..., Any], screenshots: Path
) -> None:
    """The last trial does not come, or scrolling does not lead to the first one."""
    began = time.monotonic()
    page = open_page(large.link)
    page.get_by_text(f"trial {TRIALS - 1}", exact=True).wait_for()
    opened = time.monotonic() - began
    page.mouse.move(500, 600)
    while not is_seen(page.get_by_text("trial 0 (published)")):
        page.mouse.wheel(0, 600)
        page.wait_for_timeout(50)
        assert time.monotonic() - began < PATIENCE_S
    took = time.monotonic() - began
    page.screenshot(path=screenshots / "large-runs.png")
    page.close()
    print(f"\nruns of {TRIALS} trials: open {opened:.1f} s, scrolled {took:.1f} s")


def test_the_charts_open_and_scroll(
    large: Shown, open_page: Callable[..., Any], screenshots: Path
) -> None:
    """The charts of the runs, down to the last section.

    MLflow draws 14 charts and more of ten runs each. That it ends at all is our affair:
    at 1,000 keys it does not.
    """
    began = time.monotonic()
    page = open_page(f"{large.link}&compareRunsMode=CHART")
    page.locator(".js-plotly-plot").first.wait_for()
    opened = time.monotonic() - began
    page.mouse.move(700, 600)
    for _ in range(40):
        page.mouse.wheel(0, 500)
        page.wait_for_timeout(20)
    page.locator(".js-plotly-plot").last.wait_for()
    took = time.monotonic() - began
    page.screenshot(path=screenshots / "large-charts.png")
    print(f"\ncharts of {TRIALS} trials: open {opened:.1f} s, scrolled {took:.1f} s")
    page.close()

    assert took < PATIENCE_S
