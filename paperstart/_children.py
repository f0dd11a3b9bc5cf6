"""What do MLflow's runs of a study look like now, and which of them lie?

A run whose process was killed stays RUNNING for ever, unless somebody closes it:
whoever resumes the study or makes its report does so here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from paperstart._history import is_interrupted
from paperstart._store import find_parent
from paperstart._worker import lives_elsewhere, this_worker, worker_lives

WORKER_TAG = "paperstart.worker"
"""Run tag: the process that writes the run: its id, host, and start."""
LOST_TAG = "paperstart.lost"
"""Run tag: why a run was closed by another process than its own."""
STATUS = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAIL: "FAILED",
}
_PAGE = 500
_WORKER = re.compile(r"(\d+) on (\S+) since ([\d.]+)")
_GRACE = timedelta(minutes=10)
_OVER = "The trial was over, and its process had not closed the run."


def worker_tag() -> dict[str, str]:
    """The tag that says which process writes a run."""
    worker = this_worker()
    said = f"{worker['pid']} on {worker['host']} since {worker['started']:.3f}"
    return {WORKER_TAG: said}


def children_of(
    client: MlflowClient, experiment_id: str, parent_id: str
) -> dict[int, Run]:
    """The run of each trial below a parent, by trial; of two, the later one."""
    found: dict[int, Run] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment_id],
            f"tags.mlflow.parentRunId = '{parent_id}'",
            max_results=_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        for run in page:
            number = run.data.tags.get("paperstart.trial", "")
            if number.isdecimal():
                found[int(number)] = run
        token = page.token
        if not token:
            return found


def runs_of(
    study: Study, client: MlflowClient, experiment: str | None = None
) -> tuple[str, dict[int, Run]] | None:
    """The study's parent run and its children, or ``None`` if MLflow has none."""
    known = client.get_experiment_by_name(experiment or study.study_name)
    if known is None:
        return None
    parent_id = find_parent(client, known.experiment_id, study.study_name)
    if parent_id is None:
        return None
    return parent_id, children_of(client, known.experiment_id, parent_id)


def close_lost(study: Study, client: MlflowClient, runs: Mapping[int, Run]) -> int:
    """Close the runs that nobody writes any more; returns how many.

    A trial that is over ends its run with the trial's own state. One that still
    runs in Optuna's eyes is looked up by its process, if that was on this machine.
    """
    trials = study.get_trials(deepcopy=False)
    closed = 0
    for number, run in runs.items():
        if run.info.status not in ("RUNNING", "SCHEDULED", "UNFINISHED"):
            continue
        trial = trials[number] if number < len(trials) else None
        said = _why_lost(trial, run.data.tags)
        if said is None:
            continue
        status = "KILLED" if trial is None else true_status(trial)
        client.set_tag(run.info.run_id, LOST_TAG, said)
        client.set_terminated(run.info.run_id, status)
        closed += 1
    return closed


def close_lost_parent(
    client: MlflowClient, parent_id: str, runs: Mapping[int, Run]
) -> bool:
    """Close a study's parent run that a killed search left RUNNING, if all is quiet."""
    parent = client.get_run(parent_id)
    if parent.info.status != "RUNNING" or any(
        run.info.status == "RUNNING" for run in runs.values()
    ):
        return False
    said = _why_lost(None, parent.data.tags)
    if said is None:
        return False
    client.set_tag(parent_id, LOST_TAG, said)
    client.set_terminated(parent_id, "KILLED")
    return True


def true_status(trial: FrozenTrial) -> str:
    """How MLflow is to show the run of a trial that is over."""
    if is_interrupted(trial):
        return "KILLED"
    return STATUS.get(trial.state, "KILLED")


def _why_lost(trial: FrozenTrial | None, tags: Mapping[str, str]) -> str | None:
    """Why nobody writes a run any more, or ``None`` if somebody may."""
    worker = _worker_of(tags)
    if worker is not None and worker_lives(worker):
        return None
    if trial is not None and trial.state.is_finished():
        over = trial.datetime_complete or datetime.min
        if worker is not None and datetime.now() - over < _GRACE:
            # Another machine's worker may be about to close it.
            return None if lives_elsewhere(worker) else _OVER
        return _OVER
    if worker is None or lives_elsewhere(worker):
        return None  # nobody here can know
    return f"The process {worker['pid']} on {worker['host']} was gone."


def _worker_of(tags: Mapping[str, str]) -> dict[str, Any] | None:
    found = _WORKER.fullmatch(tags.get(WORKER_TAG, ""))
    if found is None:
        return None
    pid, host, started = found.groups()
    return {"pid": int(pid), "host": host, "started": float(started)}
