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
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from optuna.trial import BaseTrial

from paperstart._history import draw_attr
from paperstart._scales import ratio
from paperstart.recipe import Recipe

RUN_ATTR = "paperstart.run_id"
"""Trial attribute: the MLflow run of the trial."""
TRACKING_URI_ATTR = "paperstart.tracking_uri"
"""Study attribute: where the study's runs are tracked."""

_FLUSH_S = 2.0
_METRICS_PER_BATCH = 1000  # MLflow's limit for one request
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

    Metrics are kept for up to two seconds and sent as one batch by a thread of the
    log's own, in order, so the caller does not wait. What MLflow does not take is said
    in one warning at the end; training never stops for it.

    Attributes:
        run_id: the run.
        is_resumed: whether the run was there before.
    """

    def __init__(
        self, client: MlflowClient, run_id: str, resumed: Run | None = None
    ) -> None:
        self.run_id = run_id
        self.is_resumed = resumed is not None
        self._client = client
        self._params = set() if resumed is None else set(resumed.data.params)
        self._metrics: list[Metric] = []
        self._nonfinite: Counter[str] = Counter()
        self._last_flush = time.monotonic()
        self._thread: ThreadPoolExecutor | None = None
        self._sent: list[Future[Any]] = []
        self._refused = 0
        self._first_refusal = ""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Queue metrics. NaN and infinities are counted instead: they break pages."""
        now = int(time.time() * 1000)
        finite = {}
        for name, value in values.items():
            key = clean_key(name)
            if math.isfinite(value):
                finite[key] = float(value)
            else:
                count = f"{key.partition('/')[0]}/nonfinite_count"
                self._nonfinite[count] += 1
                finite[count] = float(self._nonfinite[count])
        self._metrics += [Metric(key, v, now, step) for key, v in finite.items()]
        late = time.monotonic() - self._last_flush > _FLUSH_S
        if late or len(self._metrics) >= _METRICS_PER_BATCH:
            self.flush()

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Queue params; those that a resumed run has stay as they are.

        MLflow cuts a value after 6,000 characters, and takes no second one.
        """
        params = {clean_key(name): str(value) for name, value in values.items()}
        new = [Param(k, value) for k, value in params.items() if k not in self._params]
        if new:
            self._send(params=new)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Queue tags."""
        if tags:
            self._send(tags=[RunTag(key, str(value)) for key, value in tags.items()])

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Copy a file to the run's artifacts; waits until it is there."""
        self.attempt(self._client.log_artifact, self.run_id, path, folder)

    def log_text(self, text: str, name: str) -> None:
        """Write a text to the run's artifacts; waits until it is there."""
        self.attempt(self._client.log_text, self.run_id, text, name)

    def fetch_file(self, name: str, folder: Path) -> Path | None:
        """Copy one of the run's artifacts to ``folder``, if it is there."""
        found = self._client.list_artifacts(self.run_id, name.rpartition("/")[0])
        if name not in {file.path for file in found}:
            return None
        return Path(self._client.download_artifacts(self.run_id, name, str(folder)))

    def attempt(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Do something for the run that no training may end for, if it fails."""
        try:
            call(*arguments)
        except Exception as error:  # whatever an artifact store's driver raises
            self._refuse(error)

    def flush(self) -> None:
        """Send what is queued; does not wait."""
        self._last_flush = time.monotonic()
        if self._metrics:
            self._send(metrics=self._metrics)
            self._metrics = []

    def close(self, status: str | None = None) -> None:
        """Wait until MLflow has everything, then end the run with ``status``."""
        self.flush()
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        self._forget_taken()
        if status is not None:
            self.attempt(self._client.set_terminated, self.run_id, status)
        if self._refused:
            warnings.warn(
                f"MLflow did not take {self._refused} batches or files of run "
                f"{self.run_id}, which are lost. Of the first it said: "
                f"{self._first_refusal}",
                RuntimeWarning,
                stacklevel=2,
            )
        self._refused = 0

    def _send(self, **batch: Any) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "paperstart-tracking")
        self._forget_taken()
        log_batch = self._client.log_batch  # cuts what is over MLflow's limits
        self._sent.append(self._thread.submit(log_batch, self.run_id, **batch))

    def _forget_taken(self) -> None:
        """Drop what is done with; a long run sends many thousand batches."""
        waiting = []
        for future in self._sent:
            if not future.done():
                waiting.append(future)
            elif (error := future.exception()) is not None:
                self._refuse(error)
        self._sent = waiting

    def _refuse(self, error: BaseException) -> None:
        self._first_refusal = self._first_refusal if self._refused else str(error)
        self._refused += 1


def metric_name(name: str, stage: str) -> str:
    """The name under its section: ``val_acc`` and ``valid/acc`` are ``val/acc``.

    A name that says no stage goes to the ``stage`` in which it was logged.
    """
    for separator in ("/", "_"):
        head, _, rest = name.partition(separator)
        if rest and head in _SECTIONS:
            return f"{_SECTIONS[head]}/{rest}"
    return f"{stage}/{name}"


def clean_key(name: str) -> str:
    """The name without what MLflow refuses in a key: odd characters, odd paths."""
    allowed = re.sub(r"[^\w\-. :/]", "_", name)[:250]
    parts = [part.lstrip(".") for part in allowed.split("/")]
    return "/".join(part for part in parts if part) or "_"


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


def trial_tags(trial: BaseTrial, study_name: str) -> dict[str, Any]:
    """Which trial a run is, and how its values came about."""
    draw = draw_attr(trial)
    tags = {
        "paperstart.study": study_name,
        "paperstart.trial": trial.number,
        "paperstart.published": str(draw.get("point") is not None).lower(),
    }
    if draw:
        tags["paperstart.round"] = draw["round"]
        tags["paperstart.draw"] = draw["kind"]
    return tags



def is_run_of(run: Run, trial: BaseTrial, study_name: str) -> bool:
    """Whether a run is this trial's; Optuna's retry has the first one's attributes."""
    own = trial_tags(trial, study_name)
    same = ("paperstart.trial", "paperstart.study")
    return all(run.data.tags.get(key) == str(own[key]) for key in same)


def failure_tags(error: BaseException) -> dict[str, str]:
    """What a run that ended early says of why."""
    return {"paperstart.failure": type(error).__name__}


def failure_text(error: BaseException) -> str:
    """The traceback, as an artifact of the run."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))
