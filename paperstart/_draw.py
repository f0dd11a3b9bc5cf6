"""How is one value drawn at random?

Random numbers are keyed by (seed, trial number, name), so that neither the order of the
draws nor the process matters.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence

import numpy as np

from paperstart._axis import Axis
from paperstart._refine import FULL_EVERY, Region
from paperstart.errors import SearchSpaceError

_REDRAWS = 16


class Cells:
    """The values of a stepped hyperparameter that finished trials had."""

    def __init__(self) -> None:
        self.taken: set[int] = set()

    def add(self, cell: int | None, /) -> None:
        """One more value, by its number on the axis."""
        if cell is not None:
            self.taken.add(cell)


def checked_seed(seed: int | None) -> int:
    """``seed``, or a new one if there is none."""
    if seed is None:
        return secrets.randbits(63)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise SearchSpaceError(f"seed is {seed!r}; give a whole number of at least 0.")
    return int(seed)


def generator(seed: int, number: int, name: str) -> np.random.Generator:
    """The random numbers of one hyperparameter of one trial."""
    # A hash of our own: Python's differs between processes.
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([seed, number, int.from_bytes(digest[:8], "little")])


def is_full(seed: int, number: int) -> bool:
    """Whether trial ``number`` is the one of its five that looks everywhere."""
    block, place = divmod(number, FULL_EVERY)
    return place == generator(seed, block, "").integers(FULL_EVERY)


def weighted(weights: Sequence[float], rng: np.random.Generator) -> int:
    """An index, each as likely as its weight says."""
    total = np.cumsum(weights)
    return int(np.searchsorted(total, rng.random() * total[-1], side="right"))


def unused(
    axis: Axis,
    region: Region,
    rng: np.random.Generator,
    taken: Collection[int],
    in_flight: Collection[int] = (),
) -> float:
    """A value in the region that no trial has, while there is room for one.

    There is room while fewer than half of the values were tried. If the region itself
    has none left, it is the nearest one outside.

    Args:
        axis: the hyperparameter.
        region: where to draw.
        rng: random numbers.
        taken: the cells of finished trials; empty for a continuous axis.
        in_flight: the cells of other trials, in which some of the above may recur.
    """
    value = axis.from_unit(region.place(rng.random()))
    cells = axis.cells
    tried = len(taken) + sum(cell not in taken for cell in in_flight)
    if cells is None or tried >= cells / 2:
        return value  # a continuous draw repeats once in 2**53
    for _ in range(_REDRAWS):
        cell = axis.cell(value)
        if cell not in taken and cell not in in_flight:
            return value
        value = axis.from_unit(region.place(rng.random()))
    start = axis.cell(value) or 0
    around = (start + sign * away for away in range(cells) for sign in (1, -1))
    free = (n for n in around if 0 <= n < cells and n not in taken)
    return axis.at_cell(next(n for n in free if n not in in_flight))
