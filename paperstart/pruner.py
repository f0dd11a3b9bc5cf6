"""Which trials are stopped early?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from paperstart._history import curve_of, loss_of
from paperstart.errors import SearchSpaceError


class PaperStartPruner(BasePruner):
    """Stops a trial that falls behind the best trial's own curve.

    The first trial, the paper's own point, goes through: its curve is the yardstick. A
    later trial comes to a rung after a sixth and half of the best trial's steps (by
    default), and goes on if it is better there than the best trial was, or is among the
    best quarter of all trials that came there.

    Args:
        rungs: shares of the best trial's steps, each between 0 and 1, growing.
        quarter: the share of a rung's trials that goes on in any case.

    Raises:
        SearchSpaceError: an argument is out of its range.

    Sources: Li et al. 2020 (arXiv:1810.05934, asynchronous successive halving) for the
    rungs; the comparison with the incumbent's curve is our own.
    """

    def __init__(
        self, rungs: Sequence[float] = (1 / 6, 1 / 2), quarter: float = 0.25
    ) -> None:
        ends = [0.0, *rungs, 1.0]
        if any(low >= high for low, high in pairwise(ends)) or not 0 < quarter < 1:
            raise SearchSpaceError(
                f"rungs is {rungs!r} and quarter {quarter!r}; give growing shares "
                f"between 0 and 1, and a share between 0 and 1."
            )
        self._rungs, self._quarter = tuple(rungs), quarter

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial, which has just reported a value, is to stop."""
        step = trial.last_step
        best = None if step is None else _best(study)
        if step is None or best is None or not best.intermediate_values:
            return False
        last = max(best.intermediate_values)
        passed = [rung for rung in self._rungs if step >= rung * last]
        earlier = [at for at in trial.intermediate_values if at < step]
        if not passed or (earlier and max(earlier) >= passed[-1] * last):
            return False  # between two rungs
        loss = curve_of(study, trial).get(step)
        if loss is None:
            return True  # the value is not finite
        mark = _at(curve_of(study, best), step)
        if mark is None or loss < mark:
            return False
        others = [
            t for t in study.get_trials(deepcopy=False) if t.number != trial.number
        ]
        losses = [_at(curve_of(study, other), step) for other in others]
        return not self._is_among_best([v for v in losses if v is not None], loss)

    def _is_among_best(self, losses: Sequence[float], loss: float) -> bool:
        better = sum(other <= loss for other in losses)
        return better < math.floor((len(losses) + 1) * self._quarter)


def _best(study: Study) -> FrozenTrial | None:
    """The best finished trial."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    losses = [(loss_of(study, trial), trial.number, trial) for trial in done]
    known = [entry for entry in losses if math.isfinite(entry[0])]
    return min(known)[2] if known else None


def _at(curve: dict[int, float], step: int) -> float | None:
    """The loss at the last report up to ``step``; ``None`` if there was none there."""
    if not curve or max(curve) < step:
        return None
    return curve[max(at for at in curve if at <= step)] if min(curve) <= step else None
