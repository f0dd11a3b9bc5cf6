"""In what do recipes differ?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from paperstart._scales import CANONICAL
from paperstart._show import shown
from paperstart.recipe import Recipe

_FACTS = ("model", "task", "dataset", "year")


def comparison_data(recipes: Sequence[Recipe]) -> dict[str, Any]:
    """The recipes side by side, as JSON data; values in the order of the recipes.

    ``differs`` is true where two recipes publish different values. ``null`` is what a
    recipe does not publish; ``undisclosed`` names the recipes that say so.
    """
    rows: dict[str, Any] = {}
    for name in _names(recipes):
        published = [recipe.published.get(name) for recipe in recipes]
        rows[name] = {
            "values": published,
            "differs": _differ(published),
            "undisclosed": [r.id for r in recipes if name in r.undisclosed],
        }
    facts = ("id", "title", *_FACTS)
    return {
        "recipes": [{key: getattr(r, key) for key in facts} for r in recipes],
        "hyperparameters": rows,
    }


def comparison_table(recipes: Sequence[Recipe]) -> Table:
    """The recipes side by side, for people: ``*`` marks what differs."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("", no_wrap=True, style="cyan")
    for recipe in recipes:
        table.add_column(recipe.id, overflow="fold")
    for fact in _FACTS:
        texts = [str(getattr(recipe, fact)) for recipe in recipes]
        table.add_row("*" if _differ(texts) else "", fact, *texts, style="dim")
    for name, row in comparison_data(recipes)["hyperparameters"].items():
        cells = [
            _cell(name, value, recipe)
            for value, recipe in zip(row["values"], recipes, strict=True)
        ]
        style = "bold" if row["differs"] else None
        table.add_row("*" if row["differs"] else "", name, *cells, style=style)
    return table


def _names(recipes: Sequence[Recipe]) -> list[str]:
    """Every published name: the canonical ones first, in the order people read them."""
    found = dict.fromkeys(name for recipe in recipes for name in recipe.published)
    return [
        *(n for n in CANONICAL if n in found),
        *(n for n in found if n not in CANONICAL),
    ]


def _differ(values: Sequence[Any]) -> bool:
    told = [value for value in values if value is not None]
    return any(value != told[0] for value in told)


def _cell(name: str, value: Any, recipe: Recipe) -> str:
    if value is not None:
        return shown(value)
    return "undisclosed" if name in recipe.undisclosed else "-"
