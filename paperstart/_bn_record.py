"""What did the batch-norm layers say in the course of a run?

Keeps one row per layer and logged step, and writes the table as files.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from paperstart._bn_columns import COLUMNS
from paperstart._bn_snapshot import Array
from paperstart._bn_statistics import BatchNormStatistics

_MOST_STEPS = 4000
"""Of a longer run every second step is dropped: 53 layers then hold 22 MB at most."""


@dataclass(frozen=True)
class Table:
    """The layer x step table.

    Attributes:
        values: float32 of shape (steps, layers, columns), the columns being `COLUMNS`;
            NaN for a layer that was not there at a step.
        steps: optimizer steps done, shape (steps,).
        layers: names, in the order in which the model defines them.
        channels: of each layer; 0 where it is not known any more.
    """

    values: npt.NDArray[np.float32]
    steps: list[int]
    layers: list[str]
    channels: list[int]

    def column(self, name: str) -> npt.NDArray[np.float32]:
        """One column, shape (steps, layers)."""
        return self.values[:, :, list(COLUMNS).index(name)]


class BatchNormRecord:
    """The rows of one run so far."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._rows: list[Array] = []  # of shape (layers, columns), by `_names`
        self._names: list[Sequence[str]] = []
        self._channels: dict[str, int] = {}

    def add(self, statistics: BatchNormStatistics) -> None:
        """Add one step."""
        row = np.stack([statistics[name] for name in COLUMNS], axis=-1)
        self._steps.append(statistics.step)
        self._rows.append(row.astype(np.float32))
        self._names.append(statistics.layers)
        self._channels |= zip(statistics.layers, statistics.channels, strict=True)
        if len(self._steps) > _MOST_STEPS:
            del self._steps[1::2], self._rows[1::2], self._names[1::2]

    def table(self) -> Table | None:
        """All rows, or ``None`` if there is none."""
        if not self._rows:
            return None
        # The newest rows' order first: it is the model's own.
        names = list(dict.fromkeys(n for known in self._names[::-1] for n in known))
        place = {name: i for i, name in enumerate(names)}
        shape = (len(self._rows), len(names), len(COLUMNS))
        values = np.full(shape, np.nan, np.float32)
        for at_step, known, row in zip(values, self._names, self._rows, strict=True):
            at_step[[place[name] for name in known]] = row
        channels = [self._channels.get(name, 0) for name in names]
        return Table(values, list(self._steps), names, channels)

    def read(self, path: Path) -> None:
        """Go on in a table that `write_table` has written."""
        with np.load(path) as found:
            names = found["layers"].tolist()
            if found["columns"].tolist() != list(COLUMNS):
                return  # another version's
            self._steps[:0] = found["steps"].tolist()
            self._rows[:0] = list(found["values"])
            self._names[:0] = [names] * len(found["steps"])


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write ``table.npz`` and ``last_step.csv``.

    ``table.npz`` has ``values`` of shape (steps, layers, columns), float32, and
    ``steps``, ``layers``, ``channels``, ``columns``, ``units`` that name its axes.
    """
    path = folder / "table.npz"
    np.savez_compressed(
        path,
        values=table.values,
        steps=np.array(table.steps),
        layers=np.array(table.layers),
        channels=np.array(table.channels),
        columns=np.array(list(COLUMNS)),
        units=np.array(list(COLUMNS.values())),
    )
    last = folder / "last_step.csv"
    with last.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", *COLUMNS])
        for name, row in zip(table.layers, table.values[-1], strict=True):
            writer.writerow([name, *(f"{value:.6g}" for value in row)])
    return [path, last]
