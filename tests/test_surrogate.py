"""The model: against scikit-learn's, and against sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern

from paperstart._surrogate import JITTER, RATE, SHAPE, TREND, Array, Surrogate, _gain

LENGTHS = np.array([0.3, 1.2, 0.7])
NOISE = 0.02


def data(count: int = 12) -> tuple[Array, Array]:
    """Points and the losses of a smooth function, near zero and near one wide."""
    points = np.random.default_rng(1).random((count, 3))
    losses = np.sin(5 * points[:, 0]) + points[:, 1] - points[:, 2] ** 2
    return points, (losses - losses.mean()) / losses.std()


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> Surrogate:
    """A model whose only guess is the length scales and noise above."""
    guess = np.log(np.append(LENGTHS, NOISE))[None]
    monkeypatch.setattr(Surrogate, "_search", lambda self, rng: guess)
    points, losses = data()
    rng = np.random.default_rng(0)
    return Surrogate(points, np.arange(3), losses, np.zeros(len(points)), rng)


def bowls(points: Array) -> Array:
    return np.asarray((2 * points - 1) ** 2 - 1 / 3)


class Bowls(Kernel):
    """The trend: parabolas about the middle of each column."""

    def __init__(self) -> None:
        """scikit-learn wants to see that there are no parameters."""

    def __call__(  # type: ignore[no-untyped-def]
        self, points, others=None, eval_gradient=False
    ):
        return (
            TREND
            / points.shape[1]
            * bowls(points)
            @ bowls(points if others is None else others).T
        )

    def diag(self, points):  # type: ignore[no-untyped-def]
        return np.diag(self(points))

    def is_stationary(self) -> bool:
        return False


def peer(kernel: object) -> GaussianProcessRegressor:
    """scikit-learn's model of the same data, without a search of its own."""
    points, losses = data()
    model = GaussianProcessRegressor(kernel, alpha=NOISE + JITTER, optimizer=None)
    return model.fit(points, losses)


class TestPrediction:
    """Mean and variance, given length scales and noise."""

    asked = np.random.default_rng(2).random((20, 3))

    def test_mean(self, fixed: Surrogate) -> None:
        """It is not the mean of a Gaussian process with an unknown constant."""
        theirs = peer(ConstantKernel(1.0) + Matern(LENGTHS, nu=2.5) + Bowls())

        assert fixed.mean(self.asked) == pytest.approx(theirs.predict(self.asked))

    def test_variance(self, fixed: Surrogate) -> None:
        """It is not the signal's variance times the share that is left."""
        points, losses = data()
        kernel = Matern(LENGTHS, nu=2.5) + Bowls()
        _, left = peer(kernel).predict(self.asked, return_std=True)
        whole = kernel(points) + 1.0
        whole += (NOISE + JITTER) * np.eye(len(points))
        squared = losses @ np.linalg.solve(whole, losses)
        signal = (squared + 2 * RATE) / (len(points) + 2 * SHAPE)

        assert fixed.predict(self.asked)[1][0] == pytest.approx(signal * left**2)

    def test_columns_of_one_group_share_a_length(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two columns of one group have two length scales."""
        guess = np.log(np.array([[0.5, 0.8, NOISE]]))
        monkeypatch.setattr(Surrogate, "_search", lambda self, rng: guess)
        points, losses = data()
        rng, group = np.random.default_rng(0), np.array([0, 1, 1])
        ours = Surrogate(points, group, losses, np.zeros(len(points)), rng)
        kernel = ConstantKernel(1.0) + Matern([0.5, 0.8, 0.8], nu=2.5) + Bowls()

        assert ours.mean(self.asked) == pytest.approx(peer(kernel).predict(self.asked))

    def test_doubt_is_noise_of_one_point(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A loss in much doubt moves the mean as one that is certain."""
        guess = np.log(np.append(LENGTHS, NOISE))[None]
        monkeypatch.setattr(Surrogate, "_search", lambda self, rng: guess)
        points, losses = data()
        doubt = np.zeros(len(points))
        doubt[0] = 1e6
        rng, group = np.random.default_rng(0), np.arange(3)
        ours = Surrogate(points, group, losses, doubt, rng).mean(self.asked)
        without = Surrogate(points[1:], group, losses[1:], doubt[1:], rng)

        assert ours == pytest.approx(without.mean(self.asked), abs=1e-4)


class TestSearch:
    """The guesses of length scales."""

    def test_what_matters_has_the_shorter_length(self) -> None:
        """A coordinate without influence gets the shorter length scale."""
        points = np.random.default_rng(3).random((30, 2))
        losses = np.sin(9 * points[:, 0])
        losses = (losses - losses.mean()) / losses.std()
        rng = np.random.default_rng(0)
        model = Surrogate(points, np.arange(2), losses, np.zeros(30), rng)
        inverse = model._weights @ model._scales

        assert inverse[0] > 2 * inverse[1]

    def test_it_repeats(self) -> None:
        """The same random numbers give two models."""
        points, losses = data()
        twice = [
            Surrogate(
                points, np.arange(3), losses, np.zeros(12), np.random.default_rng(5)
            ).mean(points)
            for _ in range(2)
        ]

        assert (twice[0] == twice[1]).all()

    def test_the_same_point_many_times(self) -> None:
        """Repeated points leave no factor, or a mean that is not theirs."""
        points = np.repeat(np.array([[0.2, 0.4], [0.9, 0.1]]), 20, axis=0)
        losses = np.repeat([-1.0, 1.0], 20)
        rng = np.random.default_rng(0)
        model = Surrogate(points, np.arange(2), losses, np.zeros(40), rng)

        assert model.mean(points[::20]) == pytest.approx([-1.0, 1.0], abs=0.05)


class TestImprovement:
    """The expected improvement."""

    def test_against_sampling(self, fixed: Surrogate) -> None:
        """It is not the mean of what 200,000 draws gain."""
        asked = TestPrediction.asked[:4]
        mean, variance = fixed.predict(asked)
        draws = np.random.default_rng(0).standard_normal((200_000, 1))
        drawn = mean[0] + np.sqrt(variance[0]) * draws
        gained = np.maximum(-0.5 - drawn, 0).mean(axis=0)

        assert fixed.improvement(asked, -0.5) == pytest.approx(gained, abs=4e-3)

    def test_it_falls_and_stays_positive(self) -> None:
        """Far out, the gain is zero, or grows as the mean gets worse."""
        z = np.linspace(3.0, -30.0, 400)
        gain = _gain(z)

        assert (gain > 0).all()
        assert (np.diff(np.log(gain)) < 0).all()
        assert _gain(np.array([0.0]))[0] == pytest.approx(1 / math.sqrt(2 * math.pi))
