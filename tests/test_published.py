"""The published points, and what an objective's distributions make of them."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from paperstart import load_recipe
from paperstart._history import DRAW_ATTR
from paperstart._published import Start, published_points, value_inside
from paperstart.errors import SearchSpaceError

RATE = FloatDistribution(1e-4, 1.0, log=True)
SIZES = CategoricalDistribution([16, 32, 64])


def trial(
    number: int, state: TrialState = TrialState.RUNNING, **attrs: Any
) -> FrozenTrial:
    """A trial in a state, with ``point`` said or not, enqueued or not."""
    fixed = attrs.pop("fixed", None)
    if "point" in attrs:
        attrs = {DRAW_ATTR: {"kind": "x", "round": 1, "point": attrs["point"]}}
    made = create_trial(
        state=state,
        value=0.0 if state == TrialState.COMPLETE else None,
        user_attrs=attrs,
        system_attrs={} if fixed is None else {"fixed_params": fixed},
    )
    made.number = number
    return made


class TestPoints:
    """Which points there are."""

    def test_the_recipe_comes_first(self) -> None:
        """The recipe is point 0, and what is given beside it comes after."""
        recipe = load_recipe("resnet50")
        more = [{"learning_rate": 0.5}, {"learning_rate": 0.2}]

        assert published_points(recipe, more) == [recipe.published, *more]
        assert published_points(None, more[0]) == [more[0]]
        assert published_points(None, None) == []

    @pytest.mark.parametrize("published", ["resnet50", 0.1, [0.1], ["lr"], {"lr"}])
    def test_anything_else_is_refused(self, published: Any) -> None:
        """What is no mapping is named in the error, with what to write."""
        with pytest.raises(SearchSpaceError, match="give a mapping of names") as error:
            Start(None, published, None)

        assert repr(published) in str(error.value)

    def test_a_point_is_copied(self) -> None:
        """A change of the caller's mapping does not move the start."""
        point = {"lr": 0.1}
        start = Start(None, point, None)
        point["lr"] = 0.9

        assert start.value("lr", RATE, 0) == 0.1


class TestNames:
    """Hyperparameters that go by another name in the objective."""

    @pytest.mark.parametrize("key", ["lr", "learning_rate"])
    def test_a_point_may_use_either_name(self, key: str) -> None:
        """A published value is found under the objective's name and the canonical."""
        start = Start(None, {key: 0.1}, {"lr": "learning_rate"})

        assert start.value("lr", RATE, 0) == 0.1
        assert start.canonical("lr") == "learning_rate"

    def test_a_misspelt_name_is_refused(self) -> None:
        """A name that nothing is known of is an error that says what was meant."""
        with pytest.raises(SearchSpaceError, match="Did you mean learning_rate"):
            Start(None, None, {"lr": "lerning_rate"})

    def test_a_published_name_will_do(self) -> None:
        """A name may be mapped to one that only the published point knows."""
        start = Start(None, {"alpha_decay": 0.1}, {"decay": "alpha_decay"})

        assert start.value("decay", RATE, 0) == 0.1


class TestScales:
    """The scale of a hyperparameter."""

    def test_the_recipe_decides(self) -> None:
        """A recipe's own scale goes before that of the canonical name."""
        recipe = load_recipe("resnet50")
        units = recipe.hyperparameters["hidden_units"]
        linear = dataclasses.replace(units, scale="linear")
        hyperparameters = {**recipe.hyperparameters, "hidden_units": linear}
        own = dataclasses.replace(recipe, hyperparameters=hyperparameters)

        assert Start(None, None, None).scale("hidden_units") == "log"
        assert Start(own, None, {"width": "hidden_units"}).scale("width") == "linear"

    def test_an_unknown_name_is_linear(self) -> None:
        """Of a name that is neither published nor canonical, nothing is known."""
        assert Start(None, {"x": 1}, None).scale("x") == "linear"


class TestValueInside:
    """A published value inside of what the objective asks for."""

    @pytest.mark.parametrize(
        ("value", "distribution", "inside"),
        [
            (0.1 + 0.2, RATE, 0.30000000000000004),
            (1, FloatDistribution(0.0, 2.0), 1.0),
            (256.0, IntDistribution(1, 512), 256),
            (np.float32(0.5), FloatDistribution(0.0, 1.0), 0.5),
            (np.int64(32), IntDistribution(1, 64), 32),
            ("adam", CategoricalDistribution(["sgd", "adam"]), "adam"),
            (True, CategoricalDistribution([1, 0, True]), True),
            (64, SIZES, 64),
        ],
    )
    def test_what_fits_stays(
        self, value: Any, distribution: BaseDistribution, inside: Any
    ) -> None:
        """A value that the distribution has is kept to the last digit, and silently."""
        found, remark = value_inside("x", value, distribution, "linear")

        assert (found, remark) == (inside, None)
        assert type(found) is type(inside)

    @pytest.mark.parametrize(
        ("value", "distribution", "inside"),
        [
            (30.0, RATE, 1.0),
            (0, RATE, 1e-4),
            (0.1234, FloatDistribution(0.0, 1.0, step=0.1), 0.1),
            (2.7, IntDistribution(1, 8), 3),
            (256, SIZES, 64),
            (30, SIZES, 32),
        ],
    )
    def test_what_lies_outside_is_moved(
        self, value: Any, distribution: BaseDistribution, inside: Any
    ) -> None:
        """The nearest value is taken, and the remark names both and what to do."""
        found, remark = value_inside("batch_size", value, distribution, "log")

        assert found == inside
        assert type(found) is type(inside)
        assert remark is not None
        assert f"The published batch_size {value!r}" in remark
        assert f"the search starts at {inside!r}" in remark
        assert "Widen the range" in remark or "Add it to the choices" in remark

    @pytest.mark.parametrize(
        ("value", "distribution", "words"),
        [
            ("lion", CategoricalDistribution(["sgd", "adam"]), "Add it to the choices"),
            ("auto", SIZES, "none of the choices"),
            ("cosine", RATE, "asks for a number"),
            (True, RATE, "asks for a number"),
            (float("nan"), RATE, "asks for a number"),
            ({"warm": 1}, RATE, "asks for a number"),
        ],
    )
    def test_what_has_no_counterpart_is_left_out_aloud(
        self, value: Any, distribution: BaseDistribution, words: str
    ) -> None:
        """A value of another kind is no start, and the remark says so."""
        found, remark = value_inside("x", value, distribution, "linear")

        assert found is None
        assert remark is not None
        assert words in remark
        assert "starts without it" in remark

    @pytest.mark.parametrize("value", [None, [30, 60, 90], (1, 2)])
    def test_lists_have_no_counterpart(self, value: Any) -> None:
        """Milestones are left out without a word: no objective asks for them."""
        assert value_inside("x", value, RATE, "log") == (None, None)


class TestWarnings:
    """What a user hears, and how often."""

    def test_each_is_said_once(self) -> None:
        """A clipped value is mentioned for each point, but not for each trial."""
        start = Start(None, [{"lr": 5.0}, {"lr": 9.0}], None)
        with pytest.warns(UserWarning, match="lies outside") as heard:
            [start.values("lr", RATE) for _ in range(3)]

        assert len(heard) == 2

    def test_a_start_that_meets_nothing_says_so(self) -> None:
        """Names without any counterpart are named, with the way to map them."""
        start = Start(None, {"learning_rate": 0.1}, None)
        with pytest.warns(UserWarning, match="started blindly") as heard:
            start.warn_if_unmatched({"lr": 0.3, "mom": 0.9}, 0)
        start.warn_if_unmatched({"lr": 0.3, "mom": 0.9}, 0)  # a warning fails a test

        assert len(heard) == 1
        assert "lr, mom" in str(heard[0].message)
        assert "names={" in str(heard[0].message)

    def test_one_counterpart_is_enough(self) -> None:
        """If one hyperparameter has a published value, there is nothing to say."""
        start = Start(None, {"learning_rate": 0.1}, {"lr": "learning_rate"})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            start.warn_if_unmatched({"lr": 0.3, "mom": 0.9}, 0)
            start.warn_if_unmatched({}, 0)


class TestOpenPoint:
    """Which point a trial tries."""

    START = Start(None, [{"a": 1}, {"a": 2}], None)

    def test_trial_k_tries_point_k(self) -> None:
        """Workers that start at once each take the point of their number."""
        running = [trial(number) for number in range(4)]
        points = [self.START.open_point(k, [], running) for k in range(4)]

        assert points == [0, 1, None, None]

    def test_the_users_own_trial_takes_none(self) -> None:
        """An enqueued trial leaves the point to the next one."""
        queue = [trial(0, TrialState.WAITING, fixed={"a": 7})]

        assert self.START.open_point(1, [], [*queue, trial(1)]) == 0
        assert self.START.open_point(2, [], [*queue, trial(1), trial(2)]) == 1

    def test_a_running_trial_holds_what_it_says(self) -> None:
        """A worker that retries point 0 does not hold point 1."""
        running = [trial(5, point=0), trial(6)]

        assert self.START.open_point(6, [], running) == 1

    def test_a_finished_point_is_done_also_if_it_failed(self) -> None:
        """A failed try is a try."""
        tried = [
            trial(0, TrialState.FAIL, point=0),
            trial(1, TrialState.PRUNED, point=1),
        ]

        assert self.START.open_point(2, tried, [trial(2)]) is None

    def test_higher_numbers_do_not_count(self) -> None:
        """What a later trial did cannot change what an earlier one is."""
        later = [trial(9, TrialState.COMPLETE, point=0)]

        assert self.START.open_point(0, later, [trial(0)]) == 0
