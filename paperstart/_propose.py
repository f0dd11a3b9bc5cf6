"""Which point does the model want to see next?

The point of the largest expected improvement, looked for among random points from
everywhere and points around the best trials, and then around the most promising of
these. How far around the best is the region's length, so that rounds narrow the search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from paperstart._cube import Cube
from paperstart._surrogate import Surrogate

Array = npt.NDArray[np.floating[Any]]

EVERYWHERE, AROUND = 200, 200
"""Points looked at in the whole cube, and around the best trials (our choice)."""
CENTERS = 4
"""How many of the best trials are looked around, and how many points stay promising."""
STEPS, STEP_POINTS, STEP = 6, 60, 0.15
"""Moves of the promising points: how many, points in each, size of the first."""
WORTH = 0.03
"""An improvement counts from here, in spreads of the losses: below it is noise."""

_SAME = 1e-9  # nearer than this, two points are one


def propose(
    cube: Cube,
    model: Surrogate,
    columns: Callable[[Array], Array],
    tried: Array,
    losses: Array,
    lengths: Array,
    rng: np.random.Generator,
) -> Array:
    """The next point, shape (names,); none that was tried while there is another.

    Args:
        cube: the search space.
        model: fitted to ``tried`` and ``losses``.
        columns: points of the cube as the model sees them.
        tried: points of trials, also of those in flight, shape (trials, names).
        losses: what is known or expected of them, shape (trials,).
        lengths: of the region, by coordinate, shape (names,).
        rng: random numbers.
    """
    known = columns(tried)
    # What the model thinks of the best, not the luckiest value that was seen.
    below = float(model.mean(known).min()) - WORTH
    order = np.argsort(losses, kind="stable")
    starts = tried[order[:CENTERS]]
    around = [
        wandered(cube, start, lengths, rng, AROUND // len(starts)) for start in starts
    ]
    points = cube.snapped(np.concatenate([cube.random(rng, EVERYWHERE), *around]))

    def promise_of(points: Array) -> Array:
        """What the model expects of points; nothing of those that were tried."""
        promise = model.improvement(columns(points), below)
        if cube.is_finite:  # elsewhere, no two draws are the same
            away = np.abs(points[:, None] - tried).max(axis=2)
            promise[(away < _SAME).any(axis=1)] = -1.0
        return promise

    promise = promise_of(points)
    for step in range(STEPS):
        best = np.argsort(-promise, kind="stable")[:CENTERS]
        points, promise = points[best], promise[best]
        size = STEP * 0.5**step
        moved = cube.snapped(_moved(cube, points, size, rng))
        points = np.concatenate([points, moved])
        promise = np.concatenate([promise, promise_of(moved)])
    best_of_all = int(np.argmax(promise))
    if promise[best_of_all] < 0:
        return np.asarray(cube.snapped(wandered(cube, starts[0], lengths, rng, 1))[0])
    return np.asarray(points[best_of_all])


def wandered(
    cube: Cube, start: Array, lengths: Array, rng: np.random.Generator, count: int
) -> Array:
    """Random points of a region around ``start``, shape (count, names).

    Half lie within a quarter of the way to the region's ends in each coordinate; what
    would lie outside of the cube is mirrored.
    """
    away = 2.0 * rng.random((count, len(start))) - 1.0
    points = mirrored(start + away * np.abs(away) * lengths / 2)
    return _with_choices(cube, points, np.broadcast_to(start, points.shape), 0.3, rng)


def mirrored(points: Array) -> Array:
    """What lies outside of [0, 1] by less than 1, mirrored at the end it passed."""
    points = np.abs(points)
    return np.asarray(np.where(points > 1.0, 2.0 - points, points))


def _moved(cube: Cube, points: Array, size: float, rng: np.random.Generator) -> Array:
    """Points near the promising ones, a part of the coordinates changed in each."""
    start = np.repeat(points, STEP_POINTS // len(points), axis=0)
    share = max(0.4, 2 / start.shape[1])
    change = size * rng.standard_normal(start.shape) * (rng.random(start.shape) < share)
    near = mirrored(np.clip(start + change, -1.0, 2.0))
    return _with_choices(cube, near, start, 0.2, rng)


def _with_choices(
    cube: Cube, points: Array, start: Array, share: float, rng: np.random.Generator
) -> Array:
    """The points with the choices of ``start``, a share of them drawn anew."""
    free = cube.unordered
    if free.any():
        drawn = cube.random(rng, len(points))[:, free]
        anew = rng.random(drawn.shape) < share
        points[:, free] = np.where(anew, drawn, start[:, free])
    return points
