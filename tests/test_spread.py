"""Ranges from what others of one task and optimizer published."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_recipe import alternative, recipe, value

from paperstart import list_recipes, load_recipe
from paperstart._scales import CANONICAL, NUMERIC_SCALES, default_range
from paperstart._spread import (
    FEWEST,
    has_spread,
    range_within,
    spread_of,
    spread_text,
)

NAMES = sorted(filter(has_spread, CANONICAL))
PLACES = st.floats(0.0, 1.0)


def table(name: str, values: list[float]) -> list[float] | None:
    """The low, high and count that these published values make."""
    text = spread_text(("task", "sgd", name, value) for value in values)
    found: list[float] | None = (
        json.loads(text).get("task", {}).get("sgd", {}).get(name)
    )
    return found


class TestTable:
    """The middle of the published values, on the natural scale."""

    def test_the_middle_of_a_rate(self) -> None:
        """A quantile is not that of the logarithms."""
        low, high, count = table("learning_rate", [10.0**-k for k in range(21)]) or []

        assert (low, high, count) == (1e-19, 0.1, 21)

    def test_the_middle_of_a_momentum(self) -> None:
        """A quantile is not that of the logarithms of 1 - x."""
        values = [1 - 10.0**-k for k in range(1, 6)]
        low, high, count = table("momentum", values) or []

        assert 1 - low == pytest.approx(10**-1.2)
        assert 1 - high == pytest.approx(10**-4.8, rel=1e-4)
        assert count == 5

    def test_a_few_recipes_make_none(self) -> None:
        """Four recipes count as many."""
        assert table("learning_rate", [0.1] * (FEWEST - 1)) is None
        assert table("learning_rate", [0.1] * FEWEST) == [0.1, 0.1, FEWEST]

    def test_what_a_logarithm_does_not_take(self) -> None:
        """A weight decay of zero counts on a log scale, or ends the script."""
        assert table("weight_decay", [0.0] * 3 + [0.1] * 4) is None
        assert table("dropout", [0.0] * 4 + [0.5]) == [0.0, pytest.approx(0.4), 5]

    def test_costs_do_not_count(self) -> None:
        """A search tries 1800 epochs, since somebody did."""
        assert {"learning_rate", "momentum", "weight_decay", "dropout"} <= set(NAMES)
        for name in ("epochs", "batch_size", "image_size", "hidden_layers", "nesterov"):
            assert not has_spread(name)


@given(st.sampled_from(NAMES), PLACES, PLACES, PLACES)
def test_a_range_holds_its_value(name: str, a: float, b: float, c: float) -> None:
    """A range leaves its value out, or is narrower than a factor of 3."""
    known = CANONICAL[name]
    low, high = sorted((a, b))
    found = range_within(name, c, (low, high, FEWEST))

    if found is None:
        return
    assert known.least <= found[0] <= c <= found[1] <= max(known.most, c)
    assert found[0] < found[1]
    if known.scale == "log":
        assert found[0] <= c / 3 * (1 + 1e-4)
        assert found[1] >= min(c * 3, known.most) * (1 - 1e-4)
    elif known.scale == "log1m":
        assert 1 - found[1] <= (1 - c) / 3 * (1 + 1e-4) + 1e-11


@given(st.sampled_from(NAMES), st.floats(allow_nan=False, allow_infinity=False))
def test_any_value(name: str, of: float) -> None:
    """An odd value ends in an error, or in a range that is none."""
    found = range_within(name, of, (0.1, 0.2, FEWEST))

    assert found is None or (found[0] <= of <= found[1] and math.isfinite(found[1]))


class TestRecipe:
    """A recipe says where each range comes from."""

    @pytest.fixture
    def sgd(self) -> tuple[float, float, int]:
        """The spread of learning rates that the catalog ships."""
        return spread_of("image-classification", "sgd")["learning_rate"]

    def test_from_the_catalog(self, sgd: tuple[float, float, int]) -> None:
        """A range is not that of the published values, or does not say so."""
        made = recipe(optimizer=value("sgd"), learning_rate=value(0.1))
        hp = made.hyperparameters["learning_rate"]

        assert (hp.low, hp.high) == range_within("learning_rate", 0.1, sgd)
        assert hp.range_source == f"{sgd[2]} recipes"
        assert sgd[2] >= FEWEST

    def test_its_own_comes_first(self) -> None:
        """A recipe's own range is widened, or said to be another's."""
        made = recipe(
            optimizer=value("sgd"), learning_rate=value(0.1, low=0.05, high=0.2)
        )
        hp = made.hyperparameters["learning_rate"]

        assert (hp.low, hp.high, hp.range_source) == (0.05, 0.2, "recipe")

    @pytest.mark.parametrize(
        "others",
        [{}, {"optimizer": value("unheard-of")}],
        ids=["no optimizer", "unknown"],
    )
    def test_else_the_default(self, others: dict[str, object]) -> None:
        """Where the catalog says too little, a range says otherwise."""
        hp = recipe(**others, learning_rate=value(0.1)).hyperparameters["learning_rate"]

        assert (hp.low, hp.high) == default_range("learning_rate", 0.1)
        assert hp.range_source == "default"

    def test_what_has_no_logarithm(self) -> None:
        """A published zero gets a range around others, which lacks the zero."""
        made = recipe(optimizer=value("sgd"), weight_decay=value(0.0))
        hp = made.hyperparameters["weight_decay"]

        assert (hp.low, hp.range_source) == (0.0, "default")

    def test_alternatives_are_inside(self) -> None:
        """Another published value lies outside of the range."""
        made = recipe(
            optimizer=value("sgd"),
            learning_rate=value(0.1, alternatives=[alternative(50.0)]),
        )

        assert made.hyperparameters["learning_rate"].high == 50.0

    @pytest.mark.parametrize("name", list_recipes())
    def test_every_range_has_a_source(self, name: str) -> None:
        """A searched number of the catalog has a range from nowhere."""
        for key, hp in load_recipe(name).hyperparameters.items():
            assert (hp.range_source is None) == (hp.scale not in NUMERIC_SCALES), key
