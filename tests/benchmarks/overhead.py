"""What does a suggestion cost beside TPE's, as finished trials accumulate?

Run by hand: ``python tests/benchmarks/overhead.py [RUNS]``. A run is ask, suggest and
tell in memory, on a space like LCBench's (seven hyperparameters), measured in this
process's CPU time and in turn, so that whatever else the machine does falls on both.

The first 100 trials of each study are the sampler's own; further ones are random, told
as finished. No study grows by more than a tenth while it is measured. TPE is Optuna's
with its defaults.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, TPESampler
from search_samplers import suggested
from search_tasks import decoded

from paperstart import PaperStartSampler

SPACE: dict[str, BaseDistribution] = {
    "batch_size": IntDistribution(16, 512, log=True),
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "momentum": FloatDistribution(0.1, 0.99),
    "weight_decay": FloatDistribution(1e-5, 1e-1),
    "num_layers": IntDistribution(1, 5),
    "max_units": IntDistribution(64, 1024, log=True),
    "max_dropout": FloatDistribution(0.0, 1.0),
}
START = {
    "batch_size": 128,
    "learning_rate": 0.01,
    "momentum": 0.9,
    "weight_decay": 1e-3,
    "num_layers": 3,
    "max_units": 256,
    "max_dropout": 0.3,
}
TRIALS = (10, 100, 1_000, 10_000)
OWN = 100


def loss(values: Mapping[str, Any]) -> float:
    """A smooth bowl with its lowest point away from ``START``."""
    rate = np.log10(values["learning_rate"]) + 2.5
    decay = np.log10(values["weight_decay"]) + 4
    layers, units = values["num_layers"] - 2, np.log2(values["max_units"] / 512)
    slack = np.log10(1 - values["momentum"]) + 0.7
    dropped = values["max_dropout"] - 0.1
    size = np.log2(values["batch_size"] / 64)
    terms = [rate, decay / 2, layers / 2, units / 2, slack, dropped, size / 3]
    return float(np.square(terms).sum())


def once(study: optuna.Study) -> float:
    """Milliseconds of CPU time of one ask, suggest and tell."""
    start = time.process_time()
    trial = study.ask()
    values = {name: suggested(trial, name, d) for name, d in SPACE.items()}
    spent = time.process_time() - start
    value = loss(values)
    start = time.process_time()
    study.tell(trial, value)
    return 1e3 * (spent + time.process_time() - start)


def grown(sampler: BaseSampler, trials: int) -> optuna.Study:
    """A study with so many finished trials, and warm caches."""
    study = optuna.create_study(sampler=sampler)
    for _ in range(min(trials, OWN)):
        once(study)
    if trials > OWN:
        points = np.random.default_rng(0).random((trials - OWN, len(SPACE)))
        study.add_trials(
            optuna.trial.create_trial(params=p, distributions=SPACE, value=loss(p))
            for p in decoded(SPACE, points)
        )
        once(study)
    return study


def pairs(trials: int, runs: int) -> Iterator[tuple[float, float]]:
    """Milliseconds of a suggestion, PaperStart's and TPE's, so many times."""
    for run in range(runs):
        if run % (trials // 10) == 0:
            ours = grown(PaperStartSampler(published=START, seed=run), trials)
            tpe = grown(TPESampler(seed=run), trials)
        yield once(ours), once(tpe)


def measured(trials: int, runs: int) -> tuple[float, float]:
    """Both medians after so many finished trials, in milliseconds."""
    ours, tpe = map(statistics.median, zip(*pairs(trials, runs), strict=True))
    return ours, tpe


def main() -> None:
    """Print both medians at each number of trials, and their ratio."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    print("| finished trials | PaperStart, ms | TPE, ms | ratio |\n|---|---|---|---|")
    for trials in TRIALS:
        ours, tpe = measured(trials, runs)
        print(f"| {trials:,} | {ours:.1f} | {tpe:.1f} | {ours / tpe:.2f} |", flush=True)


if __name__ == "__main__":
    main()
