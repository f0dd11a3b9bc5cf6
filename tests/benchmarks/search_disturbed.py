"""How does a sampler fare when trainings are noisy, run side by side, or fail?

Every draw of a disturbance depends on seed, task and trial alone: it is the same for
every sampler. Trainings in flight run on a simulated clock, each as long as e to a
normal number with a spread of 0.3; a result is told when its training ends.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState
from search_samplers import suggested
from search_tables import Config, Floats
from search_tasks import WORST_REGRET, Task

NOISE = 0.02
"""Spread of a noisy value, as a share of the way from the median to the best: half a
point of accuracy on the median task of LCBench, about what another seed makes."""


@dataclass(frozen=True)
class Disturbance:
    """What is not as in a quiet search.

    Attributes:
        noise: whether each training shows a value beside its own.
        workers: trainings in flight.
        fail: share of the trainings that end with nothing.
        recipes: how many recipes the sampler is given.
    """

    noise: bool = False
    workers: int = 1
    fail: float = 0.0
    recipes: int = 1


QUIET = Disturbance()


def disturbed(
    task: Task, sampler: BaseSampler, how: Disturbance, seed: int, trials: int
) -> Floats:
    """Regret after each training that ended, in the order of ending, shape (trials,).

    It is that of the configuration whose *shown* value is the best: luck is not
    rewarded. While nothing has succeeded, it is the worst there is.
    """
    study = optuna.create_study(direction="maximize", sampler=sampler)
    flying: list[tuple[float, int, optuna.Trial, float, float | None]] = []
    clock, started, best, regret = 0.0, 0, -np.inf, WORST_REGRET
    regrets = []
    while len(regrets) < trials:
        if started < trials and len(flying) < how.workers:
            trial = study.ask()
            space = task.benchmark.space
            value = task.value({n: suggested(trial, n, d) for n, d in space.items()})
            rng = np.random.default_rng([seed, zlib.crc32(task.name.encode()), started])
            lasts, luck, fate = np.exp(0.3 * rng.normal()), rng.normal(), rng.random()
            shown: float | None = value
            if how.noise:
                shown = value + NOISE * (task.best - task.median) * luck
            if fate < how.fail:
                shown = None
            heapq.heappush(flying, (clock + lasts, started, trial, value, shown))
            started += 1
            continue
        clock, _, trial, value, shown = heapq.heappop(flying)
        if shown is None:
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, shown)
            if shown > best:
                best, regret = shown, float(task.regret([value])[0])
        regrets.append(regret)
    return np.array(regrets)


def given(task: Task, how: Disturbance, quality: str, seed: int) -> Sequence[Config]:
    """The recipes of a search: the one of this quality, or three in a random order."""
    if how.recipes == 1:
        return [task.recipes[quality]]
    order = np.random.default_rng(seed).permutation(len(task.portfolio))
    return [task.portfolio[k] for k in order[: how.recipes]]
