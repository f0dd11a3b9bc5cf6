"""Which values does the next trial get?"""

from __future__ import annotations

import hashlib
import secrets
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from paperstart._axis import Axis
from paperstart._history import (
    DRAW_ATTR,
    finished_trials,
    index_of,
    is_interrupted,
    losses,
    observations,
    place_of,
    values_taken,
)
from paperstart._published import published_points, value_inside
from paperstart._refine import (
    COARSE_TRIALS,
    FULL,
    FULL_SHARE,
    ROUND_TRIALS,
    Region,
    best_third,
    choice_weights,
    region_at,
    round_number,
)
from paperstart.catalog import load_recipe
from paperstart.errors import SearchSpaceError
from paperstart.recipe import Recipe
from paperstart.space import axis_of

_REDRAWS = 16
# What is not published has no place of its own in a published trial: the middle half
# of its range does the least harm to the published values.
_MIDDLE = Region(0.5, 0.5)


@dataclass(frozen=True)
class _Draw:
    """What is decided for a whole trial before any of its values."""

    kind: str  # published, coarse, region or full
    round: int
    point: int | None
    trials: Sequence[FrozenTrial]  # finished ones, in the order of finishing

    def attr(self) -> dict[str, Any]:
        return {"kind": self.kind, "round": self.round, "point": self.point}


class PaperStartSampler(BaseSampler):
    """Starts at the published point, draws around it, and refines coarse to fine.

    Trial k is the k-th published point. Then comes a coarse round of random draws
    around the first one, then rounds whose region follows the best trial: it shrinks
    while the best lies inside, grows when the best lies at its edge. One draw in five
    comes from the full range, so that a bad paper cannot trap the search. Draws are
    random, never a grid, and uniform on each hyperparameter's natural scale: a linear
    ``suggest_float("momentum", 0.1, 0.99)`` is drawn on the log of 1 - momentum.

    The state is the study itself: a resumed study goes on where it was, and any number
    of workers agree. Random numbers are keyed by (seed, trial number, name), so workers
    with one seed never draw the same point, and a sequential run repeats exactly.

    Args:
        recipe: a recipe, its id or alias, or a path to a recipe file.
        published: further points to start from: a mapping, or a list of mappings.
        names: canonical names of hyperparameters that go by another name in the
            objective: ``{"lr": "learning_rate"}``.
        seed: a whole number of at least 0; with none, every run differs.
        coarse_trials: trials of the coarse round, published points included.
        round_trials: trials between two updates of the region.

    Raises:
        RecipeNotFoundError: the catalog has no such recipe.
        SearchSpaceError: an argument is not of the form above.

    Sources: random rather than grid search, Bergstra & Bengio 2012; a region that grows
    and shrinks with success, as in trust-region methods (Conn, Gould & Toint 2000).
    """

    def __init__(
        self,
        recipe: Recipe | str | PathLike[str] | None = None,
        *,
        published: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        names: Mapping[str, str] | None = None,
        seed: int | None = None,
        coarse_trials: int = COARSE_TRIALS,
        round_trials: int = ROUND_TRIALS,
    ) -> None:
        if recipe is not None and not isinstance(recipe, Recipe):
            recipe = load_recipe(recipe)
        self._recipe = recipe
        self._points = published_points(recipe, published)
        self._names = dict(names or {})
        self._seed = _checked_seed(seed)
        for argument, value in (
            ("coarse_trials", coarse_trials),
            ("round_trials", round_trials),
        ):
            if value < 1:
                raise SearchSpaceError(f"{argument} is {value}; give at least 1.")
        self._coarse_trials = max(coarse_trials, len(self._points))
        self._round_trials = round_trials
        self._search_space = IntersectionSearchSpace()
        self._draws: dict[tuple[int, int], _Draw] = {}  # a cache; the study knows all
        self._warned: set[str] = set()

    @property
    def recipe(self) -> Recipe | None:
        """The recipe that the search starts from, if it was given one."""
        return self._recipe

    @property
    def names(self) -> dict[str, str]:
        """Canonical names of what goes by another name in the objective."""
        return dict(self._names)

    def reseed_rng(self) -> None:
        """Nothing to do: every trial has random numbers of its own."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What all finished trials have in common."""
        self._raise_error_if_multi_objective(study)
        return self._search_space.calculate(study)

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """A value for each hyperparameter of ``search_space``."""
        self._raise_error_if_multi_objective(study)
        return {
            name: self._value(study, trial, name, distribution)
            for name, distribution in search_space.items()
        }

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A value for one hyperparameter, also one that not all trials have."""
        self._raise_error_if_multi_objective(study)
        return self._value(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Decide what kind of draw the trial is, and write that into the trial."""
        if len(study.directions) > 1:
            return  # the draw itself says what is wrong
        attr = self._draw(study, trial).attr()
        # Samplers have no public way to write an attribute of a trial in progress. The
        # copy in hand is what the objective's trial reads.
        study._storage.set_trial_user_attr(trial._trial_id, DRAW_ATTR, attr)
        trial.set_user_attr(DRAW_ATTR, attr)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Warn if nothing published had a counterpart in the objective."""
        draw = self._draws.pop((study._study_id, trial.number), None)
        if draw is None or draw.point is None or not trial.params:
            return
        known = self._points[draw.point]
        if known and not any(self._canonical(name) in known for name in trial.params):
            self._warn_once(
                "names",
                f"None of the trial's hyperparameters ({', '.join(trial.params)}) has "
                f"a published value ({', '.join(known)}), so the search started "
                f"blindly. Pass names={{'your_name': 'published_name'}}.",
            )

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the cache, which each process makes anew."""
        return {**self.__dict__, "_draws": {}}

    def _canonical(self, name: str) -> str:
        return self._names.get(name, name)

    def _rng(self, trial: FrozenTrial, name: str) -> np.random.Generator:
        # A hash of our own: Python's differs between processes.
        digest = hashlib.sha256(name.encode()).digest()
        key = int.from_bytes(digest[:8], "little")
        return np.random.default_rng([self._seed, trial.number, key])

    def _draw(self, study: Study, trial: FrozenTrial) -> _Draw:
        """Decided once per trial, so that all of its values see the same history."""
        key = (study._study_id, trial.number)
        draw = self._draws.get(key)
        if draw is None:
            if len(self._draws) > 64:  # trials asked for and never told
                self._draws.clear()
            draw = self._draws[key] = self._decide(study, trial)
        return draw

    def _decide(self, study: Study, trial: FrozenTrial) -> _Draw:
        trials = study.get_trials(deepcopy=False)
        finished = finished_trials(trials)
        number = round_number(len(finished), self._coarse_trials, self._round_trials)
        point = self._point_of(trial, trials)
        if point is not None:
            return _Draw("published", number, point, finished)
        if self._rng(trial, "").random() < FULL_SHARE:
            return _Draw("full", number, None, finished)
        return _Draw("coarse" if number == 1 else "region", number, None, finished)

    def _point_of(
        self, trial: FrozenTrial, trials: Sequence[FrozenTrial]
    ) -> int | None:
        """Index of the published point that the trial tries, if it tries one."""
        count = len(self._points)
        if trial.number < count:
            return trial.number
        # A published point whose trial somebody interrupted is still to be tried.
        tried: dict[int, bool] = {}
        for other in trials:
            if other.number < count:
                point = other.number
            else:
                point = other.user_attrs.get(DRAW_ATTR, {}).get("point")
            if point is not None and other.number < trial.number:
                tried[point] = tried.get(point, False) or not is_interrupted(other)
        return next((point for point in sorted(tried) if not tried[point]), None)

    def _value(
        self, study: Study, trial: FrozenTrial, name: str, dist: BaseDistribution
    ) -> Any:
        draw = self._draw(study, trial)
        if draw.point is not None:
            value = self._published(name, dist, draw.point)
            if value is not None:
                return value
        axis = axis_of(self._canonical(name), dist)
        if axis is None:
            assert isinstance(dist, CategoricalDistribution)
            return self._choice(study, trial, name, dist, draw)
        taken: set[Any] = set()
        if axis.cells is not None:
            taken = values_taken(name, dist, study.get_trials(deepcopy=False))
        region = self._region(study, name, dist, axis, draw)
        number = _unused(axis, region, self._rng(trial, name), taken)
        if isinstance(dist, CategoricalDistribution):
            return dist.choices[int(number)]
        return number

    def _region(
        self,
        study: Study,
        name: str,
        dist: BaseDistribution,
        axis: Axis,
        draw: _Draw,
    ) -> Region:
        """Where a numeric value of this draw is taken from."""
        if draw.kind == "full":
            return FULL
        if draw.kind == "published":
            return _MIDDLE
        start = self._first_published(name, dist)
        return region_at(
            name,
            observations(study, name, dist, axis, draw.trials),
            None if start is None else place_of(axis, dist, start),
            self._coarse_trials,
            self._round_trials,
        )

    def _choice(
        self,
        study: Study,
        trial: FrozenTrial,
        name: str,
        dist: CategoricalDistribution,
        draw: _Draw,
    ) -> Any:
        """One of some choices without an order."""
        weights = [1.0] * len(dist.choices)
        if draw.kind in ("coarse", "region"):
            counts = [0] * len(dist.choices)
            for i in best_third(losses(study, draw.trials)):
                index = index_of(dist, draw.trials[i].params.get(name))
                if index is not None:
                    counts[index] += 1
            start = self._first_published(name, dist)
            first = None if start is None else index_of(dist, start)
            weights = choice_weights(counts, first, draw.round - 1)
        total = np.cumsum(weights)
        place = self._rng(trial, name).random() * total[-1]
        return dist.choices[int(np.searchsorted(total, place, side="right"))]

    def _first_published(self, name: str, dist: BaseDistribution) -> Any:
        """The value that the search starts around: the first point's that has one."""
        values = (self._published(name, dist, k) for k in range(len(self._points)))
        return next((value for value in values if value is not None), None)

    def _published(self, name: str, dist: BaseDistribution, point: int) -> Any:
        canonical = self._canonical(name)
        published = self._points[point].get(canonical)
        value, remark = value_inside(canonical, published, dist)
        if remark is not None:
            self._warn_once(name, remark)
        return value

    def _warn_once(self, key: str, text: str) -> None:
        if key not in self._warned:
            self._warned.add(key)
            warnings.warn(text, UserWarning, stacklevel=2)


def _checked_seed(seed: int | None) -> int:
    if seed is None:
        return secrets.randbits(63)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise SearchSpaceError(f"seed is {seed!r}; give a whole number of at least 0.")
    return int(seed)


def _unused(
    axis: Axis, region: Region, rng: np.random.Generator, taken: set[Any]
) -> float:
    """A value in the region that no trial has, while there is room for one.

    There is room while fewer than half of the values were tried. If the region itself
    has none left, it is the nearest one outside.
    """
    value = axis.from_unit(region.place(rng.random()))
    cells = axis.cells
    if cells is None or len(taken) >= cells / 2:
        return value  # a continuous draw repeats once in 2**53
    for _ in range(_REDRAWS):
        if value not in taken:
            return value
        value = axis.from_unit(region.place(rng.random()))
    step = axis.step or 0.0
    for distance in range(1, cells):
        for sign in (1, -1):
            near = axis.snap(value + sign * distance * step)
            if near not in taken:
                return near
    return value
