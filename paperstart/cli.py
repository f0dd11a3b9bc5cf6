"""Which commands are there?

A command takes arguments in, calls the work, and prints the answer: data to stdout, all
else to stderr. Exit codes: 0 done, 1 the work failed, 2 wrong usage.
"""

from __future__ import annotations

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
    from rich.console import Console

    # Into a pipe or a file nothing is folded at 80 columns: `grep` reads lines.
    width = None if sys.stdout.isatty() else 200
    Console(width=width, highlight=False).print(renderable, soft_wrap=False)


def _print_json(data: Any) -> None:
    print(json_module.dumps(data, indent=2, ensure_ascii=False))
