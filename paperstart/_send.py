"""How does what waits reach MLflow?"""

from __future__ import annotations

import shutil
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from paperstart._spool import Batch, Spool

# What MLflow says of a request that it would refuse again and again.
_LASTING = {
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_DOES_NOT_EXIST",
    "RESOURCE_ALREADY_EXISTS",
    "INVALID_STATE",
}


def send(client: MlflowClient, spool: Spool, batch: Batch) -> None:
    """Send one batch; MLflow's exceptions come through."""
    run_id = spool.run_id
    for entry in batch.entries if batch.kind != "metrics" else ():
        if batch.kind == "params":
            params = [Param(key, value) for key, value in entry["params"]]
            client.log_batch(run_id, params=params)  # cuts what is too long
        elif batch.kind == "tags":
            tags = [RunTag(key, value) for key, value in entry["tags"]]
            client.log_batch(run_id, tags=tags)
        elif batch.kind == "file":
            path = spool.folder / entry["file"]
            client.log_artifact(run_id, str(path), entry["folder"])
        elif batch.kind == "end":
            client.set_terminated(run_id, entry["end"], entry["at"])
    if batch.kind == "metrics":
        rows = [Metric(*row) for entry in batch.entries for row in entry["metrics"]]
        client.log_batch(run_id, metrics=rows)


def copy_into(spool: Spool, path: Path) -> str:
    """Copy an artifact into the spool; returns its place there."""
    place = spool.new_file(path.name)
    shutil.copy2(path, place)
    return str(place.relative_to(spool.folder))


def is_lasting(error: Exception) -> bool:
    """Whether MLflow would refuse the same again and again."""
    if isinstance(error, MlflowException):
        return error.error_code in _LASTING
    return isinstance(error, (FileNotFoundError, PermissionError, TypeError))
