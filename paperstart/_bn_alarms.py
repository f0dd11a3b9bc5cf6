"""Which batch-norm layers are in trouble, and of what likely cause?

An alarm is about a fault that makes evaluation or training worse and that the loss does
not show. A rule that chance could satisfy once needs two logged steps in a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from paperstart._alarm_text import alarms_section
from paperstart._bn_columns import COLUMNS
from paperstart._bn_rules import RULES, Rule
from paperstart._bn_statistics import BatchNormStatistics

HISTORY = 3
"""Logged steps that the rules look back on."""
_NAMES = 3
"""Layers of one alarm that are named; of the others it says how many."""


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
    for rule in RULES:
        if rule.kind == "nonfinite" and any(a.kind == "nonfinite" for a in raised):
            continue
        recent = history[-rule.steps :]
        if len(recent) < rule.steps or len({each.layers for each in recent}) > 1:
            continue
        with np.errstate(invalid="ignore"):
            found = np.logical_and.reduce([rule.find(each) for each in recent])
        names = history[-1].layers
        affected = [
            int(i) for i in np.flatnonzero(found) if (rule.kind, names[i]) not in known
        ]
        if affected:
            before = history[-rule.steps - 1 : -rule.steps]
            since = before[0].step if before else 0
            alarms.append(_alarm(rule, history[-1], affected, since))
    return alarms


def alarms_markdown(alarms: Sequence[BatchNormAlarm], earlier: str = "") -> str:
    """A section for a run's description; empty without alarms.

    Args:
        alarms: of this fit.
        earlier: what `alarms_text` said of an earlier part of the run.
    """
    return alarms_section(alarms_text(alarms, earlier))


def alarms_text(alarms: Sequence[BatchNormAlarm], earlier: str = "") -> str:
    """The alarms' words, a line each, after those of an earlier part of the run."""
    lines = [*earlier.splitlines(), *(alarm.words for alarm in alarms)]
    return "\n".join(dict.fromkeys(lines))


def _alarm(
    rule: Rule, statistics: BatchNormStatistics, affected: list[int], since: int
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
