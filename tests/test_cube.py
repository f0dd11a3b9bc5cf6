"""A joint search space as a unit cube."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from paperstart._cube import Cube
from paperstart._refine import FULL, Region
from paperstart._scales import canonical

SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-4, 1.0, log=True),
    "momentum": FloatDistribution(0.5, 0.99),
    "batch_size": CategoricalDistribution([32, 64, 128, 256]),
    "layers": IntDistribution(1, 9, step=2),
    "optimizer": CategoricalDistribution(["sgd", "adam", "lamb"]),
}
PARAMS = {
    "learning_rate": 0.01,
    "momentum": 0.93,
    "batch_size": 64,
    "layers": 5,
    "optimizer": "lamb",
}


def cube_of(space: dict[str, BaseDistribution]) -> Cube:
    """The cube, with canonical names."""
    return Cube(space, lambda name: canonical(name).scale, lambda name: name)


class TestRows:
    """Values to a point and back."""

    def test_back_and_forth(self) -> None:
        """The values at a trial's point are not the trial's."""
        cube = cube_of(SPACE)
        row = cube.row(PARAMS)

        assert row is not None
        assert cube.values(row) == pytest.approx(PARAMS)

    def test_scales(self) -> None:
        """A rate is not on the log, a momentum not on the log of 1 - x."""
        row = cube_of(SPACE).row(PARAMS)

        assert row is not None
        assert row[0] == pytest.approx(0.5)
        assert row[1] == pytest.approx(math.log(0.5 / 0.07) / math.log(50))
        assert row[4] == 2

    @pytest.mark.parametrize(
        "change", [{"momentum": None}, {"optimizer": "adagrad"}, {"layers": True}]
    )
    def test_what_has_no_place(self, change: dict[str, object]) -> None:
        """A trial without a value, or with one of another kind, has a point."""
        assert cube_of(SPACE).row({**PARAMS, **change}) is None

    @given(st.integers(0, 2**32 - 1))
    def test_random_points_are_values(self, seed: int) -> None:
        """A snapped random point is not where its own values lie."""
        cube = cube_of(SPACE)
        points = cube.snapped(cube.random(np.random.default_rng(seed), 5))
        for point in points:
            assert cube.row(cube.values(point)) == pytest.approx(point)

    def test_points_outside_are_brought_in(self) -> None:
        """A point beyond an end is snapped to something outside."""
        points = cube_of(SPACE).snapped(np.array([[1.3, -0.2, 1.3, 1.3, 1.0]]))

        assert 0.0 <= points[0, :4].min() < points[0, :4].max() <= 1.0


class TestColumns:
    """What the model sees."""

    def test_two_choices_lie_one_apart(self) -> None:
        """Choices are as far apart as their order says."""
        cube = cube_of({"optimizer": SPACE["optimizer"]})
        columns = cube.columns(np.array([[0.0], [1.0], [2.0]]))
        apart = np.linalg.norm(columns[:, None] - columns[None], axis=-1)

        assert apart == pytest.approx(1 - np.eye(3))
        assert (cube.group == 0).all()

    def test_the_effective_rate(self) -> None:
        """Twice the rate at twice 1 - momentum is felt as another rate."""
        cube = cube_of({n: SPACE[n] for n in ("learning_rate", "momentum")})
        points = [
            cube.row({"learning_rate": rate, "momentum": momentum})
            for rate, momentum in ((0.1, 0.9), (0.2, 0.8), (0.2, 0.9))
        ]
        felt = cube.columns(np.array(points))[:, -1]

        assert felt[0] == pytest.approx(felt[1])
        assert felt[2] > felt[1]

    def test_batch_sizes_as_choices_count(self) -> None:
        """Batch sizes of a recipe, which are choices, leave the rate alone."""
        cube = cube_of({n: SPACE[n] for n in ("learning_rate", "batch_size")})
        points = [
            cube.row({"learning_rate": rate, "batch_size": size})
            for rate, size in ((0.1, 32), (0.8, 256))
        ]
        felt = cube.columns(np.array(points))[:, -1]

        assert felt[0] == pytest.approx(felt[1], abs=0.1)

    def test_no_rate_no_column(self) -> None:
        """Without a learning rate, or with it alone, there is one more column."""
        for names in (("momentum", "layers"), ("learning_rate", "layers")):
            cube = cube_of({name: SPACE[name] for name in names})
            assert cube.columns(np.zeros((1, 2))).shape == (1, 2)


def test_regions_in_the_hyperparameters_own_unit() -> None:
    """The ends of a region are not values, or a choice without order has some."""
    cube = cube_of(SPACE)
    regions = [Region(0.5, 0.5), FULL, FULL, FULL, FULL]
    ends = cube.ends(regions)
    row = cube.row(PARAMS)

    assert ends["learning_rate"] == pytest.approx([1e-3, 1e-1])
    assert ends["batch_size"] == [32.0, 256.0]
    assert "optimizer" not in ends
    assert row is not None
    assert cube.is_inside(row, regions)
    assert not cube.is_inside(row, [Region(0.1, 0.1), *regions[1:]])
