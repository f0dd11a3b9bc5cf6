"""How are stale running statistics cured?

By a plain average over some batches with the weights as they are: "PreciseBN" of Wu &
Johnson 2021 (arXiv:2105.07576, section 3), who find 1,000 to 10,000 samples enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

from paperstart._bn_layers import BatchNormLayer, find_batchnorm_layers

_UNTOUCHED = -1.0
"""A running var that no batch leaves behind."""


@torch.no_grad()
def recompute_bn_stats(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    forward: Callable[[Any], Any] | None = None,
) -> int:
    """Set each running mean and var to its plain average over ``batches``.

    Each batch weighs the same, as in ``torch.optim.swa_utils.update_bn``, so leave out
    a last, smaller one. Sums are kept in float64. Everything but the normalization
    layers is in eval mode meanwhile, without dropout, as it will be in evaluation.
    Weights stay, and modes and momentums are given back; on an error so are all running
    statistics. Layers that no batch reaches keep theirs. Each process of several
    averages over its own batches.

    Args:
        model: changed in place: ``running_mean``, ``running_var``, and
            ``num_batches_tracked``, which is the number of updates averaged.
        batches: of inputs; of a tuple or a list, the first. They are moved to the
            model's device.
        forward: what to call with each batch, as it is, in place of the model.

    Returns:
        The number of batches seen.

    Raises:
        ValueError: there is no batch.
    """
    averages = [_Average(layer) for layer in find_batchnorm_layers(model)]
    if not averages:
        return 0
    modes = {module: module.training for module in model.modules()}
    seen = 0
    try:
        model.eval()
        for batch in batches:
            for average in averages:
                average.start()
            _call(model, batch, averages[0].device, forward)
            for average in averages:
                average.add()
            seen += 1
        if seen == 0:
            raise ValueError(
                "There is no batch to compute running statistics from: `batches` is "
                "empty. Pass a loader, or an iterator that is not used up."
            )
    except BaseException:
        for average in averages:
            average.give_back()
        raise
    finally:
        for module, mode in modes.items():
            module.training = mode
    for average in averages:
        average.finish()
    return seen


class _Average:
    """One layer's average, and what the layer held before."""

    def __init__(self, layer: BatchNormLayer) -> None:
        self._module = layer.module
        self._momentum = layer.module.momentum
        buffers = layer.module._buffers
        self._own = {k: t for k, t in buffers.items() if t is not None}
        self._values = {kind: tensor.clone() for kind, tensor in self._own.items()}
        self._sums = [
            torch.zeros_like(self._own[kind], dtype=torch.float64)
            for kind in ("running_mean", "running_var")
        ]
        self._batches = self._updates = 0

    @property
    def device(self) -> torch.device:
        """Where the layer is."""
        return self._own["running_mean"].device

    def start(self) -> None:
        """Make the layer average over the calls of one batch alone."""
        self._module.train()
        # Instance norm takes no average: its last call counts.
        is_instance = isinstance(self._module, _InstanceNorm)
        self._module.momentum = 1.0 if is_instance else None
        buffers: Any = self._module._buffers
        buffers["running_mean"].zero_()
        buffers["running_var"].fill_(_UNTOUCHED)
        if buffers.get("num_batches_tracked") is not None:
            buffers["num_batches_tracked"].zero_()

    def add(self) -> None:
        """Add what the batch has left, if it reached the layer."""
        buffers: Any = self._module._buffers
        mean, var = buffers["running_mean"], buffers["running_var"]
        if bool((var == _UNTOUCHED).all()):
            return
        for total, value in zip(self._sums, (mean, var), strict=True):
            total += value.double()
        counted = buffers.get("num_batches_tracked")
        self._updates += 0 if counted is None else int(counted)
        self._batches += 1

    def finish(self) -> None:
        """Leave the average in the layer."""
        self.give_back()
        if self._batches == 0:
            return
        mean, var = (total / self._batches for total in self._sums)
        self._own["running_mean"].copy_(mean)
        self._own["running_var"].copy_(var)
        if "num_batches_tracked" in self._own:
            self._own["num_batches_tracked"].fill_(self._updates)

    def give_back(self) -> None:
        """Leave the layer as it was; also where its own forward replaces buffers."""
        self._module.momentum = self._momentum
        for kind, tensor in self._own.items():
            self._module._buffers[kind] = tensor.copy_(self._values[kind])


def _call(
    model: nn.Module,
    batch: Any,
    device: torch.device,
    forward: Callable[[Any], Any] | None,
) -> None:
    if forward is not None:
        forward(batch)
        return
    inputs = batch[0] if isinstance(batch, (tuple, list)) else batch
    model(inputs.to(device) if isinstance(inputs, torch.Tensor) else inputs)
