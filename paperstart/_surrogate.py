"""What do the trials so far say about points that were not tried?

A Gaussian process in plain numpy, small enough to be fitted anew for every trial. Its
length scales are not one best guess but a handful of good ones, weighted by how well
they explain the trials: after five trainings, one guess would be far too sure. Beside
what varies at these lengths, the loss has a trend: it rises or falls from the middle of
each column to its ends, so that few trials say something of places that are far away.

Sources: Rasmussen & Williams 2006 (algorithm 2.1, equation 5.8, Matern 5/2 of equation
4.17, explicit basis functions in section 2.7); Snoek et al. 2012 (arXiv:1206.2944,
section 3.2) for averaging over length scales; Storn & Price 1997 for the moves of the
search; Hvarfner et al. 2024 (arXiv:2402.02229) for length scales that are long before
there is evidence. The constants are our own choice.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]

LENGTH, LENGTH_SPREAD = 1.4, 0.7
"""A length scale before any trial: its median, in ranges; the spread of its log."""
NOISE, NOISE_SPREAD = 1e-3, 1.5
"""Variance of the noise before any trial, as a share of the signal's; likewise."""
TREND = 0.3
"""Variance of the trend, as a share of the signal's."""
JITTER = 1e-5
"""Added to the noise, so that two near points do no harm."""
SHAPE, RATE = 1.5, 1.0
"""Of the inverse gamma distribution of the signal's variance before any trial."""
GUESSES, KEPT, GENERATIONS = 24, 4, 2
"""Length scales looked at together, kept in the end, and how often they move."""
FEW = 20
"""Of more points than this, half as many guesses do: their scores lie far apart."""
_ROOT5 = math.sqrt(5.0)


class Surrogate:
    """The loss as a random function, given the trials so far.

    Args:
        columns: the points that were tried, shape (points, columns).
        group: which length scale each column has, shape (columns,), from 0.
        losses: their losses, shape (points,): centered near 0, with a spread near 1.
        doubt: variance that each loss has beyond the noise, shape (points,).
        rng: random numbers for the guesses.
        trend: variance of the trend, as a share of the signal's.
    """

    def __init__(
        self,
        columns: Array,
        group: npt.NDArray[np.int64],
        losses: Array,
        doubt: Array,
        rng: np.random.Generator,
        trend: float = TREND,
    ) -> None:
        self._weight = math.sqrt(trend / columns.shape[1])  # columns share it evenly
        self._columns, self._group, self._losses = columns, group, losses
        self._doubt = doubt
        one, other = self._pairs = np.tril_indices(len(columns))
        apart = (columns[one] - columns[other]) ** 2
        member = np.zeros((len(group), int(group.max()) + 1))
        member[np.arange(len(group)), group] = 1.0
        self._apart = apart @ member
        self._bowls = self._weight * _bowls(columns)
        self._trend = (self._bowls[one] * self._bowls[other]).sum(1)
        guesses = self._search(rng)
        score = self._score(guesses)
        weights = np.exp(score - score.max())
        self._weights = weights / weights.sum()
        self._scales = np.exp(-guesses[:, :-1])
        factor, white = self._factor(guesses)
        squared, _, self._center = _squares(white)
        self._variance = (squared + 2 * RATE) / (len(losses) + 2 * SHAPE)
        inverse = np.linalg.inv(factor)
        self._precision = inverse.transpose(0, 2, 1) @ inverse
        residual = losses[None, :] - self._center[:, None]
        self._solved = np.einsum("gij,gj->gi", self._precision, residual)

    def predict(self, columns: Array) -> tuple[Array, Array]:
        """Mean and variance, each (kept, n), at points of shape (n, columns)."""
        scales = self._scales[:, None, self._group]
        known, asked = self._columns * scales, columns * scales
        apart = (
            (asked**2).sum(-1)[:, :, None]
            + (known**2).sum(-1)[:, None, :]
            - 2 * asked @ known.transpose(0, 2, 1)
        )
        bowls = self._weight * _bowls(columns)
        near = _matern(np.maximum(apart, 0.0)) + bowls @ self._bowls.T
        mean = self._center[:, None] + np.einsum("gnj,gj->gn", near, self._solved)
        told = np.einsum("gnj,gnj->gn", near @ self._precision, near)
        own = 1.0 + (bowls**2).sum(1)
        return mean, np.maximum(own - told, 1e-10) * self._variance[:, None]

    def mean(self, columns: Array) -> Array:
        """The mean over the guesses at points of shape (n, columns), shape (n,)."""
        return np.asarray(self._weights @ self.predict(columns)[0])

    def improvement(self, columns: Array, below: float) -> Array:
        """The expected improvement on a loss of ``below``, shape (n,).

        Jones, Schonlau & Welch 1998, equation 15, averaged over the guesses.
        """
        mean, variance = self.predict(columns)
        sigma = np.sqrt(variance)
        return np.asarray(self._weights @ (sigma * _gain((below - mean) / sigma)))

    def _search(self, rng: np.random.Generator) -> Array:
        """Good guesses of log length scales and log noise, shape (kept, groups + 1)."""
        middle, spread = self._before()
        share = 1 if len(self._losses) <= FEW else 2
        count, kept = GUESSES // share, KEPT // share
        guesses = middle + spread * rng.standard_normal((count, len(middle)))
        guesses[0] = middle
        scores = self._score(guesses)
        for generation in range(GENERATIONS):
            order = np.argsort(-scores, kind="stable")[: count // 4]
            to, one, other = guesses[rng.choice(order, (3, count))]
            step = 0.25 * 0.7**generation * spread * rng.standard_normal(to.shape)
            moved = rng.random(to.shape) < 0.6
            tried = to + 0.7 * (one - other) + moved * step
            guesses = np.concatenate([guesses, tried])
            scores = np.append(scores, self._score(tried))
        return guesses[np.argsort(-scores, kind="stable")[:kept]]

    def _before(self) -> tuple[Array, Array]:
        """Middle and spread of the guesses before any trial, each (groups + 1,)."""
        groups = self._apart.shape[1]
        middle = np.append(np.full(groups, math.log(LENGTH)), math.log(NOISE))
        return middle, np.append(np.full(groups, LENGTH_SPREAD), NOISE_SPREAD)

    def _factor(self, guesses: Array) -> tuple[Array, Array]:
        """Cholesky factors of the covariance, (guesses, points, points), and more.

        The second is what the factors make of the losses and of a column of ones,
        shape (guesses, 2, points): they are two further rows of a larger covariance,
        so that they cost no second pass.
        """
        points = len(self._losses)
        apart = np.exp(-2 * guesses[:, :-1]) @ self._apart.T
        covariance = np.zeros((len(guesses), points + 2, points + 2))
        one, other = self._pairs  # the lower triangle: no more of it is read
        covariance[:, one, other] = _matern(apart) + self._trend
        each = np.arange(points)
        covariance[:, each, each] += JITTER + np.exp(guesses[:, -1:]) + self._doubt
        covariance[:, points, :points] = self._losses
        covariance[:, points + 1, :points] = 1.0
        # Whatever is large enough to have a root.
        most = (1.0 + float(self._losses @ self._losses) + points) / JITTER
        covariance[:, points, points] = covariance[:, points + 1, points + 1] = most
        factor = np.linalg.cholesky(covariance)
        return factor[:, :points, :points], factor[:, points:, :points]

    def _score(self, guesses: Array) -> Array:
        """The log of the posterior density of each guess, up to a constant.

        The signal's variance and the mean are integrated out.
        """
        factor, white = self._factor(guesses)
        squared, precision, _ = _squares(white)
        middle, spread = self._before()
        shape = len(self._losses) + 2 * SHAPE
        return np.asarray(
            -0.5 * shape * np.log(squared + 2 * RATE)
            - np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
            - 0.5 * np.log(precision)
            - 0.5 * (((guesses - middle) / spread) ** 2).sum(1)
        )


def _squares(white: Array) -> tuple[Array, Array, Array]:
    """Of each guess: the losses' square, the mean's precision, the mean itself.

    The mean is normal around 0, as uncertain as the signal itself.
    """
    losses, ones = white[:, 0], white[:, 1]
    precision = (ones**2).sum(1) + 1.0
    product = (losses * ones).sum(1)
    squared = (losses**2).sum(1) - product**2 / precision
    return squared, precision, product / precision


def _bowls(columns: Array) -> Array:
    """The trend's basis functions, one a column, shape (points, columns).

    Each is a parabola about the column's middle, with a mean of 0 over [0, 1].
    """
    return np.asarray((2.0 * columns - 1.0) ** 2 - 1.0 / 3.0)


def _matern(squared: Array) -> Array:
    """The Matern 5/2 covariance at squared distances."""
    root = _ROOT5 * np.sqrt(squared)
    return np.asarray((1.0 + root + (5.0 / 3.0) * squared) * np.exp(-root))


def _gain(z: Array) -> Array:
    """The expected improvement at unit variance, if the mean lies ``z`` below."""
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    below = np.fromiter(
        map(math.erfc, (-z / math.sqrt(2)).ravel()), float, z.size
    ).reshape(z.shape)
    near = 0.5 * z * below + density
    # Far out, the sum above is all rounding; the series of the tail is not.
    far = density / np.maximum(z * z, 1.0)
    return np.asarray(np.where(z < -5.0, far, np.maximum(near, 0.0)))
