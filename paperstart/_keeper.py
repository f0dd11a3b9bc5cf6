"""Who sees to a study's report where no search command does?

Whoever runs ``study.optimize`` with the callback finds the report on the parent run,
too: it is made anew when a new round begins, in the background, and when the process
ends.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading

from mlflow import MlflowClient
from optuna import Trial
from optuna.study import Study

from paperstart._history import draw_attr, finished_trials
from paperstart._probe import probe

_logger = logging.getLogger(__name__)
_WORTH_TRIALS = 2
"""Finished trials from which on a report says something."""


class Keeper:
    """Keeps the report on one study's parent run.

    Args:
        study: the study.
        client: of the store.
        experiment_id: the experiment of its runs.
        parent_id: its parent run.
    """

    def __init__(
        self, study: Study, client: MlflowClient, experiment_id: str, parent_id: str
    ) -> None:
        self._study, self._client = study, client
        self._experiment_id, self._parent_id = experiment_id, parent_id
        self._round = 1
        self._reported = 0  # finished trials that the last report knew
        self._thread: threading.Thread | None = None

    def begin(self, trial: Trial) -> None:
        """Make the report in the background, if the trial begins a new round."""
        number = int(draw_attr(trial).get("round", 1))
        if number <= self._round or (self._thread and self._thread.is_alive()):
            return
        self._round = number
        self._thread = threading.Thread(
            target=self._refresh, name="paperstart-report", daemon=True
        )
        self._thread.start()

    def leave(self) -> None:
        """Make the report once more, if trials have finished since."""
        if self._thread is not None:
            self._thread.join()
        self._refresh()

    def _refresh(self) -> None:
        try:
            finished = len(finished_trials(self._study.get_trials(deepcopy=False)))
            if finished in (self._reported, *range(_WORTH_TRIALS)):
                return
            if probe(self._client.tracking_uri) is not None:
                return
            # Late: what draws takes a second to load, and nobody waits for it here.
            from paperstart._parent_report import refresh_report

            refresh_report(
                self._study, self._client, self._experiment_id, self._parent_id
            )
            self._reported = finished
        except Exception as error:  # no training and no program ends for a picture
            _logger.warning(
                "The report of the study %r could not be made (%s: %s); "
                "`paperstart report` makes it.",
                self._study.study_name,
                type(error).__name__,
                error,
            )


_keepers: dict[tuple[int, str], Keeper] = {}
_left: set[tuple[int, str]] = set()


def keep(
    trial: Trial, client: MlflowClient, experiment_id: str, parent_id: str
) -> None:
    """See to the report of a trial's study, now that the trial begins."""
    key = (os.getpid(), parent_id)
    if key in _left:
        return
    if key not in _keepers:
        _keepers[key] = Keeper(trial.study, client, experiment_id, parent_id)
    _keepers[key].begin(trial)


def leave_to_search(parent_id: str) -> None:
    """A search command sees to the report itself."""
    key = (os.getpid(), parent_id)
    _left.add(key)
    _keepers.pop(key, None)


@atexit.register
def _leave() -> None:
    for (pid, _), keeper in list(_keepers.items()):
        if pid == os.getpid():
            keeper.leave()
