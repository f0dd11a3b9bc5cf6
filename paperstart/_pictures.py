"""What do those see who only look at the list of artifacts?

The coarse-to-fine picture and the importance as PNG, in matplotlib; light, since the
artifact list shows them on white.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from paperstart._tracks import Track

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 110
_MOST_ROWS = 6
_BLUE, _ORANGE, _GREEN, _RED, _GREY = (
    "#2f6fe0",
    "#d97706",
    "#0d8a6a",
    "#d13438",
    "#8b95a5",
)
# Marker, color, size in points, and the legend's word.
_MARKS: dict[str, tuple[str, str, float, str]] = {
    "complete": ("o", _GREY, 4, "complete"),
    "pruned": ("o", _GREY, 4, "pruned"),
    "failed": ("x", _RED, 5, "failed"),
    "good": ("o", _BLUE, 5, "best quarter"),
    "best": ("*", _GREEN, 11, "the best"),
}
_OPEN = ("pruned",)


def coarse_to_fine_png(tracks: Sequence[Track], title: str) -> bytes:
    """Per hyperparameter: each trial, each round's region, the published value."""
    # In one column the labels can be read in the narrow pane of MLflow's artifacts.
    columns = 1 if len(tracks) <= _MOST_ROWS else 2
    rows = -(-len(tracks) // columns)
    figure = Figure(figsize=(6.2 * columns, 1.9 * rows + 0.75), dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, track in zip(axes, tracks, strict=False):
        _draw(axis, track)
    for axis in axes[len(tracks) :]:
        axis.set_axis_off()
    inch = 1 / figure.get_figheight()
    wide = columns == 2
    figure.text(0.01, 1 - 0.08 * inch, title[:60], fontsize=11, va="top")
    figure.legend(
        handles=_legend(tracks),
        loc="upper right" if wide else "upper left",
        ncols=7 if wide else 4,
        fontsize=8,
        frameon=False,
        bbox_to_anchor=(0.995 if wide else 0.0, 1 - (0 if wide else 0.25 * inch)),
        columnspacing=1.0,
        handletextpad=0.3,
    )
    figure.tight_layout(rect=(0, 0, 1, 1 - (0.32 if wide else 0.72) * inch))
    return _png(figure)


def importance_png(values: Mapping[str, float]) -> bytes:
    """A bar per hyperparameter, the most important on top."""
    figure = Figure(figsize=(7.5, 0.9 + 0.36 * len(values)), dpi=_DPI)
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    names = list(values)[::-1]
    bars = axis.barh(names, [values[name] for name in names], color=_BLUE, height=0.6)
    axis.bar_label(bars, [f"{values[name]:.2f}" for name in names], padding=4)
    axis.set_xlim(0, max(values.values()) * 1.15 or 1.0)
    axis.set_xlabel("share of importance (fANOVA)")
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return _png(figure)


def _draw(axis: Axes, track: Track) -> None:
    for span in track.spans:
        width, height = span.last - span.first + 1, span.high - span.low
        corner = (span.first - 0.5, span.low)
        axis.add_patch(Rectangle(corner, width, height, color=_BLUE, alpha=0.15, lw=0))
    if track.published is not None:
        axis.axhline(track.published[0], color=_ORANGE, ls="--", lw=1.2)
    for how, (marker, color, size, _) in _MARKS.items():
        dots = [dot for dot in track.dots if dot.how == how]
        axis.plot(
            [dot.number for dot in dots],
            [dot.place for dot in dots],
            linestyle="none",
            marker=marker,
            color=color,
            markersize=size,
            markerfacecolor="none" if how in _OPEN else color,
        )
    axis.set_ylim(-0.04, 1.04)
    axis.set_yticks([place for place, _ in track.ticks], [t for _, t in track.ticks])
    last = max((dot.number for dot in track.dots), default=0)
    axis.set_xlim(-0.9, last + 0.9)
    axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axis.set_title(f"{track.name} ({track.scale})", fontsize=9, loc="left")
    axis.tick_params(labelsize=8)
    axis.grid(axis="y", color="#e5e7eb", lw=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _legend(tracks: Sequence[Track]) -> list[Any]:
    handles: list[Any] = []
    if any(track.published for track in tracks):
        handles.append(Line2D([], [], color=_ORANGE, ls="--", label="published"))
    if any(track.spans for track in tracks):
        handles.append(Patch(color=_BLUE, alpha=0.2, lw=0, label="region of a round"))
    used = {dot.how for track in tracks for dot in track.dots}
    for how, (marker, color, size, word) in _MARKS.items():
        if how in used:
            face = "none" if how in _OPEN else color
            handles.append(
                Line2D(
                    [],
                    [],
                    ls="none",
                    marker=marker,
                    color=color,
                    markersize=size,
                    markerfacecolor=face,
                    label=word,
                )
            )
    return handles


def _png(figure: Figure) -> bytes:
    page = io.BytesIO()
    figure.savefig(page, format="png")
    return page.getvalue()
