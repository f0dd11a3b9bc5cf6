"""Which commands are there?

A command takes arguments in, calls the work, and prints the answer: data to stdout, all
else to stderr. Exit codes: 0 done, 1 the work failed, 2 wrong usage.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from paperstart import _catalog_cli
from paperstart._print import print_json, print_page
from paperstart.errors import (
    AdaptError,
    ObjectiveError,
    PaperstartError,
    RecipeFormatError,
    RecipeNotFoundError,
    SearchSpaceError,
)

_USAGE_ERRORS = (
    RecipeNotFoundError,
    RecipeFormatError,
    SearchSpaceError,
    AdaptError,
    ObjectiveError,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="paperstart")
def app() -> None:
    """Start a hyperparameter search from what the paper published."""


@app.command()
@click.argument("name")
@click.option("--batch-size", type=int, help="Adapt the values to this batch size.")
@click.option("--epochs", type=float, help="Adapt them to so many epochs.")
@click.option("--steps", type=int, help="Or to so many steps.")
@_catalog_cli.CATALOG
@_catalog_cli.JSON
def recipe(name: str, catalog: Path | None, as_json: bool, **asked: Any) -> None:
    """Print one recipe: every value, its unit, and where it was published.

    NAME is an id, an alias, or a recipe file. With a batch size or a length of your
    own: what the published values become there, by published rules.
    """
    from paperstart._show import recipe_data, recipe_page
    from paperstart.catalog import load_recipe

    found = load_recipe(name, catalog)
    if any(value is not None for value in asked.values()):
        from paperstart._show_adapted import adapted_data, adapted_page

        adapted = found.adapt(**asked)
        if as_json:
            print_json(adapted_data(adapted))
        else:
            print_page(adapted_page(adapted))
    elif as_json:
        print_json(recipe_data(found))
    else:
        print_page(recipe_page(found))


for _command in _catalog_cli.COMMANDS:
    app.add_command(_command)


@app.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Check recipe files, or folders of them; say nothing if all is well."""
    from paperstart.catalog import check_recipes

    problems = check_recipes(files)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise click.exceptions.Exit(2)


@app.command()
@click.option("--trials", default=12, type=click.IntRange(min=1), show_default=True)
@click.option("--seed", default=0, type=click.IntRange(min=0), show_default=True)
@click.option(
    "--dir",
    "folder",
    default=Path("paperstart-demo"),
    type=click.Path(path_type=Path),
    show_default=True,
    help="Folder of the stores.",
)
def demo(trials: int, seed: int, folder: Path) -> None:
    """Run a search on real data that is already installed.

    No server, no download: trains a small residual network on scikit-learn's digits,
    from the published CIFAR recipe of that architecture. Repeated after Ctrl-C, it
    carries on.
    """
    click.echo("Loading torch, Lightning and MLflow ...", err=True)
    from paperstart._search_cli import run_demo

    run_demo(trials, seed, folder)


@app.command()
@click.argument("objective", metavar="MODULE:OBJECTIVE")
@click.option("--recipe", required=True, help="An id, an alias, or a recipe file.")
@click.option(
    "--trials", required=True, type=click.IntRange(min=1), help="How many more trials."
)
@click.option("--study", help="Name of the study; made of recipe and objective if not.")
@click.option(
    "--storage",
    default="sqlite:///study.db",
    show_default=True,
    help="Optuna's storage.",
)
@click.option("--tracking-uri", help="MLflow's store; the one in use if not given.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the sampler.")
@click.option(
    "--pruner",
    default="median",
    show_default=True,
    type=click.Choice(["median", "hyperband", "sha", "none"]),
)
@click.option(
    "--direction",
    default="minimize",
    show_default=True,
    type=click.Choice(["minimize", "maximize"]),
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    help="Begin no trial once the study's trials have run so long.",
)
@click.option(
    "--gpu-hours",
    type=click.FloatRange(min=0, min_open=True),
    help="Or have held GPUs for so many hours, summed.",
)
@click.option(
    "--price-per-gpu-hour",
    type=click.FloatRange(min=0),
    help="In your own money; the report then says what the study cost.",
)
def search(objective: str, recipe: str, trials: int, **options: Any) -> None:
    """Search from a recipe, one trial after the other.

    OBJECTIVE is a function of a trial, or of a trial and `recipe`, in a module that can
    be imported from here. Repeated, the command goes on with the study; after Ctrl-C,
    with what was left to do.
    """
    click.echo("Loading torch, Lightning and MLflow ...", err=True)
    from paperstart._search_cli import run_search

    run_search(objective, recipe, trials, **options)


@app.command()
@click.argument("study")
@click.option(
    "--storage",
    default="sqlite:///study.db",
    show_default=True,
    help="Optuna's storage.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file; STUDY-report.html if not given.",
)
@click.option(
    "--price-per-gpu-hour", type=click.FloatRange(min=0), help="In your own money."
)
def report(
    study: str, storage: str, out: Path | None, price_per_gpu_hour: float | None
) -> None:
    """Write a study's report, one page that needs no network, and print its path.

    Made from storage alone. Where MLflow has the study's runs, its parent run gets the
    report too, and runs that killed processes left RUNNING are closed.
    """
    from paperstart._report_cli import run_report

    run_report(study, storage, out, price_per_gpu_hour)


@app.command()
@click.argument("study", required=False)
@click.option("--tracking-uri", help="MLflow's store; the one in use if not given.")
@click.option("--port", default=5000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
def ui(study: str | None, tracking_uri: str | None, port: int, opens: bool) -> None:
    """Start MLflow's UI on this machine, and print the link to the study's runs.

    The study that was written last, if none is named.
    """
    from paperstart._report_cli import run_ui

    run_ui(study, tracking_uri, port, opens)


@app.command()
def sync() -> None:
    """Send MLflow what it has not taken of trainings that are over.

    Prints the runs that are complete now. Exit code 1 if something still waits.
    """
    from paperstart._report_cli import run_sync

    run_sync()


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
