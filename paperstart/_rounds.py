"""Where did the search look in each round?

Read from what the sampler wrote into the trials, so that a study in storage is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optuna.study import Study

from paperstart._history import draw_attr


@dataclass(frozen=True)
class Round:
    """The trials between two updates of the region.

    Attributes:
        number: from 1; the first is the coarse round.
        trials: numbers of its trials.
        regions: by hyperparameter, the ends of the region at the round's start, in the
            hyperparameter's own unit. Choices without an order have none.
    """

    number: int
    trials: tuple[int, ...]
    regions: Mapping[str, tuple[float, float]]


def rounds(study: Study) -> list[Round]:
    """Each round of a study that `PaperStartSampler` drew, the first one first."""
    trials: dict[int, list[int]] = {}
    regions: dict[int, dict[str, tuple[float, float]]] = {}
    for trial in study.get_trials(deepcopy=False):
        attr = draw_attr(trial)
        if not attr:
            continue
        number = int(attr["round"])
        trials.setdefault(number, []).append(trial.number)
        known = regions.setdefault(number, {})
        for name, (low, high) in attr.get("region", {}).items():
            known.setdefault(name, (float(low), float(high)))
    return [Round(n, tuple(trials[n]), regions[n]) for n in sorted(trials)]
