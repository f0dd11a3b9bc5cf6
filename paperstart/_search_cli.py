"""What do the commands that run a search do around it?"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import NoReturn

import click
import optuna

from paperstart._cost import Budget
from paperstart._objective import load_objective
from paperstart._progress import SearchProgress
from paperstart._ranks import rank
from paperstart._report import result_page, where_to_look
from paperstart.catalog import load_recipe
from paperstart.errors import SearchSpaceError
from paperstart.search import Direction, Search


def run_demo(trials: int, seed: int, folder: Path) -> None:
    """The search of `paperstart search` on the demo's objective."""
    from paperstart import demo

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SearchSpaceError(
            f"The folder {folder} cannot be made ({error.strerror}). "
            f"Name another with --dir."
        ) from None
    search = Search(
        objective=demo.objective,
        recipe=load_recipe(demo.RECIPE),
        study_name="paperstart-demo",
        storage=f"sqlite:///{folder.absolute() / 'study.db'}",
        tracking_uri=f"sqlite:///{folder.absolute() / 'mlflow.db'}",
        seed=seed,
        pruner="none",
        direction="maximize",
        progress=SearchProgress(),
    )
    _run(search, trials, in_all=True)


def run_search(
    objective: str,
    recipe: str,
    trials: int,
    *,
    study: str | None,
    storage: str,
    tracking_uri: str | None,
    seed: int | None,
    pruner: str,
    direction: Direction,
    hours: float | None,
    gpu_hours: float | None,
    price_per_gpu_hour: float | None,
) -> None:
    """A search for the objective that the user names."""
    found = load_recipe(recipe)
    search = Search(
        objective=load_objective(objective),
        recipe=found,
        study_name=study or f"{found.id}-{objective.partition(':')[2]}",
        storage=storage,
        tracking_uri=tracking_uri,
        seed=seed,
        pruner=pruner,
        direction=direction,
        progress=SearchProgress(),
        budget=Budget(hours, gpu_hours),
        price_per_gpu_hour=price_per_gpu_hour,
    )
    _run(search, trials)


def _run(search: Search, trials: int, *, in_all: bool = False) -> None:
    from rich.console import Console

    quiet()
    if rank():  # the command runs once per rank; only rank 0 searches and says
        search.follow()
        return
    click.echo(f"Opening the study {search.study_name} ...", err=True)
    result = search.run(trials, in_all=in_all)
    Console(highlight=False).print(result_page(result))
    print(where_to_look(result))
    if result.spent_budget:
        click.echo(f"{result.spent_budget} The search ends here.", err=True)
    if result.interrupted:
        _say_stopped(result.spent, result.target)


def _say_stopped(spent: int, target: int) -> NoReturn:
    click.echo(
        f"Stopped after {spent} of {target} trials; the same command carries on.",
        err=True,
    )
    raise click.exceptions.Exit(1)


def quiet() -> None:
    """Keep what the libraries tell their developers out of a user's progress."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
