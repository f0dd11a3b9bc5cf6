"""Places on natural scales: the arithmetic, and which axis a distribution has."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import create_trial

from paperstart._axis import Axis
from paperstart._natural import axis_of, has_order
from paperstart._scales import canonical

# A slow machine is no defect.
properties = settings(deadline=None, max_examples=200)

NAMES = ("x", "learning_rate", "momentum", "weight_decay", "dropout", "hidden_units")
shares = st.floats(0.0, 1.0)
steps = st.floats(1e-3, 1.0)


D = TypeVar("D", bound=BaseDistribution)


def rounded(kind: Callable[..., D], low: float, high: float, step: float) -> D:
    """A stepped range; Optuna moves its high end onto the step, and says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return kind(low, high, step=step)


@st.composite
def floats(draw: st.DrawFn, *, step: bool | None = None) -> FloatDistribution:
    """Ranges of a float: around zero or one, wide or narrow, with log or step."""
    low = draw(st.one_of(st.sampled_from([0.0, 0.9, 1e-8, -1.0]), st.floats(-1e3, 1e3)))
    length = draw(st.floats(1e-3, 1e4))
    if step is None:
        step = draw(st.booleans())
    if step:
        # Optuna refuses its own ends where a float cannot tell two steps apart.
        size = max(draw(steps) * length, 1e-3)
        return rounded(FloatDistribution, low, low + length, size)
    log = low > 0 and draw(st.booleans())
    return FloatDistribution(low, low + length, log=log)


@st.composite
def integers(draw: st.DrawFn) -> IntDistribution:
    """Ranges of whole numbers, with log or step."""
    low = draw(st.integers(-1000, 1000))
    high = low + draw(st.integers(1, 10**9))
    if low >= 1 and draw(st.booleans()):
        return IntDistribution(low, high, log=True)
    return rounded(IntDistribution, low, high, draw(st.sampled_from([1, 2, 7])))


@st.composite
def named(draw: st.DrawFn) -> tuple[str, BaseDistribution]:
    """A name, canonical or not, and a distribution of numbers."""
    return draw(st.sampled_from(NAMES)), draw(st.one_of(floats(), integers()))


def axis(name: str, distribution: BaseDistribution) -> Axis:
    """The axis of a hyperparameter with an order, by its name's scale."""
    found = axis_of(distribution, canonical(name).scale)
    assert found is not None
    return found


class TestProperties:
    """What holds for every range, scale and step."""

    @properties
    @given(named(), shares)
    def test_every_place_has_a_value_that_optuna_accepts(
        self, which: tuple[str, BaseDistribution], share: float
    ) -> None:
        """A drawn value is inside the range, on the step, and of the right type."""
        name, distribution = which
        value = axis(name, distribution).from_unit(share)

        whole = isinstance(distribution, IntDistribution)
        assert type(value) is (int if whole else float)
        # Optuna refuses here what its distribution does not contain.
        create_trial(params={"x": value}, distributions={"x": distribution}, value=0.0)

    @properties
    @given(named(), shares, shares)
    def test_places_and_values_have_one_order(
        self, which: tuple[str, BaseDistribution], one: float, two: float
    ) -> None:
        """A higher place never has a lower value, nor a higher value a lower place."""
        unit = axis(*which)
        low, high = unit.from_unit(min(one, two)), unit.from_unit(max(one, two))

        assert low <= high
        assert unit.to_unit(low) <= unit.to_unit(high)

    @properties
    @given(st.sampled_from(NAMES), floats(step=False), shares)
    def test_a_place_comes_back(
        self, name: str, distribution: FloatDistribution, share: float
    ) -> None:
        """The value at a place lies at that place."""
        unit = axis(name, distribution)
        value = unit.from_unit(share)
        # Next to 1, a float has few digits of 1 - x left.
        assume(unit.scale != "log1m" or 1.0 - value > 1e-6)

        assert unit.to_unit(value) == pytest.approx(share, abs=1e-6)

    @properties
    @given(st.sampled_from(NAMES), st.one_of(floats(step=True), integers()), shares)
    def test_a_value_on_the_step_comes_back_exactly(
        self, name: str, distribution: BaseDistribution, share: float
    ) -> None:
        """Each value has a place, and at that place lies the value."""
        unit = axis(name, distribution)
        value = unit.from_unit(share)
        cell = unit.cell(value)

        assert cell is not None
        assert unit.at_cell(cell) == value
        assert unit.from_unit(unit.to_unit(value)) == value

    @properties
    @given(named(), st.floats(-1e6, 1e6))
    def test_whatever_lies_outside_goes_to_the_end(
        self, which: tuple[str, BaseDistribution], value: float
    ) -> None:
        """A value from another range has a place in [0, 1], and snaps into this."""
        unit = axis(*which)

        assert 0.0 <= unit.to_unit(value) <= 1.0
        assert unit.low <= unit.snap(value) <= unit.high


class TestScales:
    """Single places, computed by hand."""

    @pytest.mark.parametrize(
        ("unit", "value"),
        [
            (Axis(1e-4, 1.0, "log"), 1e-2),
            (Axis(0.9, 0.999, "log1m"), 0.99),
            (Axis(0.0, 4.0), 2.0),
            (Axis(0.0, 1.0, "log"), 1e-2),  # zero is four decades below the top
            (Axis(0.0, 1.0, "log1m"), 0.99),
        ],
    )
    def test_the_middle(self, unit: Axis, value: float) -> None:
        """Half the way on the natural scale is the geometric mean there."""
        assert unit.from_unit(0.5) == pytest.approx(value)

    def test_zero_on_a_log_scale_is_the_end(self) -> None:
        """A published weight decay of zero stands at the low end, and no draw is it."""
        unit = Axis(0.0, 0.1, "log")

        assert unit.to_unit(0.0) == 0.0
        assert unit.from_unit(0.0) == pytest.approx(1e-5)

    @pytest.mark.parametrize(
        "unit",
        [
            Axis(1, 5, step=1, whole=True),
            Axis(-1.0, 1.0, step=0.25),
            Axis(0, 3, step=1, whole=True),
        ],
    )
    def test_each_step_has_an_equal_share(self, unit: Axis) -> None:
        """The values at the ends are not half as likely as those between."""
        assert unit.cells is not None
        total = 100 * unit.cells
        values = [unit.from_unit((k + 0.5) / total) for k in range(total)]

        assert {values.count(value) for value in values} == {100}

    def test_the_last_step_before_one_has_its_share(self) -> None:
        """On the log of 1 - x, stepped, the highest value has the largest share."""
        unit = Axis(0.9, 0.99, "log1m", step=0.01)
        values = [unit.from_unit((k + 0.5) / 1000) for k in range(1000)]

        assert len(set(values)) == unit.cells == 10
        assert values.count(0.99) == max(values.count(value) for value in values)

    def test_a_range_of_one_value(self) -> None:
        """A range with low equal to high has a middle."""
        unit = Axis(3.0, 3.0, "log")

        assert unit.to_unit(3.0) == 0.5
        assert unit.from_unit(0.7) == 3.0

    def test_a_cell_forgives_rounding_and_nothing_else(self) -> None:
        """0.1 + 0.2 is the third step of 0.1; 0.35 is none, nor is 9."""
        unit = Axis(0.0, 1.0, step=0.1)

        assert unit.cell(0.1 + 0.2) == unit.cell(0.3) == 3
        assert unit.cell(0.35) is None
        assert unit.cell(9.0) is None
        assert Axis(0.0, 1.0).cell(0.3) is None


class TestAxisOf:
    """Which scale a distribution gets."""

    @pytest.mark.parametrize(
        ("name", "distribution", "scale"),
        [
            ("learning_rate", FloatDistribution(1e-4, 1.0), "log"),
            ("learning_rate", FloatDistribution(1e-4, 1.0, log=True), "log"),
            ("learning_rate", FloatDistribution(0.0, 1.0), "log"),
            ("learning_rate", FloatDistribution(-1.0, 1.0), "linear"),
            ("momentum", FloatDistribution(0.1, 0.99), "log1m"),
            ("momentum", FloatDistribution(0.1, 0.99, log=True), "log1m"),
            ("momentum", FloatDistribution(0.1, 1.0), "log1m"),
            ("momentum", FloatDistribution(0.1, 10.0), "linear"),
            ("momentum", FloatDistribution(0.1, 10.0, log=True), "log"),
            ("dropout", FloatDistribution(0.1, 0.5), "linear"),
            ("dropout", FloatDistribution(0.1, 0.5, log=True), "log"),
            ("hidden_units", IntDistribution(16, 512), "log"),
            ("hidden_layers", IntDistribution(1, 8), "linear"),
            ("optimizer", FloatDistribution(0.0, 1.0), "linear"),
            ("anything", FloatDistribution(1e-4, 1.0), "linear"),
            ("anything", FloatDistribution(1e-4, 1.0, log=True), "log"),
        ],
    )
    def test_a_canonical_name_brings_its_scale(
        self, name: str, distribution: BaseDistribution, scale: str
    ) -> None:
        """A linear range of a canonical name is still drawn on the natural scale."""
        assert axis(name, distribution).scale == scale

    def test_growing_numbers_are_an_axis(self) -> None:
        """Batch sizes as choices are ordered, one step each."""
        sizes = CategoricalDistribution([16, 32, 64, 128])

        assert axis("batch_size", sizes) == Axis(0, 3, step=1, whole=True)

    @pytest.mark.parametrize(
        "choices",
        [["sgd", "adam"], [1, 2], [3, 1, 2], [True, False], [1, 2, None], [1, 2, "x"]],
    )
    def test_other_choices_have_no_order(self, choices: list[object]) -> None:
        """Text, truth values, two numbers, and numbers out of order are no axis."""
        distribution = CategoricalDistribution(choices)  # type: ignore[arg-type]

        assert not has_order(distribution)
        assert axis_of(distribution, "log") is None
