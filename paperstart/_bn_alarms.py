"""Which batch-norm layers are in trouble, and of what likely cause?

An alarm is about a fault that makes evaluation or training worse and that the loss does
not show. Each rule looks at the last logged steps only, and needs two in a row where a
single one can be chance. The thresholds are our own choice: healthy residual networks,
trained on real images with momentum 0.1, stay below half of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paperstart._bn_columns import COLUMNS
from paperstart._bn_statistics import BatchNormStatistics

HISTORY = 3
"""Logged steps that the rules look back on."""
DEAD_FRACTION = 0.05
STALE_LAG = 0.2
STALE_UPDATES = 50
"""Updates of a layer before its statistics can be called stale: with torch's usual
momentum of 0.1 the initial value then weighs 0.5 %."""
_NAMES = 3
"""Layers of one alarm that are named; of the others it says how many."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class BatchNormAlarm:
    """One fault of one layer or more.

    Attributes:
        kind: ``nonfinite``, ``stale``, ``dead``, ``tf_momentum``, ``half_frozen``,
            ``untracked``, ``repeated`` or ``low_precision``.
        layer: the layer; of several, the one where it is worst.
        layers: all layers that had it when it was found.
        figure: how bad it is, in the unit that the words name.
        first_step, last_step: it began after the one, and was seen at the other.
        words: what is wrong, how much, the likely cause, and what to do.
    """

    kind: str
    layer: str
    layers: tuple[str, ...]
    figure: float
    first_step: int
    last_step: int
    words: str


@dataclass(frozen=True)
class _Rule:
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


def batchnorm_alarms(
    history: Sequence[BatchNormStatistics], raised: Iterable[BatchNormAlarm] = ()
) -> list[BatchNormAlarm]:
    """The alarms that the last of ``history`` gives cause for.

    Args:
        history: the statistics of the logged steps in order; the last three are enough.
        raised: the alarms so far. No layer gets one of a kind twice.

    Returns:
        One alarm for each kind of fault; layers that have it at once share it. Of
        values that are not finite only the first alarm of all: they spread.
    """
    if not history or not history[-1].layers:
        return []
    raised = list(raised)
    known = {(alarm.kind, layer) for alarm in raised for layer in alarm.layers}
    alarms = []
    for rule in _RULES:
        if rule.kind == "nonfinite" and any(a.kind == "nonfinite" for a in raised):
            continue
        recent = history[-rule.steps :]
        if len(recent) < rule.steps or len({each.layers for each in recent}) > 1:
            continue
        with np.errstate(invalid="ignore"):
            found = np.logical_and.reduce([rule.find(each) for each in recent])
        names = history[-1].layers
        affected = [
            i for i in np.flatnonzero(found) if (rule.kind, names[i]) not in known
        ]
        if affected:
            before = history[-rule.steps - 1 : -rule.steps]
            since = before[0].step if before else 0
            alarms.append(_alarm(rule, history[-1], affected, since))
    return alarms


def alarms_markdown(alarms: Sequence[BatchNormAlarm]) -> str:
    """A section for a run's description; empty without alarms."""
    if not alarms:
        return ""
    lines = [f"- {alarm.words}" for alarm in alarms]
    return "\n".join(["### Batch-norm alarms", "", *lines, ""])


def with_alarms(description: str, alarms: Sequence[BatchNormAlarm]) -> str:
    """A run's description with the section of its alarms at the end, in place of one
    that is there."""
    kept = description.partition("### Batch-norm alarms")[0].rstrip()
    return "\n\n".join(part for part in (kept, alarms_markdown(alarms)) if part)


def _alarm(
    rule: _Rule, statistics: BatchNormStatistics, affected: list[int], since: int
) -> BatchNormAlarm:
    figures = statistics[rule.column][affected]
    # What is not finite spreads forward, so that the first layer is the cause.
    worst = affected[0 if rule.kind == "nonfinite" else int(np.argmax(figures))]
    names = [statistics.layers[i] for i in affected]
    facts = {name: float(statistics[name][worst]) for name in COLUMNS}
    facts |= {"channels": statistics.channels[worst], "since": since}
    facts |= {"step": statistics.step}
    layer = statistics.layers[worst]
    return BatchNormAlarm(
        kind=rule.kind,
        layer=layer,
        layers=tuple(names),
        figure=facts[rule.column],
        first_step=since,
        last_step=statistics.step,
        words=f"{layer}{_others(layer, names)}: {rule.words(facts)}",
    )


def _others(layer: str, names: Sequence[str]) -> str:
    others = [name for name in names if name != layer]
    if not others:
        return ""
    if len(others) <= _NAMES:
        return f" (also {', '.join(others)})"
    return f" (also {', '.join(others[:_NAMES])} and {len(others) - _NAMES} more)"


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
    momentum = facts["momentum"]
    memory = "averages over all batches so far"
    if not math.isnan(momentum):
        memory = f"{momentum:g} has a half-life of {half_life(momentum):.0f} updates"
    return (
        f"the running statistics are stale at step {facts['step']}: they trail the "
        f"batches by {_lag(facts):.2f} sigma, and evaluation uses them. Likely cause: "
        f"momentum {memory}, of {facts['num_batches_tracked']:.0f} so far. Raise it, "
        f"or call recompute_bn_stats before evaluation."
    )


def _dead(facts: dict[str, float]) -> str:
    count = facts["dead_fraction"] * facts["channels"]
    return (
        f"{facts['dead_fraction']:.0%} of the channels ({count:.0f} of "
        f"{facts['channels']}) are dead at step {facts['step']}: shift + 3 |scale| < 0, "
        f"so a ReLU passes next to nothing. Likely cause: a learning rate too high, or "
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


def _is_stale(s: BatchNormStatistics) -> Mask:
    lag = np.hypot(s["running_mean_lag"], s["running_var_lag"])
    return (lag > STALE_LAG) & (s["num_batches_tracked"] >= STALE_UPDATES)


def _is_half_frozen(s: BatchNormStatistics) -> Mask:
    moves = (s["is_training"] == 1) & (s["updates_per_step"] > 0)
    return moves & (s["is_learning"] == 0) & (s["momentum"] != 0)


def _is_untracked(s: BatchNormStatistics) -> Mask:
    fixed = (s["is_tracking"] == 0) | (s["momentum"] == 0)
    return (s["is_training"] == 1) & fixed


def _is_low_precision(s: BatchNormStatistics) -> Mask:
    # bfloat16 keeps 8 bits; float16 keeps 11, which do for torch's usual momentum.
    return (s["rounding"] > 2e-3) | (s["rounding"] > 1e-2 * s["momentum"])


_RULES = (
    _Rule("nonfinite", "nonfinite_count", 1, lambda s: s["nonfinite_count"] > 0,
          _nonfinite),
    _Rule("tf_momentum", "momentum", 1, lambda s: s["momentum"] > 0.5, _tf_momentum),
    _Rule("low_precision", "rounding", 1, _is_low_precision, _low_precision),
    _Rule("half_frozen", "updates_per_step", 1, _is_half_frozen, _half_frozen),
    _Rule("untracked", "is_training", 1, _is_untracked, _untracked),
    _Rule("repeated", "updates_per_step", 2, lambda s: s["updates_per_step"] > 1,
          _repeated),
    _Rule("dead", "dead_fraction", 2, lambda s: s["dead_fraction"] > DEAD_FRACTION,
          _dead),
    _Rule("stale", "running_mean_lag", 2, _is_stale, _stale),
)
