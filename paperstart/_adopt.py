"""Does the fit have a run already, from the user's own use of MLflow?

An `MLFlowLogger`, an active run, or autologging: each has a run for the fit, and a
second one would tell half of the story twice. Nothing of the user's is changed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import Run
from optuna import Trial

from paperstart._store import PARENT_TAG

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

_AUTOLOG_TAG = "mlflow.autologging"
_PREFIX = "paperstart/"


@dataclass(frozen=True)
class Adopted:
    """A run that somebody else opened for this fit.

    Attributes:
        run_id: the run.
        uri: its store.
        owner: ``logger``, ``autolog`` or ``user``: who ends it.
        logger: the `MLFlowLogger`, if it is its.
    """

    run_id: str
    uri: str
    owner: str
    logger: Any = None

    @property
    def param_prefix(self) -> str:
        """Autologging logs params of the same names later, and must find no others."""
        return _PREFIX if self.owner == "autolog" else ""

    def end_as(self, status: str) -> None:
        """See to it that its owner does not call a pruned or stopped fit failed."""
        if self.owner == "autolog" and _is_active(self.run_id):
            mlflow.end_run(status)  # autologging then finds nothing to end
        elif self.owner == "logger":
            self.logger.finalize = functools.partial(
                _finalize, self.logger, self.run_id, status
            )


def adopted_run(
    trainer: Trainer, trial: Trial | None, tracking_uri: str | None
) -> Adopted | None:
    """The run that the fit has already, or ``None``.

    Args:
        trainer: its loggers are asked first.
        trial: an active run is its own only if it was started within the trial.
        tracking_uri: where the user wants our runs; a run elsewhere is not adopted.
    """
    loggers: list[Any] = trainer.loggers
    for logger in loggers:
        if _is_mlflow_logger(logger) and logger.run_id is not None:
            uri = str(logger._tracking_uri)
            if tracking_uri in (None, uri):
                return Adopted(str(logger.run_id), uri, "logger", logger)
    run = mlflow.active_run()
    uri = mlflow.get_tracking_uri()
    if run is None or tracking_uri not in (None, uri) or not _is_for(run, trial):
        return None
    owner = "autolog" if _AUTOLOG_TAG in run.data.tags else "user"
    return Adopted(str(run.info.run_id), uri, owner)


def _is_mlflow_logger(logger: Any) -> bool:
    return any(
        kind.__name__ == "MLFlowLogger" and "lightning" in kind.__module__
        for kind in type(logger).__mro__
    )


def _is_for(run: Run, trial: Trial | None) -> bool:
    """Whether an active run is this fit's, not one around a whole study."""
    if PARENT_TAG in run.data.tags:
        return False
    if trial is None:
        return True
    started = trial.datetime_start
    if started is None:
        return False
    return bool(run.info.start_time >= int(started.timestamp() * 1000))


def _is_active(run_id: str) -> bool:
    run = mlflow.active_run()
    return run is not None and run.info.run_id == run_id


def _finalize(logger: Any, run_id: str, status: str, said: str = "success") -> None:
    """The logger's own end of the run, with the true status."""
    del logger.finalize  # once; a later fit ends as it ends
    logger.finalize(said)
    logger.experiment.set_terminated(run_id, status)
