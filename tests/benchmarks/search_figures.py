"""How do the samplers compare? Means, ratios with intervals, and the picture.

``Regrets`` has an array of shape (tasks, seeds, trials) for each sampler: the best
regret so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from search_samplers import GP, OURS, PEERS, RANDOM
from search_tables import Floats

Regrets = dict[str, Floats]

POINTS = (5, 10, 20)
RESAMPLES = 4_000
COLORS = {  # Okabe & Ito's, which the color-blind can tell apart
    OURS: "#D55E00",
    PEERS[0]: "#0072B2",
    PEERS[1]: "#56B4E9",
    PEERS[2]: "#009E73",
    PEERS[3]: "#CC79A7",
    GP: "#E69F00",
    RANDOM: "#888888",
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def means(results: dict[str, Regrets], cost: dict[str, float]) -> str:
    """Mean regrets of every sampler at each quality, and milliseconds a suggestion."""
    rows = []
    for quality, regrets in results.items():
        for name, series in regrets.items():
            at = [f"{series[:, :, p - 1].mean():.3f}" for p in reached(series)]
            rows.append([quality, name, *at, f"{cost[name]:.1f}"])
    points = [f"after {p}" for p in reached(next(iter(results.values()))[OURS])]
    return table(["recipe", "sampler", *points, "ms"], rows)


def ratios(results: dict[str, Regrets]) -> str:
    """Our mean regret divided by each other's, with 95 % intervals over the tasks."""
    qualities = dict(results)
    if len(results) > 1:
        qualities["all"] = {
            name: np.mean([regrets[name] for regrets in results.values()], axis=0)
            for name in next(iter(results.values()))
        }
    rows = []
    for quality, regrets in qualities.items():
        by_task = {n: s.mean(1) for n, s in regrets.items()}  # (tasks, trials)
        points = reached(regrets[OURS])
        peers = [n for n in PEERS if n in by_task]
        best = [min(peers, key=lambda n: by_task[n][:, p - 1].mean()) for p in points]
        cells = [
            f"{ratio(by_task[OURS][:, p - 1], by_task[n][:, p - 1])} {n}"
            for p, n in zip(points, best, strict=True)
        ]
        rows.append([quality, f"best of {len(peers)}", *cells])
        for name in (n for n in by_task if n != OURS):
            pairs = [(by_task[OURS][:, p - 1], by_task[name][:, p - 1]) for p in points]
            rows.append([quality, name, *(ratio(a, b) for a, b in pairs)])
    return table(["recipe", "PaperStart to", *(f"after {p}" for p in points)], rows)


def reached(series: Floats) -> list[int]:
    return [p for p in POINTS if p <= series.shape[-1]]


def ratio(ours: Floats, other: Floats) -> str:
    """The ratio of the means over tasks, with its percentile-bootstrap interval."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(ours), size=(RESAMPLES, len(ours)))
    many = ours[drawn].mean(1) / np.maximum(other[drawn].mean(1), 1e-12)
    low, high = np.percentile(many, [2.5, 97.5])
    return f"{ours.mean() / max(other.mean(), 1e-12):.2f} ({low:.2f} to {high:.2f})"


def plot(results: dict[str, Regrets], path: Path) -> None:
    """Mean regret against trainings, a panel for each quality; written to ``path``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    count = len(results)
    figure, axes = plt.subplots(
        1, count, figsize=(4 * count, 4.2), squeeze=False, layout="constrained"
    )
    for axis, (quality, regrets) in zip(axes[0], results.items(), strict=True):
        for name, series in regrets.items():
            mean = series.mean((0, 1))
            axis.plot(
                np.arange(1, len(mean) + 1),
                mean,
                color=COLORS[name],
                linewidth=2.8 if name == OURS else 1.6,
                linestyle=":" if name == RANDOM else "-",
                zorder=3 if name == OURS else 2,
                label=name,
            )
        axis.set(yscale="log", xlabel="trainings", title=f"{quality} recipe")
        axis.set_xticks([1, *range(5, len(mean) + 1, 5)])
        axis.yaxis.set_major_locator(
            matplotlib.ticker.LogLocator(10, subs=(1.0, 2.0, 3.0, 5.0))
        )
        axis.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axis.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        axis.grid(color="#dddddd", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    tasks, seeds, _ = next(iter(results.values()))[OURS].shape
    axes[0][0].set_ylabel(f"mean normalized regret\n({tasks} tasks, {seeds} seeds)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2 * count, frameon=False
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)
