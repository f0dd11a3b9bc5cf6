"""What is MLflow told?

The names under which things are found (sections of metrics, params beside their
published values, tags); `RunLog` is what carries all of it to a run.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Run
from optuna.trial import BaseTrial

from paperstart._history import draw_attr
from paperstart._run_log import RunLog, clean_key
from paperstart._scales import ratio
from paperstart.recipe import Recipe

__all__ = [
    "FAILURE_TAG",
    "RUN_ATTR",
    "TRACKING_URI_ATTR",
    "VALUE_METRIC",
    "RunLog",
    "clean_key",
    "failure_tags",
    "failure_text",
    "is_run_of",
    "metric_name",
    "param_values",
    "trial_name",
    "trial_tags",
]

RUN_ATTR = "paperstart.run_id"
"""Trial attribute: the MLflow run of the trial."""
FAILURE_TAG = "paperstart.failure"
"""Run tag: the type of the exception that a run ended with."""
TRACKING_URI_ATTR = "paperstart.tracking_uri"
"""Study attribute: where the study's runs are tracked."""
VALUE_METRIC = "best/objective"
"""Metric of a trial's run: the trial's value."""

_SECTIONS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


def metric_name(name: str, stage: str) -> str:
    """The name under its section: ``val_acc`` and ``valid/acc`` are ``val/acc``.

    A name that says no stage goes to the ``stage`` in which it was logged.
    """
    for separator in ("/", "_"):
        head, _, rest = name.partition(separator)
        if rest and head in _SECTIONS:
            return f"{_SECTIONS[head]}/{rest}"
    return f"{stage}/{name}"


def param_values(
    params: Mapping[str, Any],
    recipe: Recipe | None,
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The params of a run: each value, what was published, and the ratio of the two.

    Args:
        params: the values used.
        recipe: where published values come from.
        names: canonical names of what goes by another name in ``params``.
    """
    values = dict(params)
    if recipe is None:
        return values
    published = recipe.published
    for name, value in params.items():
        canonical = (names or {}).get(name, name)
        hp = recipe.hyperparameters.get(canonical)
        if hp is None:
            continue
        values[f"published/{name}"] = published[canonical]
        factor = ratio(value, hp.value, hp.scale)
        if factor is not None:
            values[f"ratio/{name}"] = f"{factor:.4g}"
    return values


def trial_name(trial: BaseTrial) -> str:
    """What a trial's run is called."""
    point = draw_attr(trial).get("point")
    suffix = "" if point is None else " (published)"
    return f"trial {trial.number}{suffix}"


def trial_tags(trial: BaseTrial, study_name: str) -> dict[str, str]:
    """Which trial a run is, and how its values came about.

    All of them texts: a server, unlike a SQLite store, takes nothing else.
    """
    draw = draw_attr(trial)
    tags = {
        "paperstart.study": study_name,
        "paperstart.trial": str(trial.number),
        "paperstart.published": str(draw.get("point") is not None).lower(),
    }
    if draw:
        tags["paperstart.round"] = str(draw["round"])
        tags["paperstart.draw"] = str(draw["kind"])
    return tags


def is_run_of(run: Run, trial: BaseTrial, study_name: str) -> bool:
    """Whether a run is this trial's; Optuna's retry has the first one's attributes."""
    own = trial_tags(trial, study_name)
    same = ("paperstart.trial", "paperstart.study")
    return all(run.data.tags.get(key) == own[key] for key in same)


def failure_tags(error: BaseException) -> dict[str, str]:
    """What a run that ended early says of why."""
    return {FAILURE_TAG: type(error).__name__}


def failure_text(error: BaseException) -> str:
    """The traceback, as an artifact of the run."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))
