"""How does a moved point look in a terminal?

The published column, the adapted one beside it, and the rule of each change with the
place where it was published.
"""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from paperstart._rules import ASKED, Rule
from paperstart._show import recipe_data, recipe_head, shown
from paperstart.adapt import Adapted
from paperstart.recipe import Recipe


def adapted_data(adapted: Adapted[Recipe]) -> dict[str, Any]:
    """The recipe as JSON data, and under ``adapted`` what becomes of it."""
    return {**recipe_data(adapted.recipe), "adapted": adapted.as_data()}


def adapted_page(adapted: Adapted[Recipe]) -> RenderableType:
    """One recipe for people: published and adapted values, rules, their sources."""
    recipe = adapted.recipe
    return Group(
        *recipe_head(recipe),
        Text(),
        _values(adapted),
        Text(),
        _rules(adapted),
    )


def _values(adapted: Adapted[Recipe]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True, style="cyan")
    for header in ("published", "adapted", "rule"):
        table.add_column(header, overflow="fold")
    changes = {change.name: change for change in adapted.changes}
    published = adapted.recipe.published
    for name in adapted.published:
        known = shown(published[name]) if name in published else "-"
        if name in changes:
            change = changes[name]
            table.add_row(name, known, _short(change.adapted), change.rule.name)
        else:
            table.add_row(name, known, known, "as published", style="dim")
    return table


def _rules(adapted: Adapted[Recipe]) -> Table:
    """Each rule once, with its source; then what the rules leave open."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    batch, own = adapted.published.get("batch_size"), adapted.recipe.published
    if batch != own.get("batch_size"):
        table.add_row("k", f"{batch} / {own['batch_size']}, the ratio of batch sizes")
    names: dict[str, list[str]] = {}
    for rule in dict.fromkeys(change.rule for change in adapted.changes):
        if rule is not ASKED:
            names.setdefault(_place(rule), []).append(rule.name)
    for place, done in names.items():
        table.add_row("rule", f"{'; '.join(done)}: {place}")
    for remark in adapted.remarks:
        table.add_row("note", remark)
    return table


def _place(rule: Rule) -> str:
    return ", ".join(part for part in (rule.source, rule.where, rule.url) if part)


def _short(value: Any) -> str:
    """A value to six digits, as people compare it; JSON has all of them."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_short, value)) + "]"
    return f"{value:.6g}" if isinstance(value, float) else shown(value)
