"""Which searches are there? Data sets, each with recipes "published" for other data.

A paper's recipe was found on its own data. So each data set's recipe is the best of
2,000 random configurations after a local refinement there; for a task, the recipes of
the *other* data sets of its family are ranked by what they reach on it. Their 25th
percentile is its ``good`` recipe, the median ``typical``, the worst ``bad``; the worst
of 200 random configurations is ``adversarial``.

The normalized regret is 0 at the best value known (of a table: its best row; of a
surrogate: of a search), 1 at the median random configuration, and at most 2.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, IntDistribution
from search_tables import Benchmark, Config, Floats, Space, families

QUALITIES = ("good", "typical", "bad", "adversarial")
PERCENTILES = {"good": 0.25, "typical": 0.5, "bad": 1.0}
"""Where each quality stands among the other data sets' recipes, the best at 0."""
PORTFOLIO = (0.25, 0.5, 0.75)
"""Where the recipes of a search that is given three of them stand."""

RANDOM, WORST_OF, SEARCHED = 2_000, 200, 10_000
"""Random configurations: for a recipe, for a bad one, and for a surrogate's best."""

WORST_REGRET = 2.0


@dataclass(frozen=True)
class Task:
    """A data set to search on, with a recipe of each quality, and three together."""

    name: str
    benchmark: Benchmark
    best: float
    median: float
    recipes: dict[str, Config]
    portfolio: list[Config]

    def value(self, config: Config) -> float:
        """What a training reaches, in the benchmark's own unit: what samplers see."""
        return float(self.benchmark.values([config])[0])

    def seed(self, number: int) -> int:
        """Other random numbers on each task, the same ones for each sampler."""
        return zlib.crc32(f"{self.name} {number}".encode()) % 2**31

    def regret(self, values: Sequence[float]) -> Floats:
        """The normalized regret of the best value so far, shape (values,)."""
        reached = np.maximum.accumulate(np.array(values))
        away = (self.best - reached) / (self.best - self.median)
        return np.clip(away, 0.0, WORST_REGRET)


def tasks(lcbench: Path | None, cache: Path | None, only: list[str]) -> list[Task]:
    """All tasks, or those whose name, ``family/data set``, starts as ``only`` says."""
    known = json.loads(cache.read_text()) if cache and cache.exists() else {}
    found = []
    for family, benchmarks in families(lcbench).items():
        facts = known.get(family, {})  # those of an older file lack a portfolio
        if not facts or any("portfolio" not in each for each in facts.values()):
            known[family] = prepared(family, benchmarks)
            if cache is not None:
                cache.write_text(json.dumps(known, indent=1))
        for name, each in known[family].items():
            task = Task(f"{family}/{name}", benchmarks[name], **each)
            if not only or task.name.startswith(tuple(only)):
                found.append(task)
    return found


def prepared(family: str, benchmarks: dict[str, Benchmark]) -> dict[str, Any]:
    """``Task``'s numbers and recipes of each data set of a family."""
    facts: dict[str, Any] = {}
    recipes: dict[str, Config] = {}
    for name, benchmark in benchmarks.items():
        rng = np.random.default_rng(zlib.crc32(f"{family}/{name}".encode()))
        points = rng.random((RANDOM, len(benchmark.space)))
        values = benchmark.values(decoded(benchmark.space, points))
        recipe = refined(benchmark, points[values.argmax()], rng)
        recipes[name] = decoded(benchmark.space, recipe[None])[0]
        worst = decoded(benchmark.space, points[[values[:WORST_OF].argmin()]])[0]
        facts[name] = {
            "best": benchmark.best() or searched(benchmark, recipe, rng),
            "median": float(np.median(values)),
            "recipes": {"adversarial": worst},
        }
    for name, benchmark in benchmarks.items():
        others = [recipe for other, recipe in recipes.items() if other != name]
        order = np.argsort(-benchmark.values(others), kind="stable")
        ranked = [others[k] for k in order]
        for quality, share in PERCENTILES.items():
            facts[name]["recipes"][quality] = at(ranked, share)
        facts[name]["portfolio"] = [at(ranked, share) for share in PORTFOLIO]
    return facts


def at(ranked: Sequence[Config], share: float) -> Config:
    """The recipe at ``share`` of the way from the best to the worst."""
    return ranked[round(share * (len(ranked) - 1))]


def refined(
    benchmark: Benchmark, point: Floats, rng: np.random.Generator, rounds: int = 10
) -> Floats:
    """A point of the unit cube near ``point`` that is as good or better.

    In each round 200 steps that change half of the hyperparameters; the steps get
    shorter by half when none of them was better.
    """
    value, width = benchmark.values(decoded(benchmark.space, point[None]))[0], 0.2
    for _ in range(rounds):
        steps = rng.normal(0.0, width, (200, len(point)))
        near = np.clip(point + steps * (rng.random(steps.shape) < 0.5), 0.0, 1.0)
        values = benchmark.values(decoded(benchmark.space, near))
        if values.max() > value:
            point, value = near[values.argmax()], values.max()
        else:
            width /= 2
    return point


def searched(benchmark: Benchmark, recipe: Floats, rng: np.random.Generator) -> float:
    """The best value of a long search: random, then refined from six points."""
    points = rng.random((SEARCHED, len(benchmark.space)))
    values = benchmark.values(decoded(benchmark.space, points))
    starts = [recipe, *points[np.argsort(-values)[:5]]]
    ends = np.array([refined(benchmark, start, rng, rounds=15) for start in starts])
    return float(benchmark.values(decoded(benchmark.space, ends)).max())


def decoded(space: Space, points: Floats) -> list[Config]:
    """The configurations at points of the unit cube, shape (N, hyperparameters)."""
    columns = {}
    for (name, declared), column in zip(space.items(), points.T, strict=True):
        if isinstance(declared, CategoricalDistribution):
            last = len(declared.choices) - 1
            places = np.minimum(column * (last + 1), last).astype(int)
            columns[name] = [declared.choices[k] for k in places]
            continue
        whole = isinstance(declared, IntDistribution)
        low, high = declared.low - 0.5 * whole, declared.high + 0.5 * whole
        if declared.log:
            numbers = np.exp(math.log(low) + column * (math.log(high) - math.log(low)))
        else:
            numbers = low + column * (high - low)
        numbers = np.clip(
            numbers.round() if whole else numbers, declared.low, declared.high
        )
        columns[name] = [(int if whole else float)(x) for x in numbers]
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
