"""How does a recipe look in a terminal?

Builds Rich tables and plain JSON data from recipes. Nothing is computed here: each
value is laid out beside the place where it was published. The text is a recipe's own:
print it without Rich's markup and emoji, which would eat ``[30]`` and ``py:100:``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from paperstart._index import Summary
from paperstart._parts import Hyperparameter, Source
from paperstart._scales import default_range
from paperstart._searched import varies_first
from paperstart.recipe import Recipe

_KIND = {"paper": "", "official-code": " (code)", "official-docs": " (docs)"}


def recipe_data(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON data: what ``paperstart recipe NAME --json`` prints."""
    return recipe.as_data()


def summary_data(summary: Summary, fields: Iterable[str] = ()) -> dict[str, Any]:
    """One line of ``paperstart recipes --json``, with the values asked for."""
    return {
        "id": summary.id,
        "title": summary.title,
        "model": summary.model,
        "year": summary.year,
        "task": summary.task,
        "dataset": summary.dataset,
        "aliases": summary.aliases,
        "optimizer": summary.optimizer,
        "values": len(summary.published),
        **({"fields": {f: summary.published[f] for f in fields}} if fields else {}),
    }


def recipe_page(recipe: Recipe) -> RenderableType:
    """One recipe for people: values, units, sources, and what is not said."""
    parts: list[RenderableType] = [
        *recipe_head(recipe),
        Text(),
        _values(recipe.hyperparameters),
        Text(),
    ]
    facts = _columns()
    facts.add_row("undisclosed", ", ".join(recipe.undisclosed) or "nothing")
    usual = ", ".join(_searched_undisclosed(recipe))
    if usual:
        facts.add_row("of these", f"searched over the usual range: {usual}")
    for result in recipe.reported:
        facts.add_row(
            "reported",
            f"{result.metric} {shown(result.value)} on {result.split}, "
            f"{_place(result.source)}",
        )
    if recipe.compute is not None:
        facts.add_row(
            "compute",
            f"{recipe.compute.devices}, {_place(recipe.compute.source)}",
        )
    for weights in recipe.weights:
        license_name = f" ({weights.license})" if weights.license else ""
        facts.add_row("weights", f"{weights.library}: {weights.name}{license_name}")
    for url in _urls(recipe):
        facts.add_row("source", url)
    facts.add_row("checked", recipe.checked.isoformat())
    for label, note in _notes(recipe):
        facts.add_row(label, note)
    return Group(*parts, facts)


def recipe_head(recipe: Recipe) -> Iterator[Text]:
    """What was published, by whom, and what was trained."""
    yield Text.assemble((recipe.id, "bold"), f"  {recipe.title} ({recipe.year})")
    names = [re.sub("[{}]", "", author) for author in recipe.authors]
    if names:
        yield Text(" and ".join(names) if len(names) < 3 else f"{names[0]} et al.")
    yield Text(f"{recipe.model} on {recipe.dataset}; {recipe.task}")


def recipes_table(summaries: Iterable[Summary], fields: Sequence[str] = ()) -> Table:
    """The catalog for people: one line each, with the values that were asked for."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("recipe", no_wrap=True)
    table.add_column("year", no_wrap=True)
    table.add_column("task", no_wrap=True)
    table.add_column("data", overflow="fold")
    table.add_column("values", justify="right", no_wrap=True)
    for field in fields:
        table.add_column(field, overflow="fold")
    for summary in summaries:
        table.add_row(
            summary.id,
            str(summary.year),
            summary.task,
            summary.dataset,
            str(len(summary.published)),
            *(shown(summary.published[field]) for field in fields),
        )
    return table


def shown(value: Any) -> str:
    """A value as people read it: 0.0001, 1e-08, true, [30, 60]."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(shown, value)) + "]"
    return str(value)


def _values(hyperparameters: dict[str, Hyperparameter]) -> Table:
    table = _columns(4)
    for name, hp in hyperparameters.items():
        value = shown(hp.value)
        table.add_row(name, value, hp.unit or "", _range(hp), _place(hp.source))
        for other in hp.alternatives:
            value = f"or {shown(other.value)}"
            table.add_row("", value, "", "", _place(other.source), style="dim")
    return table


def _range(hp: Hyperparameter) -> str:
    """What a coarse round tries, and what that comes from."""
    has_range = hp.low is not None or hp.choices is not None
    if has_range and not hp.searched:
        return "not searched unless asked"
    if hp.choices is not None:
        return " or ".join(map(shown, hp.choices))
    if hp.low is None or hp.high is None:
        return ""
    low, high = (
        str(end) if isinstance(end, int) else f"{end:.3g}" for end in (hp.low, hp.high)
    )
    origin = {"recipe": "the recipe's own", "default": "default"}
    source = hp.range_source or "default"
    return f"{low} to {high}, {origin.get(source, f'from {source}')}"


def _searched_undisclosed(recipe: Recipe) -> Iterator[str]:
    """What the source does not state, and a search varies all the same."""
    for name in recipe.undisclosed:
        ends = default_range(name, None)
        if ends is not None and varies_first(name, recipe.hyperparameters):
            yield f"{name} {ends[0]:g} to {ends[1]:g}"


def _notes(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """What a reader should know: of the recipe as a whole, then of single values."""
    if recipe.note:
        yield "note", recipe.note
    for name, hp in recipe.hyperparameters.items():
        if hp.note:
            yield "note", f"{name}: {hp.note}"
        for other in hp.alternatives:
            if other.note:
                yield "note", f"{name} {shown(other.value)}: {other.note}"


def _columns(more: int = 1) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="cyan")
    for _ in range(more):
        table.add_column(overflow="fold")
    return table


def _place(source: Source) -> str:
    return source.where + _KIND[source.kind]


def _urls(recipe: Recipe) -> list[str]:
    """Every url that the recipe's values come from, once, in reading order."""
    sources = [hp.source for hp in recipe.hyperparameters.values()]
    sources += [
        a.source for h in recipe.hyperparameters.values() for a in h.alternatives
    ]
    sources += [result.source for result in recipe.reported]
    return list(dict.fromkeys(source.url for source in sources))
