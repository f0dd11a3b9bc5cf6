"""The next point: where the model expects an improvement, and never a repeat."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from paperstart._cube import Array, Cube
from paperstart._propose import mirrored, propose, wandered
from paperstart._scales import canonical
from paperstart._surrogate import Surrogate

SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-4, 1.0, log=True),
    "dropout": FloatDistribution(0.0, 0.8),
    "layers": IntDistribution(1, 5),
    "optimizer": CategoricalDistribution(["sgd", "adam", "lamb"]),
}
SMALL: dict[str, BaseDistribution] = {
    "layers": IntDistribution(1, 3),
    "optimizer": CategoricalDistribution(["sgd", "adam"]),
}


def cube_of(space: dict[str, BaseDistribution]) -> Cube:
    return Cube(space, lambda name: canonical(name).scale, lambda name: name)


def next_point(
    cube: Cube, tried: Array, losses: Array, seed: int = 0, length: float = 0.5
) -> Array:
    """The point that follows these trials."""
    losses = (losses - losses.mean()) / losses.std()
    doubt = np.zeros(len(losses))
    rng = np.random.default_rng(seed)
    model = Surrogate(cube.columns(tried), cube.group, losses, doubt, rng)
    lengths = np.full(len(cube.names), length)
    return propose(cube, model, cube.columns, tried, losses, lengths, rng)


def bowl(cube: Cube, points: Array) -> Array:
    """A loss that is lowest at a rate of 0.01, a dropout of 0.2, and with adam."""
    return np.asarray(
        10 * (points[:, 0] - 0.5) ** 2
        + 10 * (points[:, 1] - 0.25) ** 2
        + (points[:, 3] != 1)
    )


class TestPropose:
    """A point of the space, which was not tried."""

    @pytest.mark.parametrize("seed", range(4))
    def test_it_finds_the_bottom(self, seed: int) -> None:
        """Sixteen proposals do not come near the bottom of a bowl with a choice."""
        cube = cube_of(SPACE)
        tried = cube.snapped(cube.random(np.random.default_rng(seed), 4))
        for _ in range(16):
            point = next_point(cube, tried, bowl(cube, tried), seed)
            tried = np.vstack([tried, point])

        best = tried[bowl(cube, tried).argmin()]
        assert bowl(cube, best[None])[0] < 0.05
        assert cube.values(best)["optimizer"] == "adam"

    def test_it_is_a_point_of_the_space(self) -> None:
        """A value is none that its distribution has."""
        cube = cube_of(SPACE)
        rng = np.random.default_rng(0)
        tried = cube.snapped(cube.random(rng, 6))
        for seed in range(20):
            point = next_point(cube, tried, rng.random(6), seed)
            for name, value in cube.values(point).items():
                distribution = SPACE[name]
                assert distribution._contains(distribution.to_internal_repr(value))

    def test_no_repeat_while_there_is_another(self) -> None:
        """Six points are not proposed before one comes twice; then one is repeated."""
        cube = cube_of(SMALL)
        rng = np.random.default_rng(0)
        places = cube.snapped(cube.random(rng, 200))
        assert len(np.unique(places, axis=0)) == 6
        tried = places[[0, int(np.argmax((places != places[0]).any(axis=1)))]]
        for seed in range(4):
            point = next_point(cube, tried, rng.random(len(tried)), seed)
            tried = np.vstack([tried, point])
        assert len(np.unique(tried, axis=0)) == 6

        again = next_point(cube, tried, rng.random(6))
        assert (tried == again).all(axis=1).any()

    def test_the_same_seed_is_the_same_point(self) -> None:
        """Two calls with one seed differ."""
        cube = cube_of(SPACE)
        rng = np.random.default_rng(3)
        tried, losses = cube.snapped(cube.random(rng, 5)), rng.random(5)

        one, other = (next_point(cube, tried, losses, 7) for _ in range(2))

        np.testing.assert_array_equal(one, other)


class TestWandered:
    """Draws from a region."""

    def test_half_lie_in_a_quarter(self) -> None:
        """Not half of the draws lie within a quarter of the way to the ends."""
        cube = cube_of({"dropout": FloatDistribution(0.0, 1.0)})
        rng = np.random.default_rng(0)
        points = wandered(cube, np.array([0.5]), np.array([0.4]), rng, 4000)

        away = np.abs(points[:, 0] - 0.5)
        assert away.max() <= 0.2
        assert np.mean(away < 0.05) == pytest.approx(0.5, abs=0.03)

    def test_what_lies_outside_is_mirrored(self) -> None:
        """Nothing piles up at an end."""
        inside = mirrored(np.array([-0.3, 0.0, 0.4, 1.0, 1.3]))

        assert inside == pytest.approx([0.3, 0.0, 0.4, 1.0, 0.7])
