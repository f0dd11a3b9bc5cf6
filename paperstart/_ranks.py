"""What do the other ranks of a distributed training do while rank 0 searches?

Lightning starts the same command once per rank, and each would ask for trials of its
own. Only rank 0 asks; the others follow: they run the objective with the very values
that rank 0 was given, read from the study, and report nothing.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState

from paperstart.errors import SearchError

LAUNCH_ATTR = "paperstart.launch"
"""Trial attribute: the launch whose ranks train the trial together."""
_OVER_ATTR = "paperstart.launch_over"  # study attribute: the last launch that ended
_LAUNCH_VARIABLE = "PAPERSTART_LAUNCH"  # inherited by the ranks that Lightning starts
_SHARED = ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID")  # where all ranks start at once
_POLL_S = 0.05
_VALUE_S = 600.0


def rank() -> int:
    """The rank of this process among those that train together; 0 for a lone one."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if os.environ.get(name, "").isdecimal():
            return int(os.environ[name])
    return 0


def begin_launch() -> str:
    """On rank 0: a name for what its ranks do together, which they inherit."""
    launch = _launch() or uuid.uuid4().hex
    os.environ[_LAUNCH_VARIABLE] = launch
    return launch


def end_launch(study: Study, launch: str) -> None:
    """On rank 0: tell the others that no trial comes any more."""
    study.set_user_attr(_OVER_ATTR, launch)
    os.environ.pop(_LAUNCH_VARIABLE, None)


def follow(study: Study, train: Callable[[FollowedTrial], Any]) -> None:
    """On any other rank: train each trial of rank 0 with it, until there is no more.

    Args:
        study: the study, in a storage that rank 0 shares.
        train: runs the objective; what it raises for a pruned trial is its own affair.

    Raises:
        SearchError: this rank does not know which launch it belongs to.
    """
    launch = _launch()
    if launch is None:
        raise SearchError(
            f"This process is rank {rank()} of a training that `paperstart search` has "
            f"not started. Start the search itself with torchrun, or on rank 0 only."
        )
    parent, done = os.getppid(), -1
    while study.user_attrs.get(_OVER_ATTR) != launch and os.getppid() == parent:
        trial = _running(study, launch, done)
        if trial is None:
            time.sleep(_POLL_S)
            continue
        done = trial.number
        train(FollowedTrial(study, trial))


class FollowedTrial(FixedTrial):
    """Rank 0's trial, as another rank sees it: the same values, and no say in it."""

    def __init__(self, study: Study, trial: FrozenTrial) -> None:
        super().__init__(trial.params, trial.number)
        self._of, self._id = study, trial._trial_id

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        """What rank 0 was given; waits until it has asked."""
        end = time.monotonic() + _VALUE_S
        while time.monotonic() < end:
            trial = self._of._storage.get_trial(self._id)
            if name in trial.params:
                self._suggested_params[name] = trial.params[name]
                self._distributions[name] = distribution
                return trial.params[name]
            if trial.state.is_finished():
                break
            time.sleep(_POLL_S)
        raise SearchError(
            f"Rank 0 was given no {name} in trial {self.number}, but rank {rank()} "
            f"asks for one. Let all ranks suggest the same hyperparameters."
        )


def announce(trial: Trial, launch: str) -> None:
    """On rank 0: let the others train this trial, too."""
    trial.set_user_attr(LAUNCH_ATTR, launch)


def _launch() -> str | None:
    own = os.environ.get(_LAUNCH_VARIABLE)
    return own or next((os.environ[n] for n in _SHARED if os.environ.get(n)), None)


def _running(study: Study, launch: str, done: int) -> FrozenTrial | None:
    """The trial that rank 0 trains now, unless this rank has done it."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    mine = [t for t in running if t.user_attrs.get(LAUNCH_ATTR) == launch]
    return mine[-1] if mine and mine[-1].number > done else None
