"""How much is in the catalog?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from paperstart._index import Summary

FEWEST_VALUES = 3  # with fewer, a recipe says too little to start from: our choice
KINDS = ("paper", "official-code", "official-docs")


def statistics_data(every: Sequence[Summary]) -> dict[str, Any]:
    """Counts of recipes, values and sources, in all and for each task.

    ``values`` are the published hyperparameters, each with its source; ``sources``
    counts these by kind. ``alternatives`` are other published values of the same.
    """
    tasks: dict[str, list[Summary]] = {}
    for summary in every:
        tasks.setdefault(summary.task, []).append(summary)
    return {
        "total": _counts(every),
        "tasks": {task: _counts(tasks[task]) for task in sorted(tasks)},
    }


def statistics_table(every: Sequence[Summary]) -> Table:
    """The same for people: a row for each task, and the total."""
    data = statistics_data(every)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task", no_wrap=True)
    heads = ["recipes", f"with {FEWEST_VALUES}+ values", "values"]
    for head in [*heads, *KINDS, "alternatives"]:
        table.add_column(head, justify="right", no_wrap=True)
    for task, counts in data["tasks"].items():
        table.add_row(task, *_cells(counts))
    table.add_row("total", *_cells(data["total"]), style="bold")
    return table


def _counts(summaries: Iterable[Summary]) -> dict[str, Any]:
    found = list(summaries)
    return {
        "recipes": len(found),
        "recipes_with_three_values": sum(
            len(s.published) >= FEWEST_VALUES for s in found
        ),
        "values": sum(len(s.published) for s in found),
        "sources": {kind: sum(s.sources.get(kind, 0) for s in found) for kind in KINDS},
        "alternatives": sum(s.alternatives for s in found),
    }


def _cells(counts: dict[str, Any]) -> list[str]:
    first = [counts["recipes"], counts["recipes_with_three_values"], counts["values"]]
    sources = [counts["sources"][kind] for kind in KINDS]
    return [f"{count:,}" for count in (*first, *sources, counts["alternatives"])]
