"""When is a trial told how the training goes, and when is it pruned?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optuna import Trial, TrialPruned

from paperstart.errors import TrackingError

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

_FAILED = "failed"


class TrialReport:
    """The monitored metric of one fit, as the trial sees it.

    Attributes:
        best: the best value so far; ``None`` before the first finite one.
    """

    def __init__(self, trial: Trial | None, monitor: str | None) -> None:
        self._trial, self._monitor = trial, monitor
        self._last_step = -1
        self.best: float | None = None

    def report(self, trainer: Trainer) -> None:
        """Report the metric; raises ``TrialPruned`` if the pruner says so.

        To be called on every rank: rank 0 reports and decides, and all of them stop.
        A step is an epoch; where several validations fall into one epoch, it is the
        number of the validation, since a trial takes each step once.
        """
        trial = self._trial
        if self._monitor is None:
            return
        value = self._value(trainer)
        if trainer.overfit_batches:  # type: ignore[attr-defined]
            return
        said, failure = "", None
        if trial is not None:
            try:
                said = self._tell(trial, value, trainer.current_epoch)
            except Exception as error:  # the other ranks must not wait for ever
                said, failure = _FAILED, error
        if trainer.world_size > 1:
            said = trainer.strategy.broadcast(said, src=0)
        if failure is not None:
            raise failure
        if said == _FAILED:
            raise TrackingError("Rank 0 could not report to its trial; it says why.")
        if said:
            raise TrialPruned(said)

    def _tell(self, trial: Trial, value: float, epoch: int) -> str:
        """Report on rank 0; what is said of a pruned trial, or nothing."""
        self._keep_best(value, trial.study.direction.name == "MAXIMIZE")
        self._last_step = max(epoch, self._last_step + 1)
        trial.report(value, self._last_step)
        if not trial.should_prune():
            return ""
        return f"Pruned after epoch {epoch}: {self._monitor} was {value:.6g}."

    def _value(self, trainer: Trainer) -> float:
        metrics = trainer.callback_metrics
        if self._monitor not in metrics:
            raise TrackingError(
                f"The metric {self._monitor!r} is to be monitored, but was not logged. "
                f"Logged were: {', '.join(sorted(metrics)) or 'none'}. "
                f"Name one of these as monitor=, or log it with self.log() in "
                f"validation_step()."
            )
        return float(metrics[self._monitor])

    def _keep_best(self, value: float, higher: bool) -> None:
        if math.isfinite(value) and (
            self.best is None or (value > self.best if higher else value < self.best)
        ):
            self.best = value
