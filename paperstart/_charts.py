"""What do the report's interactive charts show?

Optuna's own charts where it has them, in plotly; the coarse-to-fine picture is ours.
Colors are chosen to be read on a light and on a dark page; text and grid take the
page's colors when it is shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.study import Study
from plotly.subplots import make_subplots

from paperstart._marks import BLUE, GREEN, GREY, MARKS, ORANGE
from paperstart._told_apart import KnownImportances, usual_values
from paperstart._tracks import Track

_COLUMNS = 2
_LABEL = 11  # characters that have room between two axes
_ROW_PX, _GAP_PX, _TOP_PX = 190, 66, 92


def coarse_to_fine(tracks: Sequence[Track]) -> go.Figure:
    """Per hyperparameter: each trial, each round's region, the published value."""
    rows = -(-len(tracks) // _COLUMNS)
    height = rows * _ROW_PX + (rows - 1) * _GAP_PX
    figure = make_subplots(
        rows,
        _COLUMNS,
        subplot_titles=[f"{track.name}  ({track.scale})" for track in tracks],
        vertical_spacing=_GAP_PX / height if rows > 1 else 0.0,
        horizontal_spacing=0.09,
    )
    shown: set[str] = set()
    for nth, track in enumerate(tracks):
        at = {"row": nth // _COLUMNS + 1, "col": nth % _COLUMNS + 1}
        _add_regions(figure, track, at, shown)
        _add_published(figure, track, at, shown)
        _add_dots(figure, track, at, shown)
        figure.update_yaxes(
            range=[-0.04, 1.04],
            tickvals=[place for place, _ in track.ticks],
            ticktext=[text for _, text in track.ticks],
            **at,
        )
    last = max((dot.number for track in tracks for dot in track.dots), default=0)
    figure.update_xaxes(range=[-0.9, last + 0.9], **_whole_ticks(last))
    figure.update_annotations(font_size=14, yshift=4)
    for nth in range(max(0, len(tracks) - _COLUMNS), len(tracks)):
        at = {"row": nth // _COLUMNS + 1, "col": nth % _COLUMNS + 1}
        figure.update_xaxes(title_text="trial", title_standoff=8, **at)
    figure.update_layout(
        height=height + _TOP_PX + 60,
        margin={"t": _TOP_PX, "b": 60, "l": 70, "r": 20},
        legend={
            "orientation": "h",
            "yref": "container",
            "y": 1,
            "yanchor": "top",
            "x": 0,
            "xanchor": "left",
        },
    )
    return figure


def history(study: Study, published: float | None) -> go.Figure:
    """Optuna's history of the objective, with the paper's own result as a line."""
    figure = optuna.visualization.plot_optimization_history(
        study, target_name="objective"
    )
    for trace, color in zip(figure.data, (GREY, GREEN), strict=False):
        trace.update(marker={"color": color, "size": 7})
        trace.name = {"Best Value": "the best so far"}.get(trace.name, trace.name)
        if trace.mode and "lines" in trace.mode:
            trace.update(mode="lines", line={"color": color, "width": 2, "shape": "hv"})
    if published is not None:
        figure.add_hline(
            published, line={"color": ORANGE, "dash": "dash", "width": 1.5}
        )
        figure.add_trace(_legend_line("the paper's own point", ORANGE))
    last = max((trial.number for trial in study.get_trials(deepcopy=False)), default=0)
    figure.update_xaxes(
        range=[-0.9, last + 0.9], title_standoff=8, **_whole_ticks(last)
    )
    low, high = usual_values(study)
    if published is not None:
        low, high = min(low, published), max(high, published)
    room = (high - low) * 0.06 or abs(high) * 0.01 or 1.0
    figure.update_yaxes(range=[low - room, high + room])
    return _plain(figure, 340, xaxis_title="trial", yaxis_title="objective")


def importance(values: Mapping[str, float], study: Study) -> go.Figure:
    """Optuna's bars of how much each hyperparameter mattered, as computed before."""
    figure = optuna.visualization.plot_param_importances(
        study, evaluator=KnownImportances(values), target_name="objective"
    )
    figure.update_traces(marker_color=BLUE, cliponaxis=False)
    top = max(values.values(), default=1.0)
    figure.update_xaxes(range=[0, top * 1.15 or 1.0])
    figure.update_yaxes(automargin=True, ticksuffix="  ")
    height = 110 + 34 * len(values)
    return _plain(figure, height, xaxis_title="share of importance", yaxis_title=None)


def parallel_coordinates(study: Study) -> go.Figure:
    """Optuna's lines, one per complete trial, across all hyperparameters."""
    low, high = usual_values(study)
    figure = optuna.visualization.plot_parallel_coordinate(
        study,
        target=lambda trial: min(max(trial.value or 0.0, low), high),
        target_name="objective",
    )
    upward = study.direction.name == "MAXIMIZE"
    for trace in figure.data:
        if trace.mode == "lines" and trace.customdata is not None:
            share = trace.y[0] if upward else 1 - trace.y[0]
            trace.update(opacity=0.35 + 0.6 * share, line={"color": _shade(share)})
        elif trace.marker.showscale:
            ends = [[0.0, _shade(0.0)], [1.0, _shade(1.0)]]
            trace.marker.update(colorscale=ends, reversescale=not upward)
            trace.marker.colorbar.update(thickness=14, outlinewidth=0)
    for note in figure.layout.annotations:  # beside the axis, not across it
        text = note.text if len(note.text) <= _LABEL else f"{note.text[:_LABEL]}…"
        note.update(text=text, xanchor="right", xshift=-6, bgcolor="white", borderpad=1)
    return _plain(figure, 420)


def as_json(figure: go.Figure) -> str:
    """The figure for a ``<script>`` of a page: nothing in it can end the script."""
    figure.layout.template = None
    found = json.loads(figure.to_json())
    found["layout"].pop("template", None)
    text = json.dumps(found, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _add_regions(
    figure: go.Figure, track: Track, at: dict[str, int], shown: set[str]
) -> None:
    for span in track.spans:
        figure.add_shape(
            type="rect",
            x0=span.first - 0.5,
            x1=span.last + 0.5,
            y0=span.low,
            y1=span.high,
            fillcolor=BLUE,
            opacity=0.16,
            line={"width": 0},
            layer="below",
            **at,
        )
    if track.spans and "region" not in shown:
        shown.add("region")
        square = {"color": BLUE, "symbol": "square", "size": 12, "opacity": 0.3}
        figure.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                mode="markers",
                name="region of a round",
                marker=square,
            ),
            **at,
        )


def _add_published(
    figure: go.Figure, track: Track, at: dict[str, int], shown: set[str]
) -> None:
    if track.published is None:
        return
    place, _ = track.published
    figure.add_hline(
        place,
        line={"color": ORANGE, "dash": "dash", "width": 1.5},
        exclude_empty_subplots=False,
        **at,
    )
    if "published" not in shown:
        shown.add("published")
        figure.add_trace(_legend_line("published value", ORANGE), **at)


def _add_dots(
    figure: go.Figure, track: Track, at: dict[str, int], shown: set[str]
) -> None:
    for how, (color, symbol, size, word) in MARKS.items():
        dots = [dot for dot in track.dots if dot.how == how]
        if not dots:
            continue
        figure.add_trace(
            go.Scatter(
                x=[dot.number for dot in dots],
                y=[dot.place for dot in dots],
                customdata=[dot.text for dot in dots],
                mode="markers",
                name=word,
                legendgroup=how,
                showlegend=how not in shown,
                marker={
                    "color": color,
                    "symbol": symbol,
                    "size": size,
                    "line": {"width": 1.5 if "open" in symbol else 0, "color": color},
                },
                hovertemplate=f"trial %{{x}}: {track.name} %{{customdata}}"
                f"<extra>{word}</extra>",
            ),
            **at,
        )
        shown.add(how)


def _legend_line(name: str, color: str) -> go.Scatter:
    line = {"color": color, "dash": "dash", "width": 1.5}
    return go.Scatter(x=[None], y=[None], mode="lines", name=name, line=line)


def _shade(share: float) -> str:
    """From grey, the worst, to blue, the best; both can be seen on white and black."""
    ends = ((0x8B, 0x95, 0xA5), (0x2F, 0x7B, 0xFF))
    mixed = (round(a + (b - a) * share) for a, b in zip(*ends, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _plain(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    figure.update_layout(
        title=None,
        height=height,
        margin={"t": 40, "b": 56, "l": 70, "r": 20},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        **layout,
    )
    return figure


def _whole_ticks(last: int) -> dict[str, Any]:
    """Trial numbers are whole, and there is room for about a dozen."""
    every = next(
        n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**6) if last <= 12 * n
    )
    return {"tickmode": "linear", "tick0": 0, "dtick": every}
