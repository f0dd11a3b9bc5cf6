"""What is MLflow told?

The names under which things are found (sections of metrics, params beside their
published values, tags), and `RunLog`, through which everything goes to a run: in
batches, in the background.
"""

from __future__ import annotations

import math
import re
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.async_logging.run_operations import RunOperations
from optuna.trial import BaseTrial, FrozenTrial

from paperstart._history import DRAW_ATTR
from paperstart._scales import ratio
from paperstart.recipe import Recipe

RUN_ATTR = "paperstart.run_id"
"""Trial attribute: the MLflow run of the trial."""
TRACKING_URI_ATTR = "paperstart.tracking_uri"
"""Study attribute: where the study's runs are tracked."""

_FLUSH_S = 2.0
_METRICS_PER_BATCH = 1000  # MLflow's limit for one request
_PARAMS_PER_BATCH = 100  # likewise
_SECTIONS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


class RunLog:
    """Everything that one run is told.

    Values are kept for up to two seconds and sent as one batch by MLflow's background
    thread, so the caller does not wait. What MLflow does not take is said in one
    warning at the end; training never stops for it.

    Attributes:
        run_id: the run.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.run_id = run_id
        self._client = client
        self._metrics: list[Metric] = []
        self._pending: list[RunOperations] = []
        self._last_flush = time.monotonic()
        self._nonfinite: dict[str, int] = {}

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Queue metrics. NaN and infinities are counted instead: they break pages."""
        now = int(time.time() * 1000)
        for name, value in values.items():
            key = clean_key(name)
            if not math.isfinite(value):
                section = key.partition("/")[0]
                self._nonfinite[section] = self._nonfinite.get(section, 0) + 1
                key, value = f"{section}/nonfinite_count", self._nonfinite[section]
            self._metrics.append(Metric(key, float(value), now, step))
        late = time.monotonic() - self._last_flush > _FLUSH_S
        if late or len(self._metrics) >= _METRICS_PER_BATCH:
            self.flush()

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Queue params; MLflow cuts a value after 6,000 characters."""
        params = [Param(clean_key(name), str(v)) for name, v in values.items()]
        for start in range(0, len(params), _PARAMS_PER_BATCH):
            self._send(params=params[start : start + _PARAMS_PER_BATCH])

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Queue tags."""
        if tags:
            self._send(tags=[RunTag(key, str(value)) for key, value in tags.items()])

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Copy a file to the run's artifacts; waits until it is there."""
        self._attempt(lambda: self._client.log_artifact(self.run_id, path, folder))

    def log_text(self, text: str, name: str) -> None:
        """Write a text to the run's artifacts; waits until it is there."""
        self._attempt(lambda: self._client.log_text(self.run_id, text, name))

    def flush(self) -> None:
        """Send what is queued; does not wait."""
        self._last_flush = time.monotonic()
        for start in range(0, len(self._metrics), _METRICS_PER_BATCH):
            self._send(metrics=self._metrics[start : start + _METRICS_PER_BATCH])
        self._metrics = []

    def close(self, status: str | None = None) -> None:
        """Wait until MLflow has everything, then end the run with ``status``."""
        self.flush()
        problems = []
        for operation in self._pending:
            try:
                operation.wait()
            except MlflowException as error:
                problems.append(str(error))
        self._pending = []
        if problems:
            warnings.warn(
                f"MLflow did not take {len(problems)} batches of run {self.run_id}; "
                f"the first said: {problems[0]}",
                RuntimeWarning,
                stacklevel=2,
            )
        if status is not None:
            self._attempt(lambda: self._client.set_terminated(self.run_id, status))

    def _send(self, **batch: Any) -> None:
        operation = self._client.log_batch(self.run_id, synchronous=False, **batch)
        if operation is not None:
            self._pending.append(operation)

    def _attempt(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except (MlflowException, OSError) as error:
            warnings.warn(
                f"MLflow did not take an artifact or the status of run "
                f"{self.run_id}: {error}",
                RuntimeWarning,
                stacklevel=3,
            )


def metric_name(name: str, stage: str) -> str:
    """The name under its section: ``val_acc`` and ``valid/acc`` are ``val/acc``.

    A name that says no stage goes to the ``stage`` in which it was logged.
    """
    head, slash, rest = name.partition("/")
    if slash and head in _SECTIONS:
        return f"{_SECTIONS[head]}/{rest}"
    head, underscore, rest = name.partition("_")
    if underscore and head in _SECTIONS:
        return f"{_SECTIONS[head]}/{rest}"
    return f"{stage}/{name}"


def clean_key(name: str) -> str:
    """The name with what MLflow refuses in a key replaced by ``_``."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250].strip("/ ") or "_"


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
    for name, value in params.items():
        hp = recipe.hyperparameters.get((names or {}).get(name, name))
        if hp is None:
            continue
        values[f"published/{name}"] = recipe.published[(names or {}).get(name, name)]
        factor = ratio(value, hp.value, hp.scale)
        if factor is not None:
            values[f"ratio/{name}"] = f"{factor:.4g}"
    return values


def trial_name(trial: BaseTrial) -> str:
    """What a trial's run is called."""
    point = draw_of(trial).get("point")
    suffix = "" if point is None else " (published)"
    return f"trial {trial.number}{suffix}"


def trial_tags(trial: BaseTrial, study_name: str) -> dict[str, Any]:
    """Which trial a run is, and how its values came about."""
    draw = draw_of(trial)
    tags = {
        "paperstart.study": study_name,
        "paperstart.trial": trial.number,
        "paperstart.published": str(draw.get("point") is not None).lower(),
    }
    if draw:
        tags["paperstart.round"] = draw["round"]
        tags["paperstart.draw"] = draw["kind"]
    return tags


def draw_of(trial: BaseTrial | FrozenTrial) -> Mapping[str, Any]:
    """How the sampler drew the trial; empty if it was another sampler."""
    draw: Mapping[str, Any] = trial.user_attrs.get(DRAW_ATTR, {})
    return draw


def failure_tags(error: BaseException) -> dict[str, str]:
    """What a run that ended early says of why."""
    return {"paperstart.failure": type(error).__name__}


def failure_text(error: BaseException) -> str:
    """The traceback, as an artifact of the run."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))
