"""What does each sampler try, given a recipe? One search each, and its cost.

The recipe is the first trial of all but random search. Optuna's samplers have it
enqueued, CMA-ES also as its first mean; FLAML's CFO has it as its starting point.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Generator
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    RandomSampler,
    TPESampler,
)
from search_tables import Config, Space

from paperstart import PaperStartSampler

OURS, RANDOM, GP, CFO = "PaperStart", "random", "GP, warped", "FLAML CFO"
PEERS = ("TPE", "TPE, multivariate, 4 start-up", "CMA-ES", CFO)
"""Those whose best is compared with; GP and random search are compared with apart."""

Steps = Generator[Config, float, None]
"""Yields a configuration, is sent its value, which is to be maximized."""


def names(gp: bool) -> list[str]:
    """The samplers that can run here; Optuna's GP takes much longer: only if asked."""
    peers = [n for n in PEERS if n != CFO or find_spec("flaml")]
    return [OURS, *peers, *([GP] if gp else []), RANDOM]


def search(
    name: str,
    space: Space,
    recipe: Config,
    value: Callable[[Config], float],
    seed: int,
    trials: int,
) -> tuple[list[float], float]:
    """The value of each trial in turn, and the sampler's own CPU seconds in all."""
    steps = steps_of(name, space, recipe, seed)
    values: list[float] = []
    start, evaluating = time.process_time(), 0.0
    config = next(steps)
    while len(values) < trials:
        before = time.process_time()
        values.append(value(config))
        evaluating += time.process_time() - before
        config = steps.send(values[-1])
    return values, time.process_time() - start - evaluating


def steps_of(name: str, space: Space, recipe: Config, seed: int) -> Steps:
    """The search of the sampler with this name."""
    if name == CFO:
        return cfo_steps(space, recipe, seed)
    if name == GP:
        return gp_steps(space, recipe, seed)
    numbers = {
        key: value
        for key, value in recipe.items()
        if not isinstance(space[key], CategoricalDistribution)
    }
    made: dict[str, Callable[[], BaseSampler]] = {
        OURS: lambda: PaperStartSampler(published=recipe, seed=seed),
        PEERS[0]: lambda: TPESampler(seed=seed),
        PEERS[1]: lambda: TPESampler(seed=seed, multivariate=True, n_startup_trials=4),
        PEERS[2]: lambda: CmaEsSampler(seed=seed, x0=numbers),
        RANDOM: lambda: RandomSampler(seed=seed),
    }
    first = None if name in (OURS, RANDOM) else recipe
    return optuna_steps(made[name](), space, first)


def optuna_steps(sampler: BaseSampler, space: Space, first: Config | None) -> Steps:
    """Ask, suggest and tell in memory, with ``first`` enqueued."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    if first is not None:
        study.enqueue_trial(first)
    while True:
        trial = study.ask()
        config = {name: suggested(trial, name, d) for name, d in space.items()}
        study.tell(trial, (yield config))


def suggested(trial: optuna.Trial, name: str, declared: BaseDistribution) -> Any:
    """What an objective gets when it asks for this distribution."""
    if isinstance(declared, CategoricalDistribution):
        return trial.suggest_categorical(name, declared.choices)
    if isinstance(declared, IntDistribution):
        return trial.suggest_int(name, declared.low, declared.high, log=declared.log)
    assert isinstance(declared, FloatDistribution)
    return trial.suggest_float(name, declared.low, declared.high, log=declared.log)


def gp_steps(space: Space, recipe: Config, seed: int) -> Steps:
    """Optuna's GP as a careful user sets it up: log-warped scales, 4 start-up trials.

    A momentum is searched as the log of 1 - momentum, and a linear range of three
    decades or more as its log.
    """
    warped, flipped = dict(space), set()
    for name, d in space.items():
        if isinstance(d, FloatDistribution) and not d.log and d.low > 0:
            if name == "momentum":
                warped[name] = FloatDistribution(1 - d.high, 1 - d.low, log=True)
                flipped.add(name)
            elif d.high / d.low >= 1e3:
                warped[name] = FloatDistribution(d.low, d.high, log=True)
    first = dict(recipe)
    for name in flipped:  # clipped: 1 - x may leave the range by a rounding error
        low, high = warped[name].low, warped[name].high
        first[name] = min(max(1 - recipe[name], low), high)
    steps = optuna_steps(GPSampler(seed=seed, n_startup_trials=4), warped, first)
    config = next(steps)
    while True:
        plain = {n: 1 - v if n in flipped else v for n, v in config.items()}
        config = steps.send((yield plain))


def cfo_steps(space: Space, recipe: Config, seed: int) -> Steps:
    """FLAML's CFO (Wu, Wang & Huang 2021), by its own ask and tell."""
    from flaml import CFO as Searcher  # noqa: N811 - a class in capitals
    from flaml import tune

    logging.getLogger("flaml").setLevel(logging.ERROR)
    domains: dict[str, Any] = {}
    for name, d in space.items():
        if isinstance(d, CategoricalDistribution):
            domains[name] = tune.choice(list(d.choices))
        elif isinstance(d, IntDistribution):
            make = tune.lograndint if d.log else tune.randint
            domains[name] = make(d.low, d.high + 1)
        else:
            make = tune.loguniform if d.log else tune.uniform
            domains[name] = make(d.low, d.high)
    searcher = Searcher(
        metric="value",
        mode="max",
        space=domains,
        points_to_evaluate=[dict(recipe)],
        low_cost_partial_config=dict(recipe),
        seed=seed,
    )
    for number in itertools.count():
        config = searcher.suggest(str(number))
        if config is None:  # it sometimes passes; ask again
            continue
        value = yield {name: plain(config[name], d) for name, d in space.items()}
        told = {"value": value, "config": config, "time_total_s": float(number)}
        searcher.on_trial_complete(str(number), {**told, "training_iteration": 1})


def plain(value: Any, declared: BaseDistribution) -> Any:
    """FLAML's NumPy scalar as a Python value within the range."""
    if isinstance(declared, CategoricalDistribution):
        return str(value)
    value = min(max(value, declared.low), declared.high)
    return int(value) if isinstance(declared, IntDistribution) else float(value)
