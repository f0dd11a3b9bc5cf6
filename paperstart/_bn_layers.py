"""What do batch-norm layers hold at one moment?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parallel import DataParallel, DistributedDataParallel

Array = npt.NDArray[np.floating[Any]]

_WRAPPERS = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}


@dataclass(frozen=True)
class BatchNormLayer:
    """One layer whose running statistics are watched.

    Attributes:
        name: the module's name in the model.
        channels: number of channels.
        eps: added to the variance.
        momentum: weight of the new batch; ``None`` for the plain average.
        buffers: the module's own dict of buffers. The dict, not its tensors: casting
            or loading a model replaces the tensors and keeps the dict.
        parameters: likewise for scale and shift.
    """

    name: str
    channels: int
    eps: float
    momentum: float | None
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
    if isinstance(module, (DataParallel, DistributedDataParallel)):
        module = module.module
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
                buffers=child._buffers,
                parameters=child._parameters,
            )
        )
    return layers


def take_snapshot(layers: Sequence[BatchNormLayer]) -> BatchNormSnapshot:
    """Copy what the layers hold now to the host; the model is not changed.

    On a GPU this waits for the step to finish, and once more for each layer's count
    of updates.
    """
    return BatchNormSnapshot(
        mean=_flat([layer.buffers["running_mean"] for layer in layers]),
        var=_flat([layer.buffers["running_var"] for layer in layers]),
        weight=_affine(layers, "weight", 1.0),
        bias=_affine(layers, "bias", 0.0),
        batches=np.array([_batches(layer) for layer in layers], np.int64),
    )


def _clean(name: str) -> str:
    """The name as the user wrote it, without what wrappers put into it."""
    parts = [part for part in name.split(".") if part not in _WRAPPERS]
    return ".".join(parts) or "(the model)"


def _flat(tensors: Sequence[torch.Tensor | None]) -> Array:
    """One host copy of all tensors, in 32 bits or more."""
    if not tensors:
        return np.empty(0, np.float32)
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
