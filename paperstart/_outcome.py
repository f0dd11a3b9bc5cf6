"""What came out of a study: did the paper's own point hold up, and what is better?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from paperstart._history import draw_attr, finished_trials
from paperstart._scales import ratio
from paperstart._study_facts import StudyFacts


@dataclass(frozen=True)
class Change:
    """One hyperparameter, as published and at the best trial.

    Attributes:
        name: the hyperparameter.
        published: as published, or ``None`` if it was not.
        best: at the best trial.
        factor: best over published, on the natural scale; ``None`` if it says nothing.
        of_rest: whether the factor is of 1 - x.
        where: the place of publication, and its address; both empty if unpublished.
    """

    name: str
    published: Any
    best: Any
    factor: float | None
    of_rest: bool
    where: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Outcome:
    """The result of a study.

    Attributes:
        recipe_id: what it started from, or ``None``.
        best: the best trial.
        best_value: its objective value.
        published_value: that of the paper's own point, if it was tried to the end.
        rank: how many complete trials are as good as that point, itself included.
        complete: how many trials are complete.
        changes: what the best trial has, beside what was published.
        rounds: rounds begun.
        trials: trials that are over.
    """

    recipe_id: str | None
    best: FrozenTrial
    best_value: float
    published_value: float | None
    rank: int | None
    complete: int
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

    def verdict(self) -> str:
        """Whether the paper's own point held up, in a sentence."""
        best = f"Trial {self.best.number}"
        if self.published_value is None:
            return "The paper's own point was not tried to the end."
        if self.best_value == self.published_value:
            return "Nothing was better than the paper's own point."
        return (
            f"{best} is better than the paper's own point: "
            f"{self.best_value:.6g} against {self.published_value:.6g}."
        )


def outcome(study: Study, facts: StudyFacts) -> Outcome | None:
    """The result of a study, or ``None`` while no trial is complete."""
    finished = finished_trials(study.trials)
    complete = [t for t in finished if t.state == TrialState.COMPLETE]
    if not complete:
        return None
    best = study.best_trial
    assert best.value is not None  # it is complete
    paper = next((t for t in complete if draw_attr(t).get("point") == 0), None)
    published = None if paper is None else paper.value
    return Outcome(
        recipe_id=None if facts.recipe is None else facts.recipe.id,
        best=best,
        best_value=best.value,
        published_value=published,
        rank=_rank(study, complete, published),
        complete=len(complete),
        changes=[_change(name, value, facts) for name, value in best.params.items()],
        rounds=max((draw_attr(t).get("round", 1) for t in finished), default=1),
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


def _rank(
    study: Study, complete: list[FrozenTrial], published: float | None
) -> int | None:
    if published is None:
        return None
    values = [trial.value for trial in complete if trial.value is not None]
    if study.direction.name == "MAXIMIZE":
        return sum(value > published for value in values) + 1
    return sum(value < published for value in values) + 1


def _change(name: str, value: Any, facts: StudyFacts) -> Change:
    hp = facts.hyperparameter(name)
    if hp is None:
        return Change(name, None, value, None, False)
    factor = ratio(value, hp.value, hp.scale)
    where = (hp.source.where, hp.source.url)
    return Change(name, hp.value, value, factor, hp.scale == "log1m", where)
