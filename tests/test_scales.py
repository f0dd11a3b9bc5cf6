"""Scales and ranges: what a name says before any recipe is read."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from paperstart._scales import (
    CANONICAL,
    NUMERIC_SCALES,
    Scale,
    canonical,
    default_range,
    powers_of_two,
)

any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NUMERIC = [name for name, known in CANONICAL.items() if known.scale in NUMERIC_SCALES]
NAMES = st.sampled_from([*NUMERIC, "not_canonical"])
SCALES = st.sampled_from([None, *NUMERIC_SCALES])
VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 1),
    st.integers(-(10**18), 10**18),
    st.integers(0, 1000),
)


class TestTable:
    """The table of the canonical names."""

    @pytest.mark.parametrize(
        ("names", "scale"),
        [
            ("learning_rate weight_decay epsilon lr_decay_factor", "log"),
            ("hidden_units batch_size", "log"),
            ("momentum beta1 beta2 ema_decay", "log1m"),
            ("hidden_layers dropout label_smoothing drop_path", "linear"),
            ("optimizer nesterov lr_schedule", "categorical"),
            ("learning_rate_base", "fixed"),
        ],
    )
    def test_natural_scales(self, names: str, scale: Scale) -> None:
        """A hyperparameter is sampled on another scale than the design's."""
        assert {CANONICAL[name].scale for name in names.split()} == {scale}

    @pytest.mark.parametrize("name", NUMERIC)
    def test_usual_ranges_make_sense(self, name: str) -> None:
        """The range of an undisclosed hyperparameter leaves what means anything."""
        known = CANONICAL[name]
        ends = default_range(name, None)

        assert (ends is None) == (known.low is None)
        if ends is not None:
            assert known.least <= ends[0] < ends[1] <= known.most
        if known.scale == "log" and ends is not None:
            assert ends[0] > 0
        if known.scale == "log1m" and ends is not None:
            assert ends[1] < 1

    @pytest.mark.parametrize("name", NUMERIC)
    @pytest.mark.parametrize("scale", NUMERIC_SCALES)
    def test_another_scale_keeps_the_bounds(self, name: str, scale: Scale) -> None:
        """A recipe's own scale makes a momentum of 1.5 possible."""
        other, known = canonical(name, scale), CANONICAL[name]

        assert other.scale == scale
        assert known.least <= other.least <= other.most <= known.most
        assert other.whole == known.whole

    def test_a_logarithm_has_no_negative_numbers(self) -> None:
        """A name of one's own takes values that its scale cannot hold."""
        assert canonical("own", "log").least == 0
        assert canonical("own", "log1m").most == 1
        assert canonical("own", "linear").least == -math.inf


class TestDefaultRange:
    """The range around a published value."""

    @pytest.mark.parametrize(
        ("name", "value", "ends"),
        [
            ("learning_rate", 0.1, (0.001, 1.0)),
            ("momentum", 0.9, (0.5, 0.99)),
            ("beta2", 0.999, (0.95, 0.9999)),
            ("momentum", 0.0, (0.0, 0.9)),
            ("weight_decay", 0.0, (0.0, 0.1)),
            ("dropout", 0.9, (0.0, 0.9)),
            ("batch_size", 256, (32, 1024)),
            ("batch_size", 1, (1, 4)),
            ("hidden_layers", 20, (10, 40)),
            ("hidden_layers", 1, (1, 2)),
            ("epochs", 90, (45, 180)),
            ("epochs", 2.5, (1.25, 5.0)),
            ("warmup_epochs", 0, (0, 1)),
            ("lr_decay_factor", 0.97, (0.194, 1.0)),
            ("learning_rate", None, (1e-5, 1.0)),
            ("epochs", None, None),
            ("warmup_steps", 0, None),
            ("own", 0, (0, 1)),
            ("own", -4, (-8, -2)),
        ],
    )
    def test_cases(
        self,
        name: str,
        value: float | None,
        ends: tuple[float, float] | None,
    ) -> None:
        """The range around a published value is not the one that is documented."""
        found = default_range(name, value)

        assert found == ends
        if found is not None and ends is not None:
            assert [*map(type, found)] == [*map(type, ends)]

    @any_speed
    @given(NAMES, VALUES, SCALES)
    def test_it_holds_the_value_and_means_something(
        self, name: str, value: float, scale: Scale | None
    ) -> None:
        """A range leaves out the published value, or goes where nothing makes sense."""
        known = canonical(name, scale)
        assume(known.least <= value <= known.most)

        ends = default_range(name, value, scale)

        if ends is None:  # zero, on a log scale, of what has no usual range
            assert (value, known.scale) == (0, "log")
            return
        low, high = ends
        assert low <= value <= high
        assert known.least <= low <= high <= known.most
        assert -sys.float_info.max <= low <= high <= sys.float_info.max

    @any_speed
    @given(NAMES, st.integers(1, 10**9))
    def test_whole_numbers_stay_whole_and_positive(self, name: str, value: int) -> None:
        """A count of one or more gets a range with a fraction, or with a zero."""
        ends = default_range(name, value)

        assert ends is not None
        assert all(isinstance(end, int) and end >= 1 for end in ends)

    @any_speed
    @given(NAMES, st.floats(1e-6, 0.999))
    def test_there_is_room(self, name: str, value: float) -> None:
        """A coarse round has nothing to try but the published value."""
        assume(not canonical(name).whole)

        ends = default_range(name, value)

        assert ends is not None
        assert ends[0] < ends[1]


class TestPowersOfTwo:
    """Batch sizes."""

    @any_speed
    @given(st.floats(-10, 1e6), st.floats(-10, 1e6))
    def test_they_are_all_there_is(self, low: float, high: float) -> None:
        """A power of two within the range is missing, or one outside is there."""
        expected = [2**k for k in range(64) if low <= 2**k <= high]

        assert powers_of_two(low, high) == expected

    @pytest.mark.parametrize(("low", "high"), [(3, 3), (5, 7), (8, 4)])
    def test_there_may_be_none(self, low: float, high: float) -> None:
        """A size outside the range is proposed where no power of two lies within."""
        assert powers_of_two(low, high) == []
