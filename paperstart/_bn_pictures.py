"""What does a person look at to see how the batch-norm layers fared?

Layers stand from top to bottom in forward order. Colors mean the same in every run, so
that pictures of two runs can be laid side by side. Drawn without pyplot, which would
choose a display and keep every figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from paperstart._bn_record import Table
from paperstart._bn_snapshot import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_STEPS = 800  # as many as there are pixels to draw them
_MOST_LABELS = 110
_ROW_INCHES = 0.155
_TALLEST_INCHES = 20.0
_LETTER_INCHES = 0.067  # of the font that names the layers
_RANKS = 256


class Heatmap(NamedTuple):
    """One column of the table, drawn as layer x step.

    Attributes:
        file: name of the picture.
        column: of the table.
        title: above it.
        label: beside the color bar.
        low, high: the values of the first and the last color; beyond, they stay.
        is_log: whether colors stand on a log scale.
        colors: matplotlib's name of the colors.
    """

    file: str
    column: str
    title: str
    label: str
    low: float
    high: float
    is_log: bool
    colors: str


HEATMAPS = (
    Heatmap(
        "train_eval_gap.png",
        "train_eval_gap",
        "Train-eval gap: how far eval-mode output is from train-mode output",
        "RMS difference before scale and shift",
        *(0.01, 1.0, True, "magma"),
    ),
    Heatmap(
        "dead_channels.png",
        "dead_fraction",
        "Dead channels: shift + 3 |scale| < 0, so a ReLU passes nothing",
        "fraction of the layer's channels",
        *(0.0, 0.5, False, "YlOrRd"),
    ),
    Heatmap(
        "log_running_var.png",
        "running_var_gmean",
        "Running variance",
        "ln of the geometric mean over channels",
        *(-8.0, 8.0, False, "RdBu_r"),
    ),
)


def draw_pictures(
    table: Table, scales: Mapping[str, Array], folder: Path
) -> list[Path]:
    """Write the pictures of a run as PNG files into ``folder``."""
    paths = [_draw_heatmap(heatmap, table, folder) for heatmap in HEATMAPS]
    if scales:
        paths.append(_draw_scales(scales, table.steps[-1], folder))
    return paths


def thinned(values: Array, most: int) -> tuple[Array, int]:
    """At most ``most`` rows, each the largest of several, so that a spike stays seen.

    Args:
        values: of shape (steps, layers).
        most: rows to keep.

    Returns:
        The rows, and how many steps each stands for.
    """
    every = -(-len(values) // most)
    padding = -len(values) % every
    padded = np.pad(values, ((0, padding), (0, 0)), constant_values=-np.inf)
    parts = padded.reshape(-1, every, values.shape[1])
    known = np.where(np.isnan(parts), -np.inf, parts).max(axis=1)
    return np.where(np.isneginf(known), np.nan, known), every


def by_rank(scales: Array) -> Array:
    """|scale| in falling order, at `_RANKS` even shares of the channels."""
    places = np.arange(_RANKS) * len(scales) // _RANKS
    return np.asarray(np.sort(scales)[::-1][places])


def _draw_heatmap(heatmap: Heatmap, table: Table, folder: Path) -> Path:
    values = table.column(heatmap.column).astype(float)
    if heatmap.column == "running_var_gmean":
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log(values)
    rows, every = thinned(values, _MOST_STEPS)
    figure, axes = _figure(table.layers, heatmap.title)
    image = axes.imshow(
        rows.T,
        aspect="auto",
        interpolation="nearest",
        cmap=_colors(heatmap.colors),
        norm=_norm(heatmap.low, heatmap.high, heatmap.is_log),
    )
    at = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), 8)).round().astype(int))
    axes.set_xticks(at, [str(table.steps[i * every]) for i in at])
    axes.set_xlabel("optimizer steps")
    extend = "max" if heatmap.low == 0 else "both"
    _add_colorbar(axes, image, heatmap.label, extend)
    return _save(figure, folder / heatmap.file)


def _draw_scales(scales: Mapping[str, Array], step: int, folder: Path) -> Path:
    rows = np.stack([by_rank(np.asarray(each, float)) for each in scales.values()])
    title = f"|scale| of each layer's channels at step {step}, largest first"
    figure, axes = _figure(list(scales), title)
    image = axes.imshow(
        np.where(np.isfinite(rows), np.maximum(rows, 1e-12), np.nan),
        aspect="auto",
        interpolation="nearest",
        cmap=_colors("viridis"),
        norm=_norm(1e-3, 10.0, True),
        extent=(0, 100, len(rows) - 0.5, -0.5),
    )
    axes.set_xlabel("channels, %")
    _add_colorbar(axes, image, "|scale|", "both")
    return _save(figure, folder / "sorted_scales.png")


def _figure(layers: Sequence[str], title: str) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # late: half a second

    labels = [_short(name) for name in layers]
    every = -(-len(labels) // _MOST_LABELS)
    at = range(0, len(labels), every)
    width, top, bottom = 11.0, 0.35, 0.55
    height = min(max(top + bottom + _ROW_INCHES * len(labels), 2.6), _TALLEST_INCHES)
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    # By hand, since matplotlib's own layout draws everything several times.
    left = 0.3 + _LETTER_INCHES * max((len(labels[i]) for i in at), default=0)
    axes = figure.add_axes(
        (
            left / width,
            bottom / height,
            (width - left - 1.05) / width,
            1 - (top + bottom) / height,
        )
    )
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_yticks(list(at), [labels[i] for i in at], fontsize=8)
    axes.tick_params(axis="y", length=2)
    return figure, axes


def _add_colorbar(axes: Axes, image: Any, label: str, extend: str) -> None:
    figure: Any = axes.figure
    box, width = axes.get_position(), figure.get_figwidth()
    place = (box.x1 + 0.15 / width, box.y0, 0.2 / width, box.height)
    bar = figure.colorbar(image, cax=figure.add_axes(place), extend=extend, label=label)
    bar.formatter = lambda value, _: f"{value:g}"
    bar.update_ticks()


def _short(name: str, most: int = 44) -> str:
    """The end of a long name, which tells layers apart."""
    return name if len(name) <= most else f"…{name[-most + 1 :]}"


def _colors(name: str) -> Any:
    from matplotlib import colormaps

    return colormaps[name].with_extremes(bad="0.8")  # gray: nothing is known


def _norm(low: float, high: float, is_log: bool) -> Any:
    from matplotlib.colors import LogNorm, Normalize

    return (LogNorm if is_log else Normalize)(low, high, clip=True)


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, format="png")
    return path
