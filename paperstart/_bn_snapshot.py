"""What do batch-norm layers hold at one moment, as plain numbers on the host?"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from paperstart._bn_layers import TENSORS, BatchNormLayer

Array = npt.NDArray[np.floating[Any]]
Parts = dict[str, dict[int, npt.NDArray[Any]]]
"""For each kind of tensor, the values of each layer that has it."""


SETTINGS = ("momentum", "eps", "is_training", "is_tracking", "is_learning", "rounding")
"""How a layer is set at one moment, as the columns of that name say."""
Modes = tuple[float | None, float, bool, bool]
"""The first four of one layer, which a training may change at any step."""
_ROUNDING = {
    dtype: torch.finfo(dtype).eps / 2
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
}
_modes = operator.attrgetter("momentum", "eps", "training", "track_running_stats")


@dataclass(frozen=True)
class BatchNormSnapshot:
    """Flat copies of what the layers hold at one moment, in 32 bits or more.

    Attributes:
        mean: running means of all layers, shape (channels,).
        var: running vars, shape (channels,).
        weight: scales, shape (channels,); 1 where a layer has none.
        bias: shifts, shape (channels,); 0 where a layer has none.
        batches: updates so far, shape (layers,); -1 where they were not read.
        settings: `SETTINGS` of the layers, shape (layers, 6).
    """

    mean: Array
    var: Array
    weight: Array
    bias: Array
    batches: npt.NDArray[np.int64]
    settings: Array


def take_snapshot(layers: Sequence[BatchNormLayer]) -> BatchNormSnapshot:
    """Copy what the layers hold now to the host; the model is not changed.

    Waits for a GPU once for each kind of tensor; `BatchNormMonitor` does not wait.
    """
    parts: dict[str, dict[int, npt.NDArray[Any]]] = {}
    for kind in TENSORS:
        found = {i: layer.tensor(kind) for i, layer in enumerate(layers)}
        parts[kind] = _to_host({i: t for i, t in found.items() if t is not None})
    modes, learning = read_modes(layers), read_learning(layers)
    means = [layer.tensor("running_mean") for layer in layers]
    dtypes = [torch.float32 if mean is None else mean.dtype for mean in means]
    return from_parts(layers, parts, settings_of(modes, learning, dtypes))


def read_modes(layers: Sequence[BatchNormLayer]) -> list[Modes]:
    """How each layer is set now, but for what `read_learning` looks at."""
    return [_modes(layer.module) for layer in layers]


def read_learning(layers: Sequence[BatchNormLayer]) -> list[bool | None]:
    """Whether scale or shift of each layer learn; ``None`` where there is neither."""
    found = []
    for layer in layers:
        affine = [layer.module._parameters.get(kind) for kind in ("weight", "bias")]
        learning = [tensor.requires_grad for tensor in affine if tensor is not None]
        found.append(any(learning) if learning else None)
    return found


def settings_of(
    modes: Sequence[Modes],
    learning: Sequence[bool | None],
    dtypes: Sequence[torch.dtype],
) -> Array:
    """`SETTINGS` of each layer, shape (layers, 6), from their parts."""
    rounding = [_ROUNDING.get(dtype, 0.0) for dtype in dtypes]
    rows = [
        [*mode, learns, digits]
        for mode, learns, digits in zip(modes, learning, rounding, strict=True)
    ]
    return np.array(rows, float).reshape(len(rows), len(SETTINGS))


def from_parts(
    layers: Sequence[BatchNormLayer], parts: Parts, settings: Array
) -> BatchNormSnapshot:
    """The snapshot of what was copied; kinds that were not copied are taken as absent.

    Layers without num_batches_tracked count 0 updates, as instance norm does.
    """

    def flat(kind: str, absent: float) -> Array:
        have = parts.get(kind, {})
        values = [
            have[i] if i in have else np.full(layer.channels, absent, np.float32)
            for i, layer in enumerate(layers)
        ]
        return np.concatenate(values) if values else np.empty(0, np.float32)

    counts = parts.get("num_batches_tracked", {})
    batches = [int(counts[i].item()) if i in counts else 0 for i in range(len(layers))]
    return BatchNormSnapshot(
        mean=flat("running_mean", np.nan),
        var=flat("running_var", np.nan),
        weight=flat("weight", 1.0),
        bias=flat("bias", 0.0),
        batches=np.array(batches, np.int64),
        settings=settings,
    )


def _to_host(tensors: Mapping[int, torch.Tensor]) -> dict[int, npt.NDArray[Any]]:
    """One copy for each device and dtype, cut into the layers' shares again."""
    groups: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for i, tensor in tensors.items():
        groups.setdefault((tensor.device, tensor.dtype), []).append(i)
    values: dict[int, npt.NDArray[Any]] = {}
    for members in groups.values():
        flat = torch.cat([tensors[i].detach().reshape(-1) for i in members])
        if flat.is_floating_point():  # bfloat16 has no numpy type; 32 bits hold it
            flat = flat.to(torch.promote_types(flat.dtype, torch.float32))
        host, stop = np.array(flat.cpu().numpy()), 0
        for i in members:
            start, stop = stop, stop + tensors[i].numel()
            values[i] = host[start:stop]
    return values
