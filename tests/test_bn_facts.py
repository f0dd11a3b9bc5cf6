"""What is said of the layers before the first step."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from paperstart._bn_facts import layer_facts, run_facts, write_facts
from paperstart.batchnorm import find_batchnorm_layers


class FrozenBatchNorm2d(nn.Module):
    """As detection models have it: buffers only."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.ones(3))


def network() -> nn.ModuleDict:
    net = nn.ModuleDict(
        {
            "usual": nn.BatchNorm2d(8),
            "same": nn.BatchNorm2d(8),
            "slow": nn.BatchNorm2d(4, momentum=0.001).bfloat16(),
            "average": nn.BatchNorm1d(2, momentum=None),
            "frozen": nn.BatchNorm1d(2).requires_grad_(False).eval(),
            "half_frozen": nn.BatchNorm1d(2).requires_grad_(False),
            "sync": nn.SyncBatchNorm(2),
            "still": nn.BatchNorm1d(2, momentum=0.0),
            "plain": nn.BatchNorm1d(2, affine=False),
            "detection": FrozenBatchNorm2d(),
        }
    )
    return net


def test_each_layer() -> None:
    """Momentum, half-life, updates to forget the start, dtype, and what moves."""
    facts = {f.layer: f for f in layer_facts(find_batchnorm_layers(network()))}

    usual = facts["usual"]
    assert (usual.kind, usual.channels, usual.eps) == ("BatchNorm2d", 8, 1e-5)
    assert usual.half_life_steps == pytest.approx(6.58, abs=0.01)
    assert usual.initial_value_steps == 44
    assert facts["slow"].half_life_steps == pytest.approx(692.8, abs=0.1)
    assert facts["slow"].initial_value_steps == 4603
    assert facts["slow"].buffer_dtype == "bfloat16"
    assert facts["average"].initial_value_steps == 1
    assert math.isnan(facts["average"].half_life_steps)
    assert math.isinf(facts["still"].half_life_steps)
    assert [f.layer for f in facts.values() if f.is_synchronized] == ["sync"]
    states = {name: f.state for name, f in facts.items() if f.state != "learns"}
    assert states == {
        "frozen": "frozen",
        "half_frozen": "half-frozen",
        "still": "untracked",
    }


def test_a_run() -> None:
    """Of what differs every value is named, the most frequent first."""
    net = network()
    facts = run_facts(net, layer_facts(find_batchnorm_layers(net)))

    assert facts["layers"] == "9"
    assert facts["channels"] == "32"
    assert facts["momentum"] == "0.1, 0, 0.001, none (plain average)"
    assert facts["buffer_dtype"] == "float32, bfloat16"
    assert facts["sync"] == "true"
    assert facts["frozen_layers"] == "frozen, detection"
    assert facts["half_frozen_layers"] == "half_frozen"
    assert facts["untracked_layers"] == "still"


def test_many_frozen_layers() -> None:
    """A long list is cut, and says by how much."""
    net = nn.Sequential(*[nn.BatchNorm1d(1).requires_grad_(False) for _ in range(30)])
    facts = run_facts(net, layer_facts(find_batchnorm_layers(net)))

    assert facts["half_frozen_layers"].startswith("0, 1, 2, ")
    assert facts["half_frozen_layers"].endswith(", 19 and 10 more")


def test_no_batch_norm() -> None:
    """Of a model without batch norm there is nothing to say."""
    assert run_facts(nn.Linear(2, 2), []) == {}


def test_the_file(tmp_path: Path) -> None:
    """A line per layer, named columns."""
    path = write_facts(layer_facts(find_batchnorm_layers(network())), tmp_path)

    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert path.name == "layers.csv"
    assert len(lines) == 9
    assert lines[0]["layer"] == "usual"
    assert lines[0]["initial_value_steps"] == "44.0"
