"""What is a fault of a batch-norm layer, and how is it said?

Each rule looks at one logged step. The thresholds are our own choice: healthy residual
networks on real images, with torch's momentum of 0.1, have hardly a dead channel, and
lag by less than 0.5 sigma at 50 updates and 0.2 at 150; with momentum 0.001 by over 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paperstart._bn_statistics import (
    MOST_ROUNDING,
    WARM_UPDATES,
    BatchNormStatistics,
)

DEAD_FRACTION = 0.05
DEAD_CHANNELS = 2
EARLY_UPDATES = 150
EARLY_STALE_LAG, STALE_LAG = 0.6, 0.3
"""Sigmas; before and after `EARLY_UPDATES`, while the network itself moves fast."""
SHORT_HALF_LIFE = 20
"""Updates; what has half forgotten its past after these is not slow itself."""
BFLOAT16_ROUNDING, FLOAT16_ROUNDING = 2.0**-8, 2.0**-11

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rule:
    """One kind of fault.

    Attributes:
        kind: its name.
        column: whose value is the alarm's figure; the largest is the worst.
        steps: how many logged steps in a row it takes.
        find: which layers of one step have it.
        words: the sentence, from the figure and the statistics of the worst layer.
    """

    kind: str
    column: str
    steps: int
    find: Callable[[BatchNormStatistics], Mask]
    words: Callable[[dict[str, float]], str]


def half_life(momentum: float) -> float:
    """Updates until half of the running statistics is new."""
    if momentum >= 1:
        return 0.0
    return math.log(0.5) / math.log1p(-momentum) if momentum > 0 else math.inf


def _nonfinite(facts: dict[str, float]) -> str:
    return (
        f"{facts['nonfinite_count']:.0f} of {facts['channels']} channels have a value "
        f"that is not finite since a step between {facts['since']} and "
        f"{facts['step']}. The running statistics never recover from it. Look at the "
        f"loss and the learning rate there, and go on from an earlier checkpoint."
    )


def _stale(facts: dict[str, float]) -> str:
    momentum, updates = facts["momentum"], facts["num_batches_tracked"]
    if math.isnan(momentum):
        cause = "momentum=None averages over all batches so far. Give it a number"
    elif half_life(momentum) > SHORT_HALF_LIFE:
        cause = (
            f"momentum {momentum:g} has a half-life of {half_life(momentum):.0f} "
            f"updates, of {updates:.0f} so far. Raise it"
        )
    else:
        cause = (
            f"the network changes faster than momentum {momentum:g} can follow (half-"
            f"life {half_life(momentum):.0f} updates). Lower the learning rate"
        )
    return (
        f"the running statistics are stale at step {facts['step']}: they trail the "
        f"batches by {_lag(facts):.2f} sigma, and evaluation uses them. Likely cause: "
        f"{cause}, or call recompute_bn_stats before evaluation."
    )


def _dead(facts: dict[str, float]) -> str:
    count = facts["dead_fraction"] * facts["channels"]
    return (
        f"{facts['dead_fraction']:.0%} of the channels ({count:.0f} of "
        f"{facts['channels']}) are dead at step {facts['step']}: "
        f"shift + 3 |scale| < 0, so "
        f"a ReLU passes next to nothing. Likely cause: a learning rate too high, or "
        f"weight decay on scales."
    )


def _tf_momentum(facts: dict[str, float]) -> str:
    momentum = facts["momentum"]
    return (
        f"momentum {momentum:g} weighs the new batch, so the running statistics "
        f"average over {half_life(momentum):.2f} updates. Likely cause: TensorFlow's "
        f"convention; its {momentum:g} is {1 - momentum:.4g} in torch."
    )


def _half_frozen(facts: dict[str, float]) -> str:
    return (
        f"half-frozen: scale and shift do not learn, and the running statistics still "
        f"move ({facts['updates_per_step']:.0f} updates at step {facts['step']}). "
        f"Likely cause: requires_grad=False without eval(). Call eval() on the layer "
        f"after each train()."
    )


def _untracked(facts: dict[str, float]) -> str:
    cause = "track_running_stats=False"
    if facts["is_tracking"] == 1:
        cause = "momentum=0"
    return (
        f"training normalizes by the batch, and evaluation by running statistics that "
        f"never move (at step {facts['step']}: {facts['updates_per_step']:.0f} "
        f"updates). Likely cause: {cause}. Call eval() on a layer that is to stay as "
        f"it is."
    )


def _repeated(facts: dict[str, float]) -> str:
    return (
        f"updated {facts['updates_per_step']:.0f} times a step at step "
        f"{facts['step']}. Likely cause: activation checkpointing runs the forward "
        f"pass again, or the layer is called several times. The momentum then acts as "
        f"{1 - (1 - facts['momentum']) ** facts['updates_per_step']:.3g}."
    )


def _low_precision(facts: dict[str, float]) -> str:
    momentum = facts["momentum"]
    return (
        f"the running statistics are kept to {facts['rounding']:.1%} only and stall: "
        f"an update with momentum {momentum:g} is lost where it is smaller. Likely "
        f"cause: the whole model was cast to bfloat16 or float16. Keep the buffers of "
        f"batch norm in float32, or use autocast."
    )


def _lag(facts: dict[str, float]) -> float:
    return math.hypot(facts["running_mean_lag"], facts["running_var_lag"])


def _is_dead(s: BatchNormStatistics) -> Mask:
    dead = s["dead_fraction"] * np.array(s.channels)
    found: Mask = (s["dead_fraction"] > DEAD_FRACTION) & (s["is_zero_init"] == 0)
    found &= dead > DEAD_CHANNELS - 0.5
    return found


def _is_stale(s: BatchNormStatistics) -> Mask:
    lag = np.hypot(s["running_mean_lag"], s["running_var_lag"])
    is_early = s["num_batches_tracked"] < EARLY_UPDATES
    found: Mask = lag > np.where(is_early, EARLY_STALE_LAG, STALE_LAG)
    found &= s["num_batches_tracked"] >= WARM_UPDATES
    return found


def _is_half_frozen(s: BatchNormStatistics) -> Mask:
    moves: Mask = (s["is_training"] == 1) & (s["updates_per_step"] > 0)
    moves &= (s["is_learning"] == 0) & (s["momentum"] != 0)
    return moves


def _is_untracked(s: BatchNormStatistics) -> Mask:
    fixed = (s["is_tracking"] == 0) | (s["momentum"] == 0)
    found: Mask = (s["is_training"] == 1) & fixed
    return found


def _is_low_precision(s: BatchNormStatistics) -> Mask:
    # bfloat16 keeps 8 bits; float16 keeps 11, which do for torch's usual momentum.
    coarse: Mask = s["rounding"] > BFLOAT16_ROUNDING / 2
    stalls = (s["rounding"] > FLOAT16_ROUNDING / 2) & (s["momentum"] > 0)
    return coarse | stalls & (s["rounding"] > MOST_ROUNDING * s["momentum"])


RULES = (
    Rule(
        "nonfinite",
        "nonfinite_count",
        1,
        lambda s: s["nonfinite_count"] > 0,
        _nonfinite,
    ),
    Rule("tf_momentum", "momentum", 1, lambda s: s["momentum"] > 0.5, _tf_momentum),
    Rule("low_precision", "rounding", 1, _is_low_precision, _low_precision),
    Rule("half_frozen", "updates_per_step", 1, _is_half_frozen, _half_frozen),
    Rule("untracked", "is_training", 1, _is_untracked, _untracked),
    Rule(
        "repeated",
        "updates_per_step",
        2,
        lambda s: s["updates_per_step"] > 1,
        _repeated,
    ),
    Rule("dead", "dead_fraction", 2, _is_dead, _dead),
    Rule("stale", "running_mean_lag", 2, _is_stale, _stale),
)
