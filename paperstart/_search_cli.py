"""What do the commands that run a search do around it?"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import NoReturn

import optuna
import typer

from paperstart._objective import load_objective
from paperstart._progress import SearchProgress
from paperstart._report import result_page
from paperstart.catalog import load_recipe
from paperstart.errors import SearchSpaceError
from paperstart.search import PRUNERS, Direction, Search

DIRECTIONS: dict[str, Direction] = {"minimize": "minimize", "maximize": "maximize"}


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
    study: str | None,
    storage: str,
    tracking_uri: str | None,
    seed: int | None,
    pruner: str,
    direction: str,
) -> None:
    """A search for the objective that the user names."""
    _refuse_unknown("--pruner", pruner, tuple(PRUNERS))
    _refuse_unknown("--direction", direction, tuple(DIRECTIONS))
    found = load_recipe(recipe)
    function = load_objective(objective)
    search = Search(
        objective=function,
        recipe=found,
        study_name=study or f"{found.id}-{objective.partition(':')[2]}",
        storage=storage,
        tracking_uri=tracking_uri,
        seed=seed,
        pruner=pruner,
        direction=DIRECTIONS[direction],
        progress=SearchProgress(),
    )
    _run(search, trials)


def _run(search: Search, trials: int, *, in_all: bool = False) -> None:
    from rich.console import Console

    _quiet()
    typer.echo(f"Opening the study {search.study_name} ...", err=True)
    result = search.run(trials, in_all=in_all)
    Console(highlight=False, width=None).print(result_page(result))
    if result.interrupted:
        _say_stopped(result.spent, result.target)


def _say_stopped(spent: int, target: int) -> NoReturn:
    typer.echo(
        f"Stopped after {spent} of {target} trials; the same command carries on.",
        err=True,
    )
    raise typer.Exit(1)


def _refuse_unknown(option: str, found: str, known: tuple[str, ...]) -> None:
    if found not in known:
        raise SearchSpaceError(
            f"{option} is {found!r}; give one of {', '.join(known)}."
        )


def _quiet() -> None:
    """Keep what the libraries tell their developers out of a user's progress."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
