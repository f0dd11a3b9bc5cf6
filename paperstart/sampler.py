"""Which values does the next trial get?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from paperstart._column import Column
from paperstart._draw import checked_seed, generator, is_full, unused, weighted
from paperstart._history import DRAW_ATTR, Draw, Histories, draw_attr, point_of
from paperstart._joint import Joint
from paperstart._published import Start, is_enqueued
from paperstart._refine import COARSE_TRIALS, ROUND_TRIALS, Plan
from paperstart._why import why
from paperstart.adapt import Adapted
from paperstart.catalog import load_recipe
from paperstart.errors import SearchSpaceError
from paperstart.recipe import Recipe


class PaperStartSampler(BaseSampler):
    """Starts at the published point, and refines coarse to fine with a model.

    Trial k is the k-th published point. The next one is drawn from the middle of the
    ranges, in case the paper does not fit. From then on, a Gaussian process of all
    trials says where the largest improvement is to be expected. It looks everywhere
    and, more closely, around the best trials, in a region that shrinks from round to
    round while the best lies inside and grows when the best lies at its edge. Where
    there is nothing to learn from yet (trials in flight, failures), draws are random
    around the published point, one in five from the full range. Everything happens on
    each hyperparameter's natural scale, never on a grid: a linear
    ``suggest_float("momentum", 0.1, 0.99)`` is drawn on the log of 1 - momentum.
    Hyperparameters that only some trials have are drawn on their own.

    The state is the study itself: a resumed study goes on where it was, and any number
    of workers agree. Random numbers are keyed by (seed, trial number, name), so workers
    with one seed never draw the same point, and a sequential run repeats exactly.

    Trials that were stopped early count by how far they came, those that broke a
    constraint as bad ones, failures hardly.

    Args:
        recipe: a recipe, its id or alias, or a path to a recipe file; or what
            ``recipe.adapt()`` made of one.
        published: further points to start from: a mapping, or a list of mappings.
        names: canonical names of hyperparameters that go by another name in the
            objective: ``{"lr": "learning_rate"}``.
        seed: a whole number of at least 0; with none, every run differs.
        coarse_trials: trials of the coarse round, published points included.
        round_trials: trials between two updates of the region.

    Raises:
        RecipeNotFoundError: the catalog has no such recipe.
        SearchSpaceError: an argument is not of the form above.

    Sources: random rather than grid search, Bergstra & Bengio 2012; Gaussian processes
    with expected improvement, Jones, Schonlau & Welch 1998, averaged over length
    scales, Snoek et al. 2012; trials in flight, Ginsbourger et al. 2010; a region that
    grows and shrinks with success, as in trust-region methods (Conn, Gould & Toint
    2000; Eriksson et al. 2019); the learning rate per example, Smith & Le 2018. That
    the published point is tried first, and is no prior of the model, is our own choice.
    """

    def __init__(
        self,
        recipe: Recipe | Adapted[Recipe] | str | PathLike[str] | None = None,
        *,
        published: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        names: Mapping[str, str] | None = None,
        seed: int | None = None,
        coarse_trials: int = COARSE_TRIALS,
        round_trials: int = ROUND_TRIALS,
    ) -> None:
        if recipe is not None and not isinstance(recipe, (Recipe, Adapted)):
            recipe = load_recipe(recipe)
        self._recipe = recipe.recipe if isinstance(recipe, Adapted) else recipe
        self._names = dict(names or {})
        self._start = Start(recipe, published, names)
        self._seed = checked_seed(seed)
        for argument, value in (
            ("coarse_trials", coarse_trials),
            ("round_trials", round_trials),
        ):
            if value < 1:
                raise SearchSpaceError(f"{argument} is {value}; give at least 1.")
        self._plan = Plan(max(coarse_trials, len(self._start.points)), round_trials)
        self._histories = Histories()  # a cache; the studies know all

    @property
    def recipe(self) -> Recipe | None:
        """The recipe that the search starts from, if it was given one."""
        return self._recipe

    @property
    def names(self) -> dict[str, str]:
        """Canonical names of what goes by another name in the objective."""
        return dict(self._names)

    def explain(self, study: Study, trial: FrozenTrial) -> str:
        """Why a trial is where it is, in words: of any trial that a study has."""
        return why(study, trial)

    def reseed_rng(self) -> None:
        """Nothing to do: every trial has random numbers of its own."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What the model chose values for; all else is drawn when it is asked for."""
        self._raise_error_if_multi_objective(study)
        params = self._draw(study, trial).params
        cube = self._joint(study).cube() if params else None
        return {} if cube is None else cube.space

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """A value for each hyperparameter of ``search_space``."""
        self._raise_error_if_multi_objective(study)
        chosen = self._draw(study, trial).params
        return {
            name: chosen[name]
            if name in chosen
            else self._value(study, trial, name, distribution)
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
        self._write(study, trial, self._draw(study, trial).attr())

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Write where values came from; warn if nothing published was asked for."""
        if len(study.directions) > 1:
            return
        attr = self._draw(study, trial).attr()
        if draw_attr(trial) and attr != draw_attr(trial):
            self._write(study, trial, attr)
        point = point_of(trial)
        if point is not None and point < len(self._start.points):
            self._start.warn_if_unmatched(trial.params, point)

    def _write(self, study: Study, trial: FrozenTrial, attr: dict[str, Any]) -> None:
        # Samplers have no public way to write an attribute of a trial in progress; what
        # the objective sees of it is `trial`.
        study._storage.set_trial_user_attr(trial._trial_id, DRAW_ATTR, attr)
        trial.user_attrs[DRAW_ATTR] = attr

    def _joint(self, study: Study) -> Joint:
        return Joint(study, self._histories.of(study), self._start, self._plan)

    def _draw(self, study: Study, trial: FrozenTrial) -> Draw:
        """Decided once per trial, so that all of its values see the same history."""
        history = self._histories.of(study)
        return history.draw_of(trial.number, lambda: self._decide(study, trial))

    def _decide(self, study: Study, trial: FrozenTrial) -> Draw:
        history = self._histories.of(study)
        history.read(study)
        finished = history.finished
        number = self._plan.round_after(finished)
        if is_enqueued(trial):
            return Draw("enqueued", number, None, finished)
        point = point_of(trial)  # one that Optuna repeats after a failure
        if point is None:
            point = self._start.open_point(trial.number, history.tried, history.running)
        if point is not None:
            return Draw("published", number, point, finished)
        points = len(self._start.points)
        if points and trial.number == points:
            return Draw("coarse", number, None, finished, hedge=True)
        chosen = self._joint(study).draw(trial.number, number, self._seed)
        if chosen is not None:
            return chosen
        if is_full(self._seed, trial.number):
            return Draw("full", number, None, finished)
        return Draw("coarse" if number == 1 else "region", number, None, finished)

    def _column(
        self, study: Study, name: str, distribution: BaseDistribution
    ) -> Column:
        history = self._histories.of(study)
        return Column(name, distribution, study, history, self._start, self._plan)

    def _value(
        self,
        study: Study,
        trial: FrozenTrial,
        name: str,
        distribution: BaseDistribution,
    ) -> Any:
        draw = self._draw(study, trial)
        if draw.point is not None and draw.point < len(self._start.points):
            value = self._start.value(name, distribution, draw.point)
            if value is not None:
                return value
        column = self._column(study, name, distribution)
        rng = generator(self._seed, trial.number, name)
        axis = column.axis
        if axis is None:
            number: float = weighted(column.weights(draw), rng)
        else:
            region = column.region(draw)
            number = unused(axis, region, rng, *column.cells(trial))
            draw.region.setdefault(name, column.ends(region))
        if isinstance(distribution, CategoricalDistribution):
            return distribution.choices[int(number)]
        return number
