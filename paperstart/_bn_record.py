"""What did the batch-norm layers say in the course of a run?

Keeps one row per layer and logged step, and writes the table as files.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from paperstart._bn_layers import (
    Array,
    BatchNormSnapshot,
    find_batchnorm_layers,
    take_snapshot,
)
from paperstart.batchnorm import COLUMNS, batchnorm_statistics, batchnorm_summary

_MOST_STEPS = 4000
"""Of a longer run every second step is dropped: 53 layers then hold 15 MB at most."""


class BatchNormRecord:
    """The layer x step table of one model.

    Attributes:
        layers: the layers that are watched now; empty if the model has none.
    """

    def __init__(self, module: nn.Module) -> None:
        self.find_layers(module)
        self._before: BatchNormSnapshot | None = None
        self._steps: list[int] = []
        self._rows: list[Array] = []  # of shape (layers, columns), by `_names`
        self._names: list[list[str]] = []

    def find_layers(self, module: nn.Module) -> None:
        """Look again: a lazy layer has its buffers only after the first batch."""
        self.layers = find_batchnorm_layers(module)
        self._known = [layer.name for layer in self.layers]

    def before_step(self, module: nn.Module) -> None:
        """Take the snapshot that the step's statistics start from."""
        if not self.layers:
            self.find_layers(module)
        self._before = take_snapshot(self.layers) if self.layers else None

    def after_step(self, step: int) -> dict[str, float]:
        """Add the step to the table and return its summary; empty if not armed."""
        before, self._before = self._before, None
        if before is None:
            return {}
        statistics = batchnorm_statistics(
            before, take_snapshot(self.layers), self.layers
        )
        row = np.stack([statistics[name] for name in COLUMNS], axis=-1)
        self._steps.append(step)
        self._rows.append(row.astype(np.float32))
        self._names.append(self._known)
        if len(self._steps) > _MOST_STEPS:
            del self._steps[1::2], self._rows[1::2], self._names[1::2]
        return batchnorm_summary(statistics, self.layers)

    def read(self, table: Path) -> None:
        """Go on in a table that `write` has written."""
        with np.load(table) as found:
            names = found["layers"].tolist()
            if found["columns"].tolist() != list(COLUMNS):
                return  # another version's
            self._steps[:0] = found["steps"].tolist()
            self._rows[:0] = list(found["values"])
            self._names[:0] = [names] * len(found["steps"])

    def write(self, folder: Path) -> list[Path]:
        """Write ``table.npz`` and ``last_step.csv``; nothing if no step was logged.

        ``table.npz`` has ``values`` of shape (steps, layers, columns), float32, and
        ``steps``, ``layers``, ``columns``, ``units`` that name its axes. A layer that
        was not there at a step has NaN.
        """
        if not self._rows:
            return []
        names = list(dict.fromkeys(name for known in self._names for name in known))
        place = {name: i for i, name in enumerate(names)}
        shape = (len(self._rows), len(names), len(COLUMNS))
        values = np.full(shape, np.nan, np.float32)
        for at_step, known, row in zip(values, self._names, self._rows, strict=True):
            at_step[[place[name] for name in known]] = row
        table = folder / "table.npz"
        np.savez_compressed(
            table,
            values=values,
            steps=np.array(self._steps),
            layers=np.array(names),
            columns=np.array(list(COLUMNS)),
            units=np.array(list(COLUMNS.values())),
        )
        last = folder / "last_step.csv"
        _write_csv(last, names, values[-1])
        return [table, last]


def _write_csv(path: Path, names: Sequence[str], rows: Array) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", *COLUMNS])
        for name, row in zip(names, rows, strict=True):
            writer.writerow([name, *(f"{value:.6g}" for value in row)])
