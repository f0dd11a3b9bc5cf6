"""How does a study's report look as one page that needs nothing else?

Plain HTML with its styles and scripts inside: it works from disk, without a network,
and in the sandboxed frame in which MLflow shows artifacts. All text of the user's own
is escaped.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from paperstart._answers import Answer
from paperstart._outcome import Change, Outcome, factor_text, short
from paperstart._show import shown
from paperstart._sick import SickRun
from paperstart.recipe import Recipe

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Section:
    """A heading, what stands below it, and a chart as JSON if it has one."""

    title: str
    body: str
    chart: str | None = None


def page(
    title: str, lead: str, found: Sequence[Answer], sections: Sequence[Section]
) -> str:
    """The whole page; ``lead`` is plain text, the sections' bodies are HTML."""
    parts = [_section(nth, section) for nth, section in enumerate(sections)]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="paperstart">
<title>{escape(title)}</title>
<style>
{_file("_page.css")}</style>
</head>
<body>
<main>
<header><h1>{escape(title)}</h1><button id="theme" type="button">light / dark</button>
</header>
<p class="soft">{escape(lead)}</p>
<dl class="answers">
{_answers(found)}
</dl>
<noscript><p>The charts need JavaScript; the tables do not.</p></noscript>
{"".join(parts)}
</main>
<script>{_plotly()}</script>
<script>
{_file("_page.js")}</script>
</body>
</html>
"""


def comparison_table(found: Outcome, direction: str) -> str:
    """The paper against the best: values, ratios, results, sources."""
    best = f"best: trial {found.best.number}"
    head = _row("th", ["", "paper's own point", best, "factor", "published in"])
    rows = [_change(change) for change in found.changes]
    paper = "" if found.published_value is None else f"{found.published_value:.6g}"
    result = [f"objective ({direction}d)", paper, f"{found.best_value:.6g}", "", ""]
    rows.append(_row("td", result, "result"))
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def reported_lines(recipe: Recipe) -> str:
    """What the recipe is, and what its publication reports."""
    where = _link(recipe.title, recipe.url or _arxiv(recipe))
    lines = [
        f"Recipe <b>{escape(recipe.id)}</b>: {where} ({recipe.year}), "
        f"{escape(recipe.model)} on {escape(recipe.dataset)}."
    ]
    for one in recipe.reported[:3]:
        unit = f" {escape(one.unit)}" if one.unit else ""
        source = _link(one.source.where, one.source.url)
        lines.append(
            f"It reports {escape(one.metric)} {one.value}{unit} ({escape(one.split)}), "
            f"{source}; that is on the paper's data, not on yours."
        )
    return "".join(f'<p class="soft">{line}</p>' for line in lines)


def sick_table(found: Sequence[SickRun]) -> str:
    """A row per sick run, with what it says."""
    head = _row("th", ["trial", "status", "what is wrong"])
    rows = []
    for one in found:
        words = "".join(f"<li>{escape(word)}</li>" for word in one.words)
        rows.append(
            f'<tr><td class="number">{one.trial}</td><td>{escape(one.status)}</td>'
            f"<td><ul>{words}</ul></td></tr>"
        )
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def facts_table(facts: Mapping[str, str]) -> str:
    """Two columns: a name and what it comes to."""
    rows = [_row("td", [name, value]) for name, value in facts.items()]
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f'<p class="soft">{escape(text)}</p>'


def _change(change: Change) -> str:
    published = "undisclosed" if change.published is None else shown(change.published)
    cells = [change.name, published, short(change.best), factor_text(change)]
    plain = "".join(f'<td class="number">{escape(str(cell))}</td>' for cell in cells)
    return f"<tr>{plain}<td>{_link(*change.where)}</td></tr>"


def _section(nth: int, section: Section) -> str:
    chart = ""
    if section.chart is not None:
        name = f"figure-{nth}"
        chart = (
            f'<script type="application/json" id="{name}">{section.chart}</script>'
            f'<div class="wide"><div class="chart" data-figure="{name}"></div></div>'
        )
    title = f"<h2>{escape(section.title)}</h2>"
    return f"<section>{title}{section.body}{chart}</section>\n"


def _answers(found: Iterable[Answer]) -> str:
    return "\n".join(
        f"<div><dt>{escape(one.question)}</dt>"
        f'<dd class="answer">{escape(one.answer)}</dd>'
        f'<dd class="detail">{escape(one.detail)}</dd></div>'
        for one in found
    )


def _row(kind: str, cells: Iterable[Any], css: str = "") -> str:
    row = "".join(f"<{kind}>{escape(str(cell))}</{kind}>" for cell in cells)
    return f'<tr class="{css}">{row}</tr>' if css else f"<tr>{row}</tr>"


def _link(text: str, url: str | None) -> str:
    if not url or not url.startswith(("http://", "https://")):
        return escape(text)
    return f'<a href="{escape(url)}" target="_blank" rel="noopener">{escape(text)}</a>'


def _arxiv(recipe: Recipe) -> str | None:
    return None if recipe.arxiv is None else f"https://arxiv.org/abs/{recipe.arxiv}"


@functools.cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs  # late: 5 MB

    text: str = get_plotlyjs()
    return text.replace("</script", "<\\/script")


@functools.cache
def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
