"""The layer x step table: its files, their shapes, and the names of their axes."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from paperstart import _bn_record
from paperstart._bn_record import BatchNormRecord, write_table
from paperstart.batchnorm import (
    COLUMNS,
    batchnorm_statistics,
    batchnorm_summary,
    find_batchnorm_layers,
    take_snapshot,
)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.BatchNorm1d(4), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU()
    )


def train(
    record: BatchNormRecord, net: nn.Module, steps: Iterable[int]
) -> dict[str, float]:
    """Log some steps; the last one's summary."""
    summary: dict[str, float] = {}
    for step in steps:
        layers = find_batchnorm_layers(net)
        before = take_snapshot(layers)
        net(torch.randn(8, 4) + step)
        found = batchnorm_statistics(before, take_snapshot(layers), layers, step=step)
        record.add(found)
        summary = batchnorm_summary(found)
    return summary


def write(record: BatchNormRecord, folder: Path) -> list[Path]:
    table = record.table()
    assert table is not None
    return write_table(table, folder)


def test_the_table(tmp_path: Path) -> None:
    """The table is (steps, layers, columns), and says what stands where."""
    record = BatchNormRecord()
    summary = train(record, network(), range(10, 40, 10))

    paths = write(record, tmp_path)

    assert [path.name for path in paths] == ["table.npz", "last_step.csv"]
    with np.load(tmp_path / "table.npz") as table:
        assert table["values"].shape == (3, 2, len(COLUMNS))
        assert table["values"].dtype == np.float32
        assert table["steps"].tolist() == [10, 20, 30]
        assert table["layers"].tolist() == ["0", "2"]
        assert table["channels"].tolist() == [4, 3]
        assert table["columns"].tolist() == list(COLUMNS)
        assert table["units"].tolist() == list(COLUMNS.values())
        gap = table["values"][:, :, list(COLUMNS).index("train_eval_gap")]
    assert gap[-1].max() == pytest.approx(summary["train_eval_gap_max"])
    made = record.table()
    assert made is not None
    assert (made.column("train_eval_gap") == gap).all()


def test_the_last_step_for_people(tmp_path: Path) -> None:
    """The last step is a table of text too, a line per layer, with the same values."""
    record = BatchNormRecord()
    train(record, network(), range(3))
    write(record, tmp_path)

    with (tmp_path / "last_step.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))

    assert [line["layer"] for line in lines] == ["0", "2"]
    assert list(lines[0]) == ["layer", *COLUMNS]
    with np.load(tmp_path / "table.npz") as table:
        for line, values in zip(lines, table["values"][-1], strict=True):
            read = [float(line[name]) for name in COLUMNS]
            assert read == pytest.approx(values.tolist(), rel=1e-5, nan_ok=True)


def test_nothing_logged() -> None:
    """Without a step there is no table."""
    assert BatchNormRecord().table() is None


def test_layers_that_come_later(tmp_path: Path) -> None:
    """A layer that gets its size in the first batch has NaN for the steps before."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm1d(4), nn.LazyBatchNorm1d())
    record = BatchNormRecord()
    train(record, net, range(2))
    write(record, tmp_path)

    with np.load(tmp_path / "table.npz") as table:
        assert table["layers"].tolist() == ["0", "1"]
        assert np.isnan(table["values"][0, 1]).all()
        known = [not name.endswith("_lag") for name in COLUMNS]
        assert np.isfinite(table["values"][1, 1, known]).all()


def test_a_resumed_fit_goes_on_in_the_table(tmp_path: Path) -> None:
    """What was read from the earlier table stands before the new steps."""
    net = network()
    first = BatchNormRecord()
    train(first, net, range(2))
    write(first, tmp_path)
    with np.load(tmp_path / "table.npz") as table:
        earlier = table["values"]

    second = BatchNormRecord()
    second.read(tmp_path / "table.npz")
    train(second, net, range(2, 4))
    write(second, tmp_path)

    with np.load(tmp_path / "table.npz") as table:
        assert table["steps"].tolist() == [0, 1, 2, 3]
        np.testing.assert_array_equal(table["values"][:2], earlier)


def test_a_long_run_is_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; first and last step stay, and what stays is in order."""
    monkeypatch.setattr(_bn_record, "_MOST_STEPS", 10)
    net = network()
    record = BatchNormRecord()
    train(record, net, range(41))
    write(record, tmp_path)

    with np.load(tmp_path / "table.npz") as table:
        steps = table["steps"].tolist()
    assert len(steps) <= 10
    assert steps[0] == 0
    assert steps[-1] == 40
    assert steps == sorted(steps)
