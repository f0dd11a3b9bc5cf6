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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

Array = npt.NDArray[np.floating[Any]]

NEAR_ZERO_WEIGHT = 1e-2
DEAD_SIGMAS = 3.0
"""A channel is dead if ReLU passes less than what lies 3 sigma out: 0.13 %."""

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


@dataclass(frozen=True)
class BatchNormLayer:
    """One layer whose running statistics are watched.

    Attributes:
        name: the module's name in the model.
        channels: number of channels.
        eps: added to the variance.
        momentum: weight of the new batch; ``None`` for the plain average.
        counts: whether ``num_batches_tracked`` counts updates (instance norm does not).
        buffers: the module's own dict of buffers. The dict, not its tensors: casting
            or loading a model replaces the tensors and keeps the dict.
        parameters: likewise for scale and shift.
    """

    name: str
    channels: int
    eps: float
    momentum: float | None
    counts: bool
    buffers: Mapping[str, torch.Tensor | None]
    parameters: Mapping[str, torch.Tensor | None]


@dataclass(frozen=True)
class BatchNormSnapshot:
    """Flat copies of what the layers hold at one moment.

    Attributes:
        mean: running means of all layers, shape (channels,).
        var: running vars, shape (channels,).
        weight: scales, shape (channels,); 1 where a layer has none.
        bias: shifts, shape (channels,); 0 where a layer has none.
        batches: updates so far, shape (layers,).
    """

    mean: Array
    var: Array
    weight: Array
    bias: Array
    batches: npt.NDArray[np.int64]


def find_batchnorm_layers(module: nn.Module) -> list[BatchNormLayer]:
    """The normalization layers with running statistics, in module order.

    Batch norm in every dimension, its synchronized form and subclasses, and instance
    norm with tracking. Layers without buffers, or whose lazy buffers have no size yet,
    are left out.
    """
    layers = []
    for name, child in module.named_modules():
        if not isinstance(child, _NormBase):
            continue
        mean = child._buffers.get("running_mean")
        if mean is None or isinstance(mean, nn.UninitializedBuffer):
            continue
        layers.append(
            BatchNormLayer(
                name=_clean(name),
                channels=mean.numel(),
                eps=child.eps,
                momentum=child.momentum,
                counts=isinstance(child, _BatchNorm),
                buffers=child._buffers,
                parameters=child._parameters,
            )
        )
    return layers


def take_snapshot(layers: Sequence[BatchNormLayer]) -> BatchNormSnapshot:
    """Copy what the layers hold now to the host; the model is not changed.

    On a GPU this waits for the step to finish.
    """
    return BatchNormSnapshot(
        mean=_flat([layer.buffers["running_mean"] for layer in layers]),
        var=_flat([layer.buffers["running_var"] for layer in layers]),
        weight=_affine(layers, "weight", 1.0),
        bias=_affine(layers, "bias", 0.0),
        batches=np.array([_batches(layer) for layer in layers], np.int64),
    )


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
    sizes = np.array([layer.channels for layer in layers])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    eps = np.repeat([layer.eps for layer in layers], sizes)
    updates = _updates(before, after, layers)
    share = np.array(
        [
            _share(layer.momentum, int(k), int(n))
            for layer, k, n in zip(layers, updates, after.batches, strict=True)
        ]
    )
    a = np.repeat(share, sizes)

    def mean(values: Array) -> Array:
        return np.asarray(np.add.reduceat(values, starts) / sizes)

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        sigma2 = before.var + eps
        # Differences of near values are exact, so only the layer's own rounding stays.
        z = (after.mean - before.mean) / a / np.sqrt(sigma2)
        rho2 = np.maximum(1 + (after.var - before.var) / (a * sigma2), 0)
        shift2 = mean(z**2)
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
            "mean_shift_rms": np.sqrt(shift2),
            "var_log_ratio": mean(np.abs(np.log(rho2))),
            "train_eval_gap": np.sqrt(mean(z**2 + (np.sqrt(rho2) - 1) ** 2)),
            # The mean of n samples lies 1/sqrt(n) from the running mean, which itself
            # still moves by m/(2-m) of that.
            "effective_sample_size": 2 / ((2 - share) * shift2),
            "updates_per_step": updates.astype(float),
            "nonfinite_count": np.add.reduceat(1.0 * ~finite, starts),
        }


def batchnorm_summary(
    statistics: Mapping[str, Array], layers: Sequence[BatchNormLayer]
) -> dict[str, float]:
    """At most 14 numbers of one step for a tracker; what is not finite is left out.

    Fractions are over all channels of the model; ``_max`` is over its layers.
    """
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


def _clean(name: str) -> str:
    """The name as the user wrote it, without what wrappers put into it."""
    return name.replace("_orig_mod.", "").removeprefix("module.") or "(the model)"


def _flat(tensors: Sequence[torch.Tensor | None]) -> Array:
    """One host copy of all tensors, in 32 bits or more."""
    parts = [t.detach().reshape(-1) for t in tensors if t is not None]
    devices = {part.device for part in parts}
    if len(devices) > 1:  # a model on several devices: one copy for each layer
        parts = [part.cpu() for part in parts]
    # bfloat16 has no numpy type; 32 bits hold all of it.
    wide = [p.to(torch.promote_types(p.dtype, torch.float32)) for p in parts]
    flat = torch.cat(wide)
    return np.array(flat.cpu().numpy())


def _affine(layers: Sequence[BatchNormLayer], name: str, absent: float) -> Array:
    tensors = []
    for layer in layers:
        tensor = layer.parameters.get(name)
        if tensor is None or tensor.numel() != layer.channels:
            # No affine pair, or a shard of one: it says nothing about its channels.
            device = layer.buffers["running_mean"].device  # type: ignore[union-attr]
            tensor = torch.full((layer.channels,), absent, device=device)
        tensors.append(tensor)
    return _flat(tensors)


def _batches(layer: BatchNormLayer) -> int:
    counted = layer.buffers.get("num_batches_tracked")
    return 0 if counted is None else int(counted)


def _updates(
    before: BatchNormSnapshot,
    after: BatchNormSnapshot,
    layers: Sequence[BatchNormLayer],
) -> npt.NDArray[np.int64]:
    """Updates of each layer between two snapshots."""
    updates = after.batches - before.batches
    start = 0
    for i, layer in enumerate(layers):
        stop = start + layer.channels
        if not layer.counts:  # instance norm never counts; see whether it moved
            moved = not np.array_equal(before.mean[start:stop], after.mean[start:stop])
            updates[i] = int(moved)
        start = stop
    return updates


def _share(momentum: float | None, updates: int, batches: int) -> float:
    """How much of the step's batch is in the running statistics, in (0, 1], or NaN."""
    if updates <= 0:
        return float("nan")
    if momentum is None:  # the plain average over all batches
        return updates / batches if batches else float("nan")
    return 1.0 - (1.0 - momentum) ** updates or float("nan")


def _finite(reduce: Any, values: Array) -> float:
    kept = values[np.isfinite(values)]
    return float(reduce(kept)) if kept.size else float("nan")
