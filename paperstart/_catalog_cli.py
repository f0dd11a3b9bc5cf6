"""Which commands does the catalog have, beside that for one recipe?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from paperstart._print import print_json, print_page, write

JSON = click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
CATALOG = click.option(
    "--catalog",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A folder of recipes of your own, looked up before the shipped ones; else "
    "that of the environment variable PAPERSTART_CATALOG.",
)


@click.command()
@click.argument("words", nargs=-1)
@click.option("--task", help="Only recipes of this task.")
@click.option("--dataset", help="Only where these words are in the data set's name.")
@click.option("--optimizer", help="Only recipes that publish this optimizer.")
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="NAME",
    help="Only recipes that publish this hyperparameter; shows its value. May be "
    "given several times.",
)
@CATALOG
@JSON
def recipes(
    words: tuple[str, ...],
    task: str | None,
    dataset: str | None,
    optimizer: str | None,
    fields: tuple[str, ...],
    catalog: Path | None,
    as_json: bool,
) -> None:
    """Print the catalog, or the recipes to which everything asked for applies.

    Each of the WORDS occurs in the id, an alias, the title, the model or the data set.
    """
    from paperstart._query import chosen
    from paperstart._show import recipes_table, summary_data
    from paperstart.catalog import list_summaries

    every = sorted(list_summaries(catalog), key=lambda summary: summary.id)
    found = chosen(
        every, words, task=task, dataset=dataset, optimizer=optimizer, fields=fields
    )
    if as_json:
        print_json([summary_data(summary, fields) for summary in found])
    else:
        print_page(recipes_table(found, fields))
    if sys.stderr is not None and sys.stderr.isatty():
        values = sum(len(summary.published) for summary in found)
        click.echo(
            f"{len(found)} of {len(every)} recipes, {values:,} values.", err=True
        )


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME NAME...")
@CATALOG
@JSON
def compare(names: Sequence[str], catalog: Path | None, as_json: bool) -> None:
    """Print recipes side by side; an asterisk marks values that differ.

    Each NAME is an id, an alias, or a recipe file. A dash is what a recipe does not
    publish; `undisclosed` is what it says that its source does not state.
    """
    from paperstart._compare import comparison_data, comparison_table
    from paperstart.catalog import load_recipe

    if len(names) < 2:
        raise click.UsageError("Name two recipes or more.")
    found = [load_recipe(name, catalog) for name in names]
    if as_json:
        print_json(comparison_data(found))
    else:
        print_page(comparison_table(found))


@click.command()
@click.argument("name")
@CATALOG
def cite(name: str, catalog: Path | None) -> None:
    """Print the BibTeX entry of what a recipe was published in.

    NAME is an id, an alias, or a recipe file; the entry's key is the recipe's id. Where
    a recipe names no authors, add them from the entry's address.
    """
    from paperstart._cite import bibtex
    from paperstart.catalog import load_recipe

    write(bibtex(load_recipe(name, catalog)))


@click.command()
@CATALOG
@JSON
def stats(catalog: Path | None, as_json: bool) -> None:
    """Print how many recipes, values and sources the catalog has, by task."""
    from paperstart._stats import statistics_data, statistics_table
    from paperstart.catalog import list_summaries

    every = list_summaries(catalog)
    if as_json:
        print_json(statistics_data(every))
    else:
        print_page(statistics_table(every))


@click.command()
def schema() -> None:
    """Print the JSON Schema of a recipe file, for editors."""
    from paperstart._schema import schema_text

    write(schema_text().rstrip("\n"))


COMMANDS = (recipes, compare, cite, stats, schema)
