"""How does the result of a search look in a terminal?"""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from paperstart._cost import cost_of
from paperstart._outcome import Outcome, factor_text, outcome, short
from paperstart._search_result import SearchResult
from paperstart._show import shown
from paperstart._store import sqlite_path
from paperstart._study_facts import recall

_PORT = 5000


def result_page(result: SearchResult) -> RenderableType:
    """The paper's point beside the best trial, and what it cost."""
    found = outcome(result.study, recall(result.study))
    if found is None:
        return Text("No trial is complete yet.")
    return Group(
        Text(),
        _table(found, result.study.direction.name.lower()),
        Text(),
        Text(found.verdict()),
        Text(f"{found.spent()} {_cost(result)}"),
    )


def where_to_look(result: SearchResult) -> str:
    """The exact command that shows the runs, and the page; never folded, to copy."""
    uri = result.tracking_uri
    lines = ["", "To see the runs:"]
    if uri.startswith(("http://", "https://")):
        address = uri.rstrip("/")
    else:
        address = f"http://127.0.0.1:{_PORT}"
        lines.append(f"  mlflow ui --backend-store-uri {_quoted(uri)} --port {_PORT}")
    page = f"#/experiments/{result.experiment_id}/runs"
    lines.append(f"  {address}/{page}?workflowType=machine_learning")
    return "\n".join(lines)


def _cost(result: SearchResult) -> str:
    price = recall(result.study).price_per_gpu_hour
    return f"Cost: {cost_of(result.study, price).sentence()}"


def _table(found: Outcome, direction: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    table.add_column("", no_wrap=True, style="cyan")
    table.add_column("paper's own point", no_wrap=True)
    table.add_column(f"best: trial {found.best.number}", no_wrap=True)
    table.add_column("factor", no_wrap=True)
    for change in found.changes:
        paper = "undisclosed" if change.published is None else shown(change.published)
        table.add_row(
            escape(change.name), paper, escape(short(change.best)), factor_text(change)
        )
    paper = "" if found.published_value is None else f"{found.published_value:.6g}"
    label = f"objective ({direction}d)"
    table.add_row(label, paper, f"{found.best_value:.6g}", "", style="bold")
    return table


def _quoted(uri: str) -> str:
    path: Path | None = sqlite_path(uri)
    return f"'{uri}'" if path is not None and " " in str(path) else uri
