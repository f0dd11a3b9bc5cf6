"""Who runs a trial, and are they still there?"""

from __future__ import annotations

import os
import socket
from typing import Any

import psutil
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

WORKER_ATTR = "paperstart.worker"
"""Trial attribute: the process that runs the trial."""


def this_worker() -> dict[str, Any]:
    """Who runs a trial; the start time tells a process from a later one of its id."""
    pid = os.getpid()
    started = psutil.Process(pid).create_time()
    return {"host": socket.gethostname(), "pid": pid, "started": started}


def abandoned_trials(study: Study) -> list[FrozenTrial]:
    """The running trials whose worker on this machine is gone."""
    running = study.get_trials(states=(TrialState.RUNNING,))
    workers = [trial.user_attrs.get(WORKER_ATTR) for trial in running]
    return [
        trial
        for trial, worker in zip(running, workers, strict=True)
        if worker is not None
        and not lives_elsewhere(worker)
        and not worker_lives(worker)
    ]


def lives_elsewhere(worker: dict[str, Any]) -> bool:
    """Whether a worker is another machine's, where nobody here can look."""
    return bool(worker["host"] != socket.gethostname())


def worker_lives(worker: dict[str, Any]) -> bool:
    """Whether a worker of this machine still runs."""
    if lives_elsewhere(worker):
        return False
    try:
        started: float = psutil.Process(worker["pid"]).create_time()
    except psutil.Error:
        return False
    return abs(started - float(worker["started"])) < 1.0
