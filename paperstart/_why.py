"""Why is a trial where it is?

Words for people, from what the sampler wrote into the trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial

from paperstart._history import draw_attr


def why(study: Study, trial: BaseTrial | FrozenTrial) -> str:
    """One or two sentences on how a trial's values came about."""
    attr = draw_attr(trial)
    kind = attr.get("kind")
    number = f"round {attr.get('round')}"
    if kind == "published":
        return "The published point, as the source has it; what it leaves open, drawn."
    if kind == "enqueued":
        return f"Values that were enqueued by hand, in {number}."
    if attr.get("hedge"):
        return (
            "A coarse draw from the middle of the ranges, in case the published point "
            f"does not fit: {_ends(attr)}."
        )
    if kind == "full" and not attr.get("model"):
        return f"A draw from the full ranges, in {number}."
    if kind in ("coarse", "region") and not attr.get("model"):
        return f"A random draw around the best so far, in {number}: {_ends(attr)}."
    if kind not in ("coarse", "region", "full"):
        return "Drawn by another sampler."
    where = "outside of" if kind == "full" else "inside"
    return (
        f"In {number}, where the model of all trials expects the largest improvement: "
        f"{where} the region of the round, {_ends(attr)}. The best so far was "
        f"{_best(study, attr)}."
    )


def _best(study: Study, attr: Mapping[str, Any]) -> str:
    """The best trial then, with its values."""
    trials = study.get_trials(deepcopy=False)
    if not 0 <= attr["best"] < len(trials):
        return f"trial {attr['best']}"
    names = attr.get("region", {})
    values = {n: v for n, v in trials[attr["best"]].params.items() if n in names}
    told = ", ".join(f"{name} {_short(value)}" for name, value in values.items())
    return f"trial {attr['best']}" + (f" ({told})" if told else "")


def _ends(attr: Mapping[str, Any]) -> str:
    """The region, hyperparameter by hyperparameter."""
    ends = attr.get("region", {}).items()
    told = [f"{name} {_short(low)} to {_short(high)}" for name, (low, high) in ends]
    return ", ".join(told) or "no region"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else str(value)
