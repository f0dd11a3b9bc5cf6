"""What does a search leave behind, and who is told how far it is?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from optuna.study import Study
from optuna.trial import FrozenTrial

from paperstart.recipe import Recipe


class Progress(Protocol):
    """Who is told how far a search is."""

    def start(self, spent: int, target: int) -> None: ...
    def trial(self, study: Study, trial: FrozenTrial, error: str | None) -> None: ...
    def stop(self) -> None: ...


@dataclass(frozen=True)
class SearchResult:
    """What a search leaves behind.

    Attributes:
        study: the Optuna study.
        recipe: what it started from.
        spent: trials that are over, those of earlier calls included.
        target: trials that were asked for in all.
        interrupted: whether somebody stopped the search.
        spent_budget: which budget ended it, in a sentence; ``None`` if none did.
        tracking_uri: MLflow's store.
        experiment_id: MLflow's experiment.
        parent_id: the study's parent run.
    """

    study: Study
    recipe: Recipe
    spent: int
    target: int
    interrupted: bool
    spent_budget: str | None
    tracking_uri: str
    experiment_id: str
    parent_id: str
