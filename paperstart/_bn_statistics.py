"""What happened to the batch-norm layers in one training step?

Two snapshots of the running buffers, one before and one after a step, give back the
statistics of that step's batch exactly, because the update is known:
``new = old + a * (batch - old)``. Plain numpy: no torch, no clock, no files.

Sources: Ioffe & Szegedy 2015 (arXiv:1502.03167) for the running statistics; Wu &
Johnson 2021 (arXiv:2105.07576) for why they differ from the batch's; Liu et al. 2017
(arXiv:1708.06519) for scales near zero. The thresholds are our own choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paperstart._bn_columns import COLUMNS, DEAD_SIGMAS, NEAR_ZERO_WEIGHT
from paperstart._bn_drift import Drift, next_drift, start_drift
from paperstart._bn_layers import BatchNormLayer
from paperstart._bn_snapshot import SETTINGS, Array, BatchNormSnapshot

WARM_UPDATES = 50
"""Updates until a layer's start is forgotten and its lags are averaged anew: with
torch's usual momentum of 0.1 the initial value then weighs 0.5 %."""
MOST_ROUNDING = 1e-2
"""Where the buffers' own rounding moves what is recovered by more sigmas than this, as
in bfloat16, columns that compare batch and running statistics are NaN."""


@dataclass(frozen=True, eq=False)
class BatchNormStatistics(Mapping[str, Array]):
    """One step of the layer x step table: a mapping of its `COLUMNS`.

    Attributes:
        step: the step's number, as it was given.
        layers: names of the layers.
        channels: their numbers of channels.
        columns: `COLUMNS`, each with an array of shape (layers,).
        mean_drift, var_drift: what the next step's lag is averaged with.
    """

    step: int
    layers: tuple[str, ...]
    channels: tuple[int, ...]
    columns: Mapping[str, Array]
    mean_drift: Drift
    var_drift: Drift

    def __getitem__(self, column: str) -> Array:
        """One column, shape (layers,)."""
        return self.columns[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


def batchnorm_statistics(
    before: BatchNormSnapshot,
    after: BatchNormSnapshot,
    layers: Sequence[BatchNormLayer],
    *,
    step: int = 0,
    earlier: BatchNormStatistics | None = None,
) -> BatchNormStatistics:
    """What happened in one training step, one number per layer and column.

    Args:
        before: taken before the forward pass.
        after: taken after the step.
        layers: the layers of both snapshots.
        step: the step's number.
        earlier: the statistics of the step that was looked at before this one; the
            lags are averaged over such a chain, and NaN for its first two, and again
            once the layer is warm (50 updates).

    Returns:
        `COLUMNS` with arrays of shape (layers,). Columns that compare the batch with
        the running statistics are NaN for a layer that was not updated.
    """
    names = tuple(layer.name for layer in layers)
    channels = tuple(layer.channels for layer in layers)
    chain = None if earlier is None or earlier.channels != channels else earlier
    drifts = (start_drift(sum(channels), len(channels)),) * 2
    if chain is not None and chain.layers == names:
        drifts = (chain.mean_drift, chain.var_drift)
    if not layers:
        empty = {name: np.empty(0) for name in COLUMNS}
        return BatchNormStatistics(step, names, channels, empty, *drifts)
    by_layer = _ByLayer(channels)
    updates = _updates(before, after, by_layer)
    share = _share(after, updates)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shift, stretch = _moved(before, after, by_layer, share)
        anew = _is_warm(after.batches, chain)
        drifts = tuple(  # type: ignore[assignment]
            next_drift(drift, distance, by_layer.mean, by_layer.sizes, anew)
            for drift, distance in zip(drifts, (shift, stretch), strict=True)
        )
        columns = _held(after, by_layer) | _compared(shift, stretch, share, by_layer)
        columns["running_mean_lag"] = drifts[0].lag(by_layer.mean)
        columns["running_var_lag"] = drifts[1].lag(by_layer.mean)
    columns["updates_per_step"] = updates
    columns["num_batches_tracked"] = after.batches.astype(float)
    columns["is_zero_init"] = np.array([layer.is_zero_init for layer in layers], float)
    columns |= zip(SETTINGS, after.settings.T, strict=True)
    ordered = {name: columns[name] for name in COLUMNS}
    return BatchNormStatistics(step, names, channels, ordered, *drifts)


def batch_mean_and_var(
    before: BatchNormSnapshot,
    after: BatchNormSnapshot,
    layers: Sequence[BatchNormLayer],
) -> tuple[Array, Array]:
    """The step's batch itself: mean and unbiased variance, each of shape (channels,).

    NaN for layers that were not updated. The error is about the rounding of the
    running buffers (6e-8 of their value in float32) divided by the momentum.
    """
    by_layer = _ByLayer([layer.channels for layer in layers])
    share = np.repeat(_share(after, _updates(before, after, by_layer)), by_layer.sizes)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = before.mean + _difference(after.mean, before.mean) / share
        var = before.var + _difference(after.var, before.var) / share
    return mean, np.maximum(var, 0)


class _ByLayer:
    """Reductions over each layer's channels in a flat array."""

    def __init__(self, channels: Sequence[int]) -> None:
        self.sizes = np.array(channels, np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]]).astype(np.int64)

    def mean(self, values: Array) -> Array:
        return np.asarray(np.add.reduceat(values, self.starts) / self.sizes)

    def min(self, values: Array) -> Array:
        return np.asarray(np.minimum.reduceat(values, self.starts))

    def max(self, values: Array) -> Array:
        return np.asarray(np.maximum.reduceat(values, self.starts))


def _is_warm(
    batches: npt.NDArray[np.int64], earlier: BatchNormStatistics | None
) -> npt.NDArray[np.bool_]:
    """Which layers have just had `WARM_UPDATES`: what was before is not their lag."""
    if earlier is None:
        return np.zeros(len(batches), bool)
    return (batches >= WARM_UPDATES) & (earlier["num_batches_tracked"] < WARM_UPDATES)


def _difference(new: Array, old: Array) -> Array:
    # Of near values it is exact, so only the layer's own rounding stays.
    return new.astype(float) - old


def _moved(
    before: BatchNormSnapshot,
    after: BatchNormSnapshot,
    by_layer: _ByLayer,
    share: Array,
) -> tuple[Array, Array]:
    """How far the batch lay from the running statistics, in sigmas, per channel.

    The shift of its mean, and its sigma less one.
    """
    eps = after.settings[:, SETTINGS.index("eps")]
    sigma2 = before.var + np.repeat(eps, by_layer.sizes)
    by_share = np.repeat(share, by_layer.sizes)
    shift = _difference(after.mean, before.mean) / (by_share * np.sqrt(sigma2))
    ratio2 = 1 + _difference(after.var, before.var) / (by_share * sigma2)
    return shift, np.sqrt(np.maximum(ratio2, 0)) - 1


def _compared(
    shift: Array, stretch: Array, share: Array, by_layer: _ByLayer
) -> dict[str, Array]:
    """The columns that compare the batch with the running statistics."""
    shift2 = by_layer.mean(shift**2)
    return {
        "mean_shift_rms": np.sqrt(shift2),
        "var_log_ratio": 2 * by_layer.mean(np.abs(np.log1p(stretch))),
        "train_eval_gap": np.sqrt(shift2 + by_layer.mean(stretch**2)),
        # The mean of n samples lies 1/sqrt(n) from the running mean, which itself
        # still moves by m/(2-m) of that.
        "effective_sample_size": 2 / ((2 - share) * shift2),
    }


def _held(after: BatchNormSnapshot, by_layer: _ByLayer) -> dict[str, Array]:
    """The columns that say what a layer holds."""
    mean = by_layer.mean
    eps = np.repeat(after.settings[:, SETTINGS.index("eps")], by_layer.sizes)
    center, weight = np.abs(after.mean), np.abs(after.weight)
    finite = np.isfinite(after.mean) & np.isfinite(after.var)
    finite &= np.isfinite(after.weight) & np.isfinite(after.bias)
    return {
        "running_mean_abs_mean": mean(center),
        "running_mean_abs_max": by_layer.max(center),
        "running_var_min": by_layer.min(after.var),
        "running_var_gmean": np.exp(mean(np.log(after.var))),
        "running_var_max": by_layer.max(after.var),
        "weight_abs_mean": mean(weight),
        "weight_abs_min": by_layer.min(weight),
        "weight_abs_max": by_layer.max(weight),
        "bias_mean": mean(after.bias),
        "near_zero_weight_fraction": mean(1.0 * (weight < NEAR_ZERO_WEIGHT)),
        "dead_fraction": mean(1.0 * (after.bias + DEAD_SIGMAS * weight < 0)),
        "low_variance_fraction": mean(1.0 * (after.var < eps)),
        "nonfinite_count": np.add.reduceat(1.0 * ~finite, by_layer.starts),
    }


def _updates(
    before: BatchNormSnapshot, after: BatchNormSnapshot, by_layer: _ByLayer
) -> Array:
    """Updates of each layer between two snapshots; NaN where they were not read."""
    updates = (after.batches - before.batches).astype(float)
    for i in np.flatnonzero(updates == 0):
        # Instance norm never counts: see whether it moved.
        start = by_layer.starts[i]
        part = slice(start, start + by_layer.sizes[i])
        still = np.array_equal(before.mean[part], after.mean[part], equal_nan=True)
        updates[i] = not still
    return np.where(after.batches < 0, np.nan, updates)


def _share(after: BatchNormSnapshot, updates: Array) -> Array:
    """How much of the step's batch is in the running statistics, in (0, 1], or NaN."""
    settings = dict(zip(SETTINGS, after.settings.T, strict=True))
    momentum, rounding = settings["momentum"], settings["rounding"]
    with np.errstate(divide="ignore", invalid="ignore"):
        averaged = updates / after.batches  # the plain average over all batches
        share = np.where(
            np.isnan(momentum), averaged, 1.0 - (1.0 - momentum) ** updates
        )
        known = (updates > 0) & (rounding < MOST_ROUNDING * share)
    return np.where(known & np.isfinite(share), share, np.nan)
