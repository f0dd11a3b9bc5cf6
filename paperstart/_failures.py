"""When does a failing objective end a search, and what is said of it?"""

from __future__ import annotations

from optuna.study import Study
from optuna.trial import TrialState

from paperstart._history import finished_trials
from paperstart.errors import SearchError

FAILURES_AT_START = 3
"""So many failures before any success end a search: the objective is broken."""


def stop_if_broken(study: Study, said: str | None) -> None:
    """Raise ``SearchError`` if nothing but failures came out of the first trials."""
    finished = finished_trials(study.trials)
    if len(finished) >= FAILURES_AT_START and all(
        trial.state == TrialState.FAIL for trial in finished
    ):
        raise SearchError(
            f"All of the first {len(finished)} trials failed; the last said: {said}. "
            f"Mend the objective; the same command then goes on."
        )


def in_a_line(error: BaseException) -> str:
    """The error's type and what it says first."""
    text = str(error).strip().partition("\n")[0]  # SQLAlchemy adds where to read on
    if "filesystem tracking backend" in text:  # MLflow's, of a logger's default
        text = (
            "MLflow refuses a store that is a folder of files. Pass "
            "tracking_uri='sqlite:///mlflow.db' to your MLFlowLogger "
            "(`mlflow migrate-filestore` moves runs that are there), or set "
            "MLFLOW_ALLOW_FILE_STORE=true"
        )
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
