"""Which commands are there?

A command takes arguments in, calls the work, and prints the answer: data to stdout, all
else to stderr. Exit codes: 0 done, 1 the work failed, 2 wrong usage.
"""

from __future__ import annotations

import io
import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from paperstart.errors import (
    ObjectiveError,
    PaperstartError,
    RecipeFormatError,
    RecipeNotFoundError,
    SearchSpaceError,
)

app = typer.Typer(
    name="paperstart",
    help="Start a hyperparameter search from what the paper published.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

_USAGE_ERRORS = (
    RecipeNotFoundError,
    RecipeFormatError,
    SearchSpaceError,
    ObjectiveError,
)

Json = Annotated[bool, typer.Option("--json", help="Print plain JSON.")]


@app.command()
def recipe(
    name: Annotated[str, typer.Argument(help="An id, an alias, or a recipe file.")],
    json: Json = False,
) -> None:
    """Print one recipe: every value, its unit, and where it was published."""
    from paperstart._show import recipe_data, recipe_page
    from paperstart.catalog import load_recipe

    found = load_recipe(name)
    if json:
        _print_json(recipe_data(found))
    else:
        _print(recipe_page(found))


@app.command()
def recipes(
    task: Annotated[str | None, typer.Option(help="Only recipes of this task.")] = None,
    json: Json = False,
) -> None:
    """Print the catalog."""
    from paperstart._show import recipes_table, summary_data
    from paperstart.catalog import all_recipes

    every = all_recipes()
    tasks = sorted({recipe.task for recipe in every})
    if task is not None and task not in tasks:
        raise RecipeNotFoundError(
            f"No recipe has the task {task!r}. There are: {', '.join(tasks)}."
        )
    chosen = [recipe for recipe in every if task in (None, recipe.task)]
    if json:
        _print_json([summary_data(recipe) for recipe in chosen])
    else:
        _print(recipes_table(chosen))


@app.command()
def check(
    files: Annotated[
        list[Path], typer.Argument(help="Recipe files, or folders of them.")
    ],
) -> None:
    """Check recipe files; say nothing if all is well."""
    from paperstart.catalog import check_recipes

    problems = check_recipes(files)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise typer.Exit(2)


@app.command()
def demo(
    trials: Annotated[int, typer.Option(min=1, help="Trials in all.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampler.")] = 0,
    folder: Annotated[Path, typer.Option("--dir", help="Folder of the stores.")] = Path(
        "paperstart-demo"
    ),
) -> None:
    """Run a search on real data that is already installed; no server, no download.

    Trains a small residual network on scikit-learn's digits, from the published CIFAR
    recipe of that architecture. Repeated after Ctrl-C, it carries on.
    """
    print("Loading torch, Lightning and MLflow ...", file=sys.stderr, flush=True)
    from paperstart._search_cli import run_demo

    run_demo(trials, seed, folder)


@app.command()
def search(
    objective: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:OBJECTIVE",
            help="A function of a trial, or of a trial and `recipe`.",
        ),
    ],
    recipe: Annotated[str, typer.Option(help="An id, an alias, or a recipe file.")],
    trials: Annotated[int, typer.Option(min=1, help="How many more trials.")],
    study: Annotated[
        str | None, typer.Option(help="Name of the study; of recipe and objective.")
    ] = None,
    storage: Annotated[
        str, typer.Option(help="Optuna's storage.")
    ] = "sqlite:///study.db",
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow's store; the one in use if not given.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the sampler.")
    ] = None,
    pruner: Annotated[
        str, typer.Option(help="median, hyperband, sha or none.")
    ] = "median",
    direction: Annotated[str, typer.Option(help="minimize or maximize.")] = "minimize",
) -> None:
    """Search from a recipe, one trial after the other.

    Repeated, it goes on with the study; after Ctrl-C, with what was left to do.
    """
    print("Loading torch, Lightning and MLflow ...", file=sys.stderr, flush=True)
    from paperstart._search_cli import run_search

    run_search(
        objective,
        recipe,
        trials,
        study,
        storage,
        tracking_uri,
        seed,
        pruner,
        direction,
    )


def main() -> None:
    """Run the command line; errors of ours end it with one message, no traceback."""
    try:
        app()
    except PaperstartError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, _USAGE_ERRORS) else 1)
    except BrokenPipeError:
        # The reader went away (`| head`). Closing now keeps Python from complaining.
        sys.stderr.close()
        sys.exit(1)


def _print(renderable: Any) -> None:
    """Print tables whose text is data: ``[30]`` is no markup, ``py:100:`` no emoji."""
    from rich.console import Console

    style: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
    if sys.stdout is not None and sys.stdout.isatty():
        Console(**style).print(renderable)
        return
    # Into a pipe or a file nothing is folded, nor filled up with blanks: `grep` and
    # `diff` read lines.
    page = io.StringIO()
    Console(file=page, width=10_000, **style).print(renderable)
    _write("\n".join(line.rstrip() for line in page.getvalue().splitlines()))


def _print_json(data: Any) -> None:
    _write(json_module.dumps(data, indent=2, allow_nan=False))


def _write(text: str) -> None:
    """Print ``text`` whole; what stdout's encoding lacks, with a backslash."""
    if sys.stdout is None:  # closed by whoever started us
        return
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"Error: cannot write to stdout ({error.strerror}).", file=sys.stderr)
        sys.stdout = None  # Python would try once more at its end, and complain
        raise typer.Exit(1) from None
