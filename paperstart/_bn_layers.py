"""Which batch-norm layers does a model have?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parallel import DataParallel, DistributedDataParallel

TENSORS = ("running_mean", "running_var", "num_batches_tracked", "weight", "bias")
"""What a layer holds; the first three move in a step, the others learn."""

_WRAPPERS = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}


@dataclass(frozen=True)
class BatchNormLayer:
    """One layer whose running statistics are watched.

    Attributes:
        name: the module's name in the model.
        channels: number of channels.
        is_zero_init: whether all scales were zero when the layer was found, as in the
            last layer of a residual branch; no ReLU stands behind it alone.
        module: the layer itself. Its tensors are asked for anew each time: casting or
            loading a model puts others in their place.
    """

    name: str
    channels: int
    is_zero_init: bool
    module: _NormBase

    @property
    def momentum(self) -> float | None:
        """Weight of the new batch; ``None`` for the plain average over all batches."""
        return self.module.momentum

    @property
    def eps(self) -> float:
        """What is added to the variance."""
        return self.module.eps

    def tensor(self, kind: str) -> torch.Tensor | None:
        """One of `TENSORS`, or ``None`` if the layer has none, or a shard of it."""
        home = self.module._buffers if kind in TENSORS[:3] else self.module._parameters
        tensor = home.get(kind)
        if tensor is None or hasattr(tensor, "to_local"):  # a DTensor, as of FSDP2
            return None
        size = 1 if kind == "num_batches_tracked" else self.channels
        return tensor if tensor.numel() == size and tensor.dim() < 2 else None


def find_batchnorm_layers(
    module: nn.Module, known: Sequence[BatchNormLayer] = ()
) -> list[BatchNormLayer]:
    """The normalization layers with running statistics, in module order.

    Batch norm in every dimension, its synchronized form and subclasses, and instance
    norm with tracking. Layers without buffers, or whose lazy buffers have no size yet,
    are left out. Module order is forward order where a model defines its layers in the
    order in which it calls them; the model is not run to find out. Waits for a GPU
    once for each layer that is not among the ``known``.
    """
    earlier = {(layer.name, layer.channels): layer for layer in known}
    layers = []
    for name, child in _named_modules(module):
        if not isinstance(child, _NormBase):
            continue
        mean = child._buffers.get("running_mean")
        if mean is None or isinstance(mean, nn.UninitializedBuffer):
            continue
        same = earlier.get((_clean(name), mean.numel()))
        if same is None or same.module is not child:
            is_zero = _is_zero(child._parameters.get("weight"))
            same = BatchNormLayer(_clean(name), mean.numel(), is_zero, child)
        layers.append(same)
    return layers


def fixed_layers(module: nn.Module) -> list[str]:
    """Names of layers that hold their statistics for good, as detection models use.

    torchvision's and detectron2's ``FrozenBatchNorm2d`` are no batch norm to torch, and
    nothing in them ever moves.
    """
    return [
        _clean(name)
        for name, child in _named_modules(module)
        if type(child).__name__.startswith("FrozenBatchNorm")
    ]


def _is_zero(scale: torch.Tensor | None) -> bool:
    if scale is None or scale.is_meta or hasattr(scale, "fake_mode"):
        return False  # or there are no values to look at
    return not scale.detach().any().item()


def _named_modules(module: nn.Module) -> list[tuple[str, nn.Module]]:
    if isinstance(module, (DataParallel, DistributedDataParallel)):
        module = module.module
    return list(module.named_modules())


def _clean(name: str) -> str:
    """The name as the user wrote it, without what wrappers put into it."""
    parts = [part for part in name.split(".") if part not in _WRAPPERS]
    return ".".join(parts) or "(the model)"
