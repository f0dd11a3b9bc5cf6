"""What are the answers to the six questions that one has after a night of trials?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paperstart._cost import Cost
from paperstart._outcome import Outcome, factor_text, short
from paperstart._rounds import Round
from paperstart._sick import SickRun
from paperstart._ticks import number_text


@dataclass(frozen=True)
class Answer:
    """One question, its answer in a few words, and a line that explains it."""

    question: str
    answer: str
    detail: str


def answers(
    found: Outcome | None,
    importance: Mapping[str, float],
    rounds: Sequence[Round],
    sick: Sequence[SickRun] | None,
    cost: Cost,
) -> list[Answer]:
    """The answers, in the order of the questions; ``sick`` is ``None`` if unknown."""
    return [
        _held_up(found),
        _better(found),
        _mattered(importance, found),
        _narrowed(rounds),
        _sick(sick),
        _cost(cost),
    ]


def _held_up(found: Outcome | None) -> Answer:
    question = "Did the paper's own setting hold up?"
    if found is None:
        return Answer(question, "Not known yet", "No trial is complete.")
    if found.recipe_id is None and found.published_value is None:
        return Answer(question, "No paper", "The study started from no recipe.")
    if found.published_value is None or found.rank is None:
        return Answer(question, "Not known", "It was not tried to the end.")
    place = f"It is number {found.rank} of {found.complete} complete trials"
    reached = f"with {found.published_value:.6g}."
    if found.rank == 1:
        return Answer(question, "Yes: nothing was better", f"{place}, {reached}")
    upper = found.rank <= max(2, found.complete // 4)
    answer = "Nearly: in the best quarter" if upper else "Only in part"
    if found.rank > found.complete / 2:
        answer = "No: in the lower half"
    return Answer(question, answer, f"{place}, {reached}")


def _better(found: Outcome | None) -> Answer:
    question = "What is better, and by how much?"
    if found is None:
        return Answer(question, "Not known yet", "No trial is complete.")
    best = f"Trial {found.best.number}: {found.best_value:.6g}"
    if found.published_value is None:
        return Answer(question, best, "There is no paper's result to compare with.")
    if found.rank == 1:
        return Answer(question, "Nothing", found.verdict())
    gain = abs(found.best_value - found.published_value)
    share = ""
    if found.published_value:
        share = f" ({100 * gain / abs(found.published_value):.2g} %)"
    # What differs most from the paper, on its own scale.
    changed = [c for c in found.changes if c.factor and c.factor > 0 and c.factor != 1]
    changed.sort(key=lambda c: max(c.factor or 1, 1 / (c.factor or 1)), reverse=True)
    what = ", ".join(
        f"{c.name} {short(c.best)} ({factor_text(c)})" for c in changed[:2]
    )
    return Answer(question, best, f"Better by {gain:.4g}{share}. {what}".strip())


def _mattered(importance: Mapping[str, float], found: Outcome | None) -> Answer:
    question = "Which hyperparameters mattered?"
    if not importance:
        return Answer(question, "Not known yet", "It takes four different results.")
    first, *rest = importance.items()
    then = ", ".join(f"{name} {100 * share:.0f} %" for name, share in rest[:3])
    trials = 0 if found is None else found.complete
    rough = f" A rough figure from {trials} trials." if trials < 30 else ""
    answer = f"{first[0]} ({100 * first[1]:.0f} %)"
    return Answer(question, answer, f"Then {then}.{rough}" if then else rough.strip())


def _narrowed(rounds: Sequence[Round]) -> Answer:
    question = "Where did the search narrow to?"
    known = [one for one in rounds if one.regions]
    if not known:
        return Answer(question, "Not recorded", "The trials name no regions.")
    last = known[-1]
    ends = [
        f"{name} {number_text(low)} to {number_text(high)}"
        for name, (low, high) in last.regions.items()
    ]
    more = f", and {len(ends) - 4} more" if len(ends) > 4 else ""
    return Answer(question, f"Round {last.number}", "; ".join(ends[:4]) + more + ".")


def _sick(sick: Sequence[SickRun] | None) -> Answer:
    question = "Which runs are sick?"
    if sick is None:
        return Answer(question, "Not known", "MLflow's store could not be read.")
    if not sick:
        return Answer(question, "None", "No alarm, no failure, no NaN.")
    names = ", ".join(str(one.trial) for one in sick[:8])
    more = " and others" if len(sick) > 8 else ""
    count = f"{len(sick)} run{'s' * (len(sick) != 1)}"
    return Answer(question, count, f"Trial{'s' * (len(sick) != 1)} {names}{more}.")


def _cost(cost: Cost) -> Answer:
    first, _, rest = cost.sentence().partition(".  ")
    parts = first.partition(" on the clock")
    detail = (parts[2].lstrip(",. ") or rest).strip()
    return Answer("What did it cost?", parts[0], detail[:1].upper() + detail[1:])
