"""What came out of a study: did the paper's own point hold up, and what is better?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from paperstart._history import DRAW_ATTR, finished_trials
from paperstart._scales import ratio
from paperstart.recipe import Recipe


@dataclass(frozen=True)
class Change:
    """One hyperparameter, as published and at the best trial.

    Attributes:
        name: the hyperparameter.
        published: as published, or ``None`` if it was not.
        best: at the best trial.
        factor: best over published, on the natural scale; ``None`` if it says nothing.
        of_rest: whether the factor is of 1 - x.
    """

    name: str
    published: Any
    best: Any
    factor: float | None
    of_rest: bool


@dataclass(frozen=True)
class Outcome:
    """The result of a study.

    Attributes:
        recipe_id: what it started from.
        best: the best trial.
        best_value: its objective value.
        published_value: that of the paper's own point, if it was tried to the end.
        changes: what the best trial has, beside what was published.
        rounds: rounds begun.
        trials: trials that are over.
    """

    recipe_id: str
    best: FrozenTrial
    best_value: float
    published_value: float | None
    changes: list[Change]
    rounds: int
    trials: int

    def spent(self) -> str:
        """What the search cost, in a sentence."""
        trials, rounds = self.trials, self.rounds
        return (
            f"Spent: {trials} trial{'s' * (trials != 1)}, "
            f"{rounds} round{'s' * (rounds != 1)}."
        )

    def markdown(self) -> str:
        """The result as a page: three lines that say it, then a table."""
        paper = (
            "The paper's own point was not tried to the end."
            if self.published_value is None
            else f"The paper's own point reached **{self.published_value:.6g}**."
        )
        lines = [
            f"Search from the published point of `{self.recipe_id}`.",
            f"{paper} Trial {self.best.number} is the best with "
            f"**{self.best_value:.6g}**.",
            self.spent(),
            "",
            "| hyperparameter | published | best | factor |",
            "| --- | --- | --- | --- |",
        ]
        for change in self.changes:
            published = "" if change.published is None else change.published
            lines.append(
                f"| {change.name} | {published} | {short(change.best)} | "
                f"{factor_text(change)} |"
            )
        return "\n".join(lines)


def outcome(study: Study, recipe: Recipe) -> Outcome | None:
    """The result of a study, or ``None`` while no trial is complete."""
    finished = finished_trials(study.trials)
    complete = [t for t in finished if t.state == TrialState.COMPLETE]
    if not complete:
        return None
    best = study.best_trial
    assert best.value is not None  # it is complete
    paper = next((t for t in complete if _draw(t).get("point") == 0), None)
    return Outcome(
        recipe_id=recipe.id,
        best=best,
        best_value=best.value,
        published_value=None if paper is None else paper.value,
        changes=[_change(name, value, recipe) for name, value in best.params.items()],
        rounds=max((_draw(t).get("round", 1) for t in finished), default=1),
        trials=len(finished),
    )


def factor_text(change: Change) -> str:
    """A factor for people: ``x 0.25``, or ``1-x: x 0.5`` where the scale is that."""
    if change.factor is None or change.factor == 1:
        return "" if change.factor is None else "same"
    return f"{'1-x: ' if change.of_rest else ''}x {change.factor:.3g}"


def short(value: Any) -> str:
    """A drawn value in four digits; what was published is never shortened."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _change(name: str, value: Any, recipe: Recipe) -> Change:
    hp = recipe.hyperparameters.get(name)
    if hp is None:
        return Change(name, None, value, None, False)
    factor = ratio(value, hp.value, hp.scale)
    return Change(name, hp.value, value, factor, hp.scale == "log1m")


def _draw(trial: FrozenTrial) -> dict[str, Any]:
    draw: dict[str, Any] = trial.user_attrs.get(DRAW_ATTR, {})
    return draw
