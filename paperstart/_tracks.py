"""Where did each trial lie on each hyperparameter's own scale, and where the search?

What the coarse-to-fine picture shows, as plain numbers in [0, 1]: plotly and matplotlib
both draw it from here.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from paperstart._axis import Axis
from paperstart._history import index_of, is_interrupted
from paperstart._natural import axis_of, has_order, is_number
from paperstart._rounds import Round
from paperstart._scales import NUMERIC_SCALES, Scale, canonical
from paperstart._study_facts import StudyFacts
from paperstart._ticks import Tick, choice_place, choice_ticks, number_text, ticks

GOOD_SHARE = 0.25
"""The best quarter of the complete trials is drawn as good (our choice)."""
_SCALES = {"log": "log scale", "log1m": "log scale of 1 - x", "linear": "linear scale"}


@dataclass(frozen=True)
class Dot:
    """One trial's value of one hyperparameter.

    Attributes:
        number: the trial's.
        place: in [0, 1] on the natural scale.
        text: the value.
        how: ``best``, ``good``, ``complete``, ``pruned`` or ``failed``.
    """

    number: int
    place: float
    text: str
    how: str


@dataclass(frozen=True)
class Span:
    """The region of one round: from trial to trial, and its ends in [0, 1]."""

    round: int
    first: int
    last: int
    low: float
    high: float


@dataclass(frozen=True)
class Track:
    """One hyperparameter through the whole search.

    Attributes:
        name: the hyperparameter.
        scale: the axis, in words.
        dots: a value per trial that had one.
        spans: a region per round that the sampler wrote down.
        ticks: places and labels of the axis, whose ends are the full range.
        published: place and text of the published value, if it has a place.
    """

    name: str
    scale: str
    dots: tuple[Dot, ...]
    spans: tuple[Span, ...]
    ticks: tuple[Tick, ...]
    published: tuple[float, str] | None


class _Ruler:
    """Places on one hyperparameter's axis, be it of numbers or of choices."""

    def __init__(self, distribution: BaseDistribution, scale: Scale) -> None:
        self.choices: Sequence[Any] | None = None
        self._categorical = None
        if isinstance(distribution, CategoricalDistribution):
            self._categorical, self.choices = distribution, distribution.choices
            self._ordered = has_order(distribution)
            self.words, self.ticks = "choices", choice_ticks(self.choices)
            return
        axis = axis_of(distribution, scale)
        assert axis is not None  # only choices have none
        self._axis: Axis = axis
        self.words, self.ticks = _SCALES[axis.scale], ticks(axis)

    def place(self, value: Any) -> float | None:
        """The place of a value that a trial had, or that was published."""
        if self._categorical is None:
            return self._axis.to_unit(value) if is_number(value) else None
        index = index_of(self._categorical, value)
        if index is None:
            return None
        return choice_place(index, len(self._categorical.choices))

    def holds(self, value: Any) -> bool:
        """Whether the axis has the value, so that a line may be drawn there."""
        if self._categorical is not None:
            return index_of(self._categorical, value) is not None
        return is_number(value) and self._axis.low <= value <= self._axis.high

    def ends(self, low: float, high: float) -> tuple[float, float]:
        """The places of a region's two ends, which are in the value's own unit."""
        if self._categorical is None:
            return self._axis.to_unit(low), self._axis.to_unit(high)
        choices = self._categorical.choices
        if not self._ordered:
            return 0.0, 1.0
        first = bisect.bisect_left(choices, low)  # type: ignore[type-var]
        after = bisect.bisect_right(choices, high)  # type: ignore[type-var]
        return first / len(choices), max(after, first) / len(choices)


def tracks(study: Study, facts: StudyFacts, rounds: Sequence[Round]) -> list[Track]:
    """Each hyperparameter that a trial of the study has, in the order of asking."""
    trials = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]
    trials = [trial for trial in trials if not is_interrupted(trial)]
    standing = _standing(study, trials)
    names = dict.fromkeys(name for trial in trials for name in trial.distributions)
    return [_track(name, trials, standing, facts, rounds) for name in names]


def _track(
    name: str,
    trials: Sequence[FrozenTrial],
    standing: dict[int, str],
    facts: StudyFacts,
    rounds: Sequence[Round],
) -> Track:
    hp = facts.hyperparameter(name)
    scale = canonical(facts.names.get(name, name)).scale
    if hp is not None and hp.scale in NUMERIC_SCALES:
        scale = hp.scale
    asked = [t.distributions[name] for t in trials if name in t.distributions]
    ruler = _Ruler(_widest(asked), scale)
    dots = []
    for trial in trials:
        place = ruler.place(trial.params.get(name))
        if place is not None:
            text = _text(trial.params[name])
            dots.append(Dot(trial.number, place, text, standing[trial.number]))
    spans = []
    for at in rounds:
        if name in at.regions:
            low, high = ruler.ends(*at.regions[name])
            spans.append(Span(at.number, min(at.trials), max(at.trials), low, high))
    published, words = None, ruler.words
    if hp is not None and ruler.holds(hp.value):
        published = (ruler.place(hp.value) or 0.0, _text(hp.value))
    elif hp is not None and is_number(hp.value):
        words += f"; published {_text(hp.value)} is outside"
    return Track(name, words, tuple(dots), tuple(spans), tuple(ruler.ticks), published)


def _standing(study: Study, trials: Sequence[FrozenTrial]) -> dict[int, str]:
    """How well each trial did, in a word."""
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    complete = [t for t in complete if t.value is not None]
    upward = study.direction.name == "MAXIMIZE"
    best_first = sorted(complete, key=lambda t: t.value or 0.0, reverse=upward)
    good = {t.number for t in best_first[: max(1, int(len(complete) * GOOD_SHARE))]}
    words = {TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    standing = {
        t.number: words.get(t.state, "good" if t.number in good else "complete")
        for t in trials
    }
    if best_first:
        standing[best_first[0].number] = "best"
    return standing


def _widest(found: Sequence[BaseDistribution]) -> BaseDistribution:
    """The range over all trials, where an objective has changed it on the way."""
    last = found[-1]
    if isinstance(last, CategoricalDistribution):
        return last
    assert isinstance(last, (FloatDistribution, IntDistribution))
    if isinstance(last, IntDistribution):
        whole = [d for d in found if isinstance(d, IntDistribution)]
        low, high = min(d.low for d in whole), max(d.high for d in whole)
        return IntDistribution(low, high, log=last.log, step=last.step)
    same = [d for d in found if isinstance(d, FloatDistribution)]
    least, most = min(d.low for d in same), max(d.high for d in same)
    return FloatDistribution(least, most, log=last.log, step=last.step)


def _text(value: Any) -> str:
    return number_text(value) if is_number(value) else str(value)
