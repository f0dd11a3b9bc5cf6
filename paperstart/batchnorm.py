"""What do the running statistics of batch-norm layers say?

Pure functions: no Lightning, no MLflow, no hooks on the model. Two snapshots of the
running buffers, one before and one after the forward pass of a step, give back the
statistics of that batch exactly, because the update is known:
``new = old + a * (batch - old)``.

Sources: Ioffe & Szegedy 2015 (arXiv:1502.03167) for the running statistics; Wu &
Johnson 2021 (arXiv:2105.07576) for why they differ from the batch's; Liu et al. 2017
(arXiv:1708.06519) for scales near zero. The thresholds below are our own choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from paperstart._bn_layers import (
    Array,
    BatchNormLayer,
    BatchNormSnapshot,
    find_batchnorm_layers,
    take_snapshot,
)

__all__ = [
    "COLUMNS",
    "Array",
    "BatchNormLayer",
    "BatchNormSnapshot",
    "batchnorm_statistics",
    "batchnorm_summary",
    "find_batchnorm_layers",
    "take_snapshot",
]

NEAR_ZERO_WEIGHT = 1e-2
DEAD_SIGMAS = 3.0
"""A channel is dead if ReLU passes less than what lies 3 sigma out: 0.13 %."""
MOST_ROUNDING = 1e-2
"""Where the buffers' own rounding moves what is recovered by more sigmas than this, as
in bfloat16, columns that compare batch and running statistics are NaN."""

COLUMNS: dict[str, str] = {
    "train_eval_gap": "scale; rms difference of train-mode and eval-mode output",
    "mean_shift_rms": "sigma; rms of (batch mean - running mean) / sigma",
    "var_log_ratio": "nat; mean |ln(batch var / running var)|",
    "effective_sample_size": "samples; independent samples per channel and batch",
    "dead_fraction": "fraction of channels with shift + 3 |scale| < 0",
    "near_zero_weight_fraction": "fraction of channels with |scale| < 0.01",
    "low_variance_fraction": "fraction of channels with running var < eps",
    "nonfinite_count": "count; channels with a value that is not finite",
    "updates_per_step": "count; updates of the running statistics in this step",
    "running_mean_abs_mean": "activation; mean over channels of |running mean|",
    "running_mean_abs_max": "activation; largest |running mean|",
    "running_var_min": "activation^2; smallest running var",
    "running_var_gmean": "activation^2; geometric mean of the running vars",
    "running_var_max": "activation^2; largest running var",
    "weight_abs_mean": "1; mean |scale|",
    "weight_abs_min": "1; smallest |scale|",
    "weight_abs_max": "1; largest |scale|",
    "bias_mean": "activation; mean shift",
}
"""The columns of the layer x step table, with their units."""


def batchnorm_statistics(
    before: BatchNormSnapshot,
    after: BatchNormSnapshot,
    layers: Sequence[BatchNormLayer],
) -> dict[str, Array]:
    """What happened in one training step, one number per layer and column.

    Args:
        before: taken before the forward pass.
        after: taken after the step.
        layers: the layers of both snapshots.

    Returns:
        `COLUMNS` with arrays of shape (layers,). Columns that compare the batch with
        the running statistics are NaN for a layer that was not updated.
    """
    if not layers:
        return {name: np.empty(0) for name in COLUMNS}
    updates = _updates(before, after, layers)
    counts = zip(layers, updates.tolist(), after.batches.tolist(), strict=True)
    share = np.array([_share(layer, k, n) for layer, k, n in counts])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        columns = _held(after, layers) | _moved(before, after, layers, share)
    columns["updates_per_step"] = updates.astype(float)
    return {name: columns[name] for name in COLUMNS}


def batchnorm_summary(
    statistics: Mapping[str, Array], layers: Sequence[BatchNormLayer]
) -> dict[str, float]:
    """At most 14 numbers of one step for a tracker; what is not finite is left out.

    Fractions are over all channels of the model; ``_max`` is over its layers.
    """
    if not layers:
        return {}
    sizes = np.array([layer.channels for layer in layers], float)
    column = statistics.__getitem__

    def overall(name: str) -> float:
        return float(np.sum(column(name) * sizes) / np.sum(sizes))

    values = {
        "train_eval_gap_max": _finite(np.max, column("train_eval_gap")),
        "train_eval_gap_mean": _finite(np.mean, column("train_eval_gap")),
        "mean_shift_rms_max": _finite(np.max, column("mean_shift_rms")),
        "var_log_ratio_max": _finite(np.max, column("var_log_ratio")),
        "effective_sample_size_min": _finite(np.min, column("effective_sample_size")),
        "dead_fraction": overall("dead_fraction"),
        "dead_fraction_max": _finite(np.max, column("dead_fraction")),
        "near_zero_weight_fraction": overall("near_zero_weight_fraction"),
        "low_variance_fraction": overall("low_variance_fraction"),
        "running_var_min": _finite(np.min, column("running_var_min")),
        "running_var_max": _finite(np.max, column("running_var_max")),
        "weight_abs_mean": overall("weight_abs_mean"),
        "nonfinite_count": float(np.sum(column("nonfinite_count"))),
        "updates_per_step_max": float(np.max(column("updates_per_step"))),
    }
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _held(
    after: BatchNormSnapshot, layers: Sequence[BatchNormLayer]
) -> dict[str, Array]:
    """The columns that say what a layer holds."""
    mean, starts, sizes = _by_layer(layers)
    eps = np.repeat([layer.eps for layer in layers], sizes)
    weight = np.abs(after.weight)
    finite = np.isfinite(after.mean) & np.isfinite(after.var)
    finite &= np.isfinite(after.weight) & np.isfinite(after.bias)
    return {
        "running_mean_abs_mean": mean(np.abs(after.mean)),
        "running_mean_abs_max": np.maximum.reduceat(np.abs(after.mean), starts),
        "running_var_min": np.minimum.reduceat(after.var, starts),
        "running_var_gmean": np.exp(mean(np.log(after.var))),
        "running_var_max": np.maximum.reduceat(after.var, starts),
        "weight_abs_mean": mean(weight),
        "weight_abs_min": np.minimum.reduceat(weight, starts),
        "weight_abs_max": np.maximum.reduceat(weight, starts),
        "bias_mean": mean(after.bias),
        "near_zero_weight_fraction": mean(1.0 * (weight < NEAR_ZERO_WEIGHT)),
        "dead_fraction": mean(1.0 * (after.bias + DEAD_SIGMAS * weight < 0)),
        "low_variance_fraction": mean(1.0 * (after.var < eps)),
        "nonfinite_count": np.add.reduceat(1.0 * ~finite, starts),
    }


def _moved(
    before: BatchNormSnapshot,
    after: BatchNormSnapshot,
    layers: Sequence[BatchNormLayer],
    share: Array,
) -> dict[str, Array]:
    """The columns that compare the batch with the running statistics."""
    mean, _, sizes = _by_layer(layers)
    a = np.repeat(share, sizes)
    sigma2 = before.var + np.repeat([layer.eps for layer in layers], sizes)
    # Differences of near values are exact, so only the layer's own rounding stays.
    z = (after.mean - before.mean) / a / np.sqrt(sigma2)
    rho2 = np.maximum(1 + (after.var - before.var) / (a * sigma2), 0)
    shift2 = mean(z**2)
    return {
        "mean_shift_rms": np.sqrt(shift2),
        "var_log_ratio": mean(np.abs(np.log(rho2))),
        "train_eval_gap": np.sqrt(mean(z**2 + (np.sqrt(rho2) - 1) ** 2)),
        # The mean of n samples lies 1/sqrt(n) from the running mean, which itself
        # still moves by m/(2-m) of that.
        "effective_sample_size": 2 / ((2 - share) * shift2),
    }


def _by_layer(
    layers: Sequence[BatchNormLayer],
) -> tuple[Callable[[Array], Array], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The mean over each layer's channels, where layers start, and their sizes."""
    sizes = np.array([layer.channels for layer in layers])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def mean(values: Array) -> Array:
        return np.asarray(np.add.reduceat(values, starts) / sizes)

    return mean, starts, sizes


def _updates(
    before: BatchNormSnapshot,
    after: BatchNormSnapshot,
    layers: Sequence[BatchNormLayer],
) -> npt.NDArray[np.int64]:
    """Updates of each layer between two snapshots."""
    updates = after.batches - before.batches
    stop = 0
    for i, layer in enumerate(layers):
        start, stop = stop, stop + layer.channels
        if updates[i] == 0:  # instance norm never counts: see whether it moved
            old, new = before.mean[start:stop], after.mean[start:stop]
            updates[i] = not np.array_equal(old, new, equal_nan=True)
    return updates


def _share(layer: BatchNormLayer, updates: int, batches: int) -> float:
    """How much of the step's batch is in the running statistics, in (0, 1], or NaN."""
    if updates <= 0:
        return float("nan")
    if layer.momentum is None:  # the plain average over all batches
        share = updates / batches if batches else 0.0
    else:
        share = 1.0 - (1.0 - layer.momentum) ** updates
    mean = layer.buffers["running_mean"]
    rounding = torch.finfo(mean.dtype).eps / 2 if mean is not None else 0.0
    return share if rounding < MOST_ROUNDING * share else float("nan")


def _finite(reduce: Any, values: Array) -> float:
    kept = values[np.isfinite(values)]
    return float(reduce(kept)) if kept.size else float("nan")
