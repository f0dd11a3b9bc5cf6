"""What does a person see while a search runs?

A bar and one line per trial on a terminal; plain lines where stderr is a pipe.
"""

from __future__ import annotations

import sys

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from paperstart._history import DRAW_ATTR, is_interrupted

_DRAWS = {
    "published": "the paper's own point",
    "coarse": "coarse draw around it",
    "region": "draw from the region",
    "full": "draw from the full range",
    "enqueued": "enqueued by hand",
}


class SearchProgress:
    """Tells on stderr how far a search is."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._target = 0

    def start(self, spent: int, target: int) -> None:
        """The stores are open and the first trial is about to begin."""
        self._target = target
        if spent:
            self._say(f"{spent} of {target} trials are done; carrying on.")
        if not sys.stderr.isatty():
            return
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task("trials", total=target, completed=spent)
        self._bar.start()

    def trial(self, study: Study, trial: FrozenTrial, error: str | None) -> None:
        """A trial is over."""
        draw = trial.user_attrs.get(DRAW_ATTR, {})
        how = _DRAWS.get(draw.get("kind", ""), "")
        place = f"round {draw['round']}, {how}" if draw else ""
        self._say(
            f"trial {trial.number:>3}  {_result(study, trial, error):<24}  {place}"
        )
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, 0 if is_interrupted(trial) else 1)

    def stop(self) -> None:
        """The search is over, or somebody stopped it."""
        if self._bar is not None:
            self._bar.stop()

    def _say(self, text: str) -> None:
        console = self._console if self._bar is None else self._bar.console
        console.print(escape(text), soft_wrap=True)


def _result(study: Study, trial: FrozenTrial, error: str | None) -> str:
    if is_interrupted(trial):
        return "stopped"
    if trial.state == TrialState.PRUNED:
        return "pruned"
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        best = study.best_trial.number == trial.number
        sign = ">" if study.direction == StudyDirection.MAXIMIZE else "<"
        mark = f"  {sign} best so far" if best and trial.number else ""
        return f"{trial.value:.6g}{mark}"
    return f"failed: {error or 'it gave no number'}"
