"""What did the batch-norm layers say in the course of a run?

Keeps one row per layer and logged step, and writes the table as files.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from paperstart.batchnorm import (
    COLUMNS,
    Array,
    BatchNormSnapshot,
    batchnorm_statistics,
    batchnorm_summary,
    find_batchnorm_layers,
    take_snapshot,
)


class BatchNormRecord:
    """The layer x step table of one model.

    Attributes:
        layers: the layers that are watched; empty if the model has none.
    """

    def __init__(self, module: nn.Module) -> None:
        self.layers = find_batchnorm_layers(module)
        self._before: BatchNormSnapshot | None = None
        self._steps: list[int] = []
        self._rows: list[Array] = []

    def before_step(self) -> None:
        """Take the snapshot that the step's statistics start from."""
        if self.layers:
            self._before = take_snapshot(self.layers)

    def after_step(self, step: int) -> dict[str, float]:
        """Add the step to the table and return its summary; empty if not armed."""
        before, self._before = self._before, None
        if before is None:
            return {}
        statistics = batchnorm_statistics(
            before, take_snapshot(self.layers), self.layers
        )
        self._steps.append(step)
        self._rows.append(np.stack([statistics[name] for name in COLUMNS], axis=-1))
        return batchnorm_summary(statistics, self.layers)

    def write(self, folder: Path) -> list[Path]:
        """Write ``table.npz`` and ``last_step.csv``; nothing if no step was logged.

        ``table.npz`` has ``values`` of shape (steps, layers, columns), float32, and
        ``steps``, ``layers``, ``columns``, ``units`` that name its axes.
        """
        if not self._rows:
            return []
        names = [layer.name for layer in self.layers]
        table = folder / "table.npz"
        np.savez_compressed(
            table,
            values=np.stack(self._rows).astype(np.float32),
            steps=np.array(self._steps),
            layers=np.array(names),
            columns=np.array(list(COLUMNS)),
            units=np.array(list(COLUMNS.values())),
        )
        last = folder / "last_step.csv"
        _write_csv(last, names, self._rows[-1])
        return [table, last]


def _write_csv(path: Path, names: Sequence[str], rows: Array) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", *COLUMNS])
        for name, row in zip(names, rows, strict=True):
            writer.writerow([name, *(f"{value:.6g}" for value in row)])
