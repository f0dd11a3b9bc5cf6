"""What is known of the batch-norm layers before the first step?"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from paperstart._bn_layers import BatchNormLayer, fixed_layers
from paperstart._bn_rules import half_life

_NAMES = 20
"""Layers that a fact names; of the others it says how many."""


class LayerFacts(NamedTuple):
    """One layer, as it is set when the run starts.

    Attributes:
        layer: name.
        kind: the module's class.
        channels: number of channels.
        momentum: weight of the new batch; ``None`` for the plain average.
        half_life_steps: updates until half of the running statistics is new; NaN for
            the plain average, whose half-life is as long as it has run.
        initial_value_steps: updates until the initial value weighs under 1 %.
        eps: what is added to the variance.
        buffer_dtype: of the running mean.
        is_synchronized: whether its batch is that of all devices (SyncBN).
        state: ``learns``; ``frozen`` if nothing moves; ``half-frozen`` if only the
            running statistics do; ``untracked`` if they do not, and training does not
            use them either.
    """

    layer: str
    kind: str
    channels: int
    momentum: float | None
    half_life_steps: float
    initial_value_steps: float
    eps: float
    buffer_dtype: str
    is_synchronized: bool
    state: str


def layer_facts(layers: Sequence[BatchNormLayer]) -> list[LayerFacts]:
    """The facts of each layer; no tensor's values are looked at."""
    return [
        LayerFacts(
            layer=layer.name,
            kind=type(layer.module).__name__,
            channels=layer.channels,
            momentum=layer.momentum,
            half_life_steps=_updates_until(0.5, layer.momentum),
            initial_value_steps=_whole(_updates_until(0.01, layer.momentum)),
            eps=layer.eps,
            buffer_dtype=_dtype(layer),
            is_synchronized=isinstance(layer.module, nn.SyncBatchNorm),
            state=_state(layer),
        )
        for layer in layers
    ]


def run_facts(module: nn.Module, facts: Sequence[LayerFacts]) -> dict[str, str]:
    """What a run is told once, by name; empty if the model has no batch norm.

    Of what differs between layers every value is named, the most frequent first.
    """
    fixed = fixed_layers(module)
    if not facts and not fixed:
        return {}
    frozen = [each.layer for each in facts if each.state == "frozen"] + fixed
    texts = {
        "layers": str(len(facts)),
        "channels": str(sum(each.channels for each in facts)),
        "momentum": _values([_momentum(f.momentum) for f in facts]),
        "half_life_steps": _values([f"{f.half_life_steps:.3g}" for f in facts]),
        "initial_value_steps": _values([f"{f.initial_value_steps:g}" for f in facts]),
        "buffer_dtype": _values([f.buffer_dtype for f in facts]),
        "sync": str(any(f.is_synchronized for f in facts)).lower(),
        "frozen_layers": _names(frozen),
        "half_frozen_layers": _names(_in_state(facts, "half-frozen")),
        "untracked_layers": _names(_in_state(facts, "untracked")),
    }
    return {name: text for name, text in texts.items() if text}


def write_facts(facts: Sequence[LayerFacts], folder: Path) -> Path:
    """Write ``layers.csv``, one line per layer."""
    path = folder / "layers.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(LayerFacts._fields)
        writer.writerows(facts)
    return path


def _updates_until(share: float, momentum: float | None) -> float:
    """Updates until what was there weighs ``share``."""
    if momentum is None:  # the first batch takes the initial value's place
        return 1.0 if share < 0.5 else math.nan
    return half_life(momentum) * math.log(share) / math.log(0.5)


def _momentum(momentum: float | None) -> str:
    return "none (plain average)" if momentum is None else f"{momentum:g}"


def _whole(updates: float) -> float:
    return float(math.ceil(updates)) if math.isfinite(updates) else updates


def _dtype(layer: BatchNormLayer) -> str:
    mean = layer.module._buffers["running_mean"]
    return "" if mean is None else str(mean.dtype).removeprefix("torch.")


def _state(layer: BatchNormLayer) -> str:
    module = layer.module
    affine: list[torch.Tensor | None] = [module.weight, module.bias]
    learns = any(tensor is not None and tensor.requires_grad for tensor in affine)
    has_affine = any(tensor is not None for tensor in affine)
    if not module.training:
        return "learns" if learns else "frozen"
    if not module.track_running_stats or module.momentum == 0:
        return "untracked"
    return "half-frozen" if has_affine and not learns else "learns"


def _in_state(facts: Sequence[LayerFacts], state: str) -> list[str]:
    return [each.layer for each in facts if each.state == state]


def _values(texts: Sequence[str]) -> str:
    distinct = sorted(set(texts), key=lambda text: (-texts.count(text), text))
    return ", ".join(distinct)


def _names(layers: Sequence[str]) -> str:
    named = ", ".join(layers[:_NAMES])
    more = len(layers) - _NAMES
    return f"{named} and {more} more" if more > 0 else named
