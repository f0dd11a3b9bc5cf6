"""Real trainings: what does a search reach that starts from a recipe, beside TPE's?

Run by hand: ``python tests/benchmarks/fashion.py FILE.npz [--seeds N]``. Both start
from the published point of ``resnet20-cifar10``, a recipe for other images, and train
equally often on Fashion-MNIST. TPE is Optuna's, with the recipe enqueued; with its
defaults it draws its first 10 trials at random, ``--startup`` sets another number. The
space is one that a user would write; alike for both.

On a CPU a ResNet-8 is trained on the file's images in one thread; on a GPU
(``--device cuda``, with the file of all 60,000 images) ResNet-18. A training has the
random numbers of its (seed, trial), so that both samplers' first trials are one.

The data are public: <https://github.com/zalandoresearch/fashion-mnist> (Xiao, Rasul &
Vollgraf 2017). FILE.npz holds ``train_images`` (N, 28, 28) and ``train_labels`` (N,),
or ``images`` and ``labels``, uint8; the first 5,000 are enough for a CPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import torch
from fashion_training import NETWORKS, Images, train
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, TPESampler

from paperstart import PaperStartSampler, load_recipe

RECIPE = "resnet20-cifar10"
SPACE = {
    "learning_rate": FloatDistribution(1e-4, 1.0, log=True),
    "momentum": FloatDistribution(0.5, 0.999),
    "weight_decay": FloatDistribution(1e-6, 1e-1, log=True),
    "batch_size": IntDistribution(32, 256, log=True),
}
START = {name: load_recipe(RECIPE).published[name] for name in SPACE}
POINTS = (1, 5, 10)
"""Accuracies are printed after so many trainings."""


NAMES = ("paperstart", "tpe")


def sampler(name: str, seed: int, startup: int) -> BaseSampler:
    if name == "paperstart":
        return PaperStartSampler(RECIPE, seed=seed)
    return TPESampler(seed=seed, n_startup_trials=startup)


class Trainings:
    """Each training's (accuracy, seconds); kept in ``cache``, where one is named."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.cache = options, options.cache
        self.images = Images(options.file, options.device, options.images)
        known = self.cache is not None and self.cache.exists()
        self.known = json.loads(self.cache.read_text()) if known else {}

    def __call__(self, hp: dict[str, Any], seed: int) -> tuple[float, float]:
        o = self.options
        about = [hp, o.network, o.epochs, o.device, len(self.images.train[1]), seed]
        key = json.dumps(about)
        if key not in self.known:
            self.known[key] = train(hp, self.images, o.network, o.epochs, seed)
            if self.cache is not None:
                self.cache.write_text(json.dumps(self.known))
        accuracy, seconds = self.known[key]
        return accuracy, seconds


def search(
    name: str, seed: int, options: argparse.Namespace, trainings: Trainings
) -> list[tuple[float, float]]:
    """The (accuracy, seconds) of each trial of one study."""
    study = optuna.create_study(
        direction="maximize", sampler=sampler(name, seed, options.startup)
    )
    if name != "paperstart":
        study.enqueue_trial(START)
    results = []
    for number in range(options.trials):
        trial = study.ask(SPACE)
        results.append(trainings(trial.params, seed * 1000 + number))
        study.tell(trial, results[-1][0])
    return results


def best_after(results: list[tuple[float, float]], seconds: float) -> float:
    """The best accuracy within so many seconds; the first training's in any case."""
    best, spent = results[0]
    for accuracy, took in results[1:]:
        spent += took
        if spent <= seconds:
            best = max(best, accuracy)
    return best


def row(results: dict[str, list[tuple[float, float]]], trials: int) -> list[float]:
    """Both samplers' best accuracies at each point, then at the shorter one's time."""
    points = [p for p in POINTS if p <= trials]
    after = [
        max(a for a, _ in series[:p]) for p in points for series in results.values()
    ]
    seconds = min(sum(took for _, took in series) for series in results.values())
    return after + [best_after(series, seconds) for series in results.values()]


def summary(rows: list[list[float]], heads: Sequence[str]) -> None:
    """The means, and the mean differences within a seed with their standard errors."""
    means = [statistics.mean(column) for column in zip(*rows, strict=True)]
    print("| mean | " + " | ".join(f"{m:.4f}" for m in means) + " |\n")
    for k, head in enumerate(heads):
        apart = [r[2 * k] - r[2 * k + 1] for r in rows]
        error = statistics.stdev(apart) / len(apart) ** 0.5 if len(apart) > 1 else 0.0
        wins, losses = sum(a > 0 for a in apart), sum(a < 0 for a in apart)
        print(
            f"{head}: paperstart - tpe = {100 * statistics.mean(apart):+.2f} points "
            f"(standard error {100 * error:.2f}); better in {wins} of {len(apart)} "
            f"seeds, worse in {losses}"
        )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="images as .npz; see above")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--startup", type=int, default=10, help="TPE's random trials")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--network", choices=sorted(NETWORKS))
    parser.add_argument("--epochs", type=int, help="2 on a CPU, 10 on a GPU")
    parser.add_argument("--images", type=int, help="at most so many of the file's")
    parser.add_argument("--cache", type=Path, help="a JSON file of trainings done")
    options = parser.parse_args()
    on_cpu = options.device == "cpu"
    options.network = options.network or ("resnet8" if on_cpu else "resnet18")
    options.epochs = options.epochs or (2 if on_cpu else 10)
    return options


def main() -> None:
    """Print each seed's best validation accuracies, their means and differences."""
    options = parsed()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    trainings = Trainings(options)
    heads = [f"after {p}" for p in POINTS if p <= options.trials] + ["at equal time"]
    print(
        f"{options.network}, {options.epochs} epochs of "
        f"{len(trainings.images.train[1])} images on {options.device}, "
        f"{options.trials} trainings each. The best accuracy so far on "
        f"{len(trainings.images.validation[1])} validation images:\n"
    )
    print("| seed | " + " | ".join(f"{h}, {n}" for h in heads for n in NAMES) + " |")
    print("|---" * (1 + 2 * len(heads)) + "|")
    rows, seconds = [], dict.fromkeys(NAMES, 0.0)
    for seed in range(options.seeds):
        results = {n: search(n, seed, options, trainings) for n in NAMES}
        rows.append(row(results, options.trials))
        for name, series in results.items():
            seconds[name] += sum(took for _, took in series)
        cells = " | ".join(f"{value:.4f}" for value in rows[-1])
        print(f"| {seed} | {cells} |", flush=True)
    summary(rows, heads)
    count = options.seeds * options.trials
    spent = ", ".join(f"{n} {s / count:.2f} s" for n, s in seconds.items())
    print(f"a training took on average: {spent}")


if __name__ == "__main__":
    main()
