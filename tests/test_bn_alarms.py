"""A healthy network has no alarm; each planted fault has its own, and no other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from resnets import resnet, train
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from paperstart._alarm_text import with_alarms
from paperstart._bn_alarms import alarms_text
from paperstart._bn_rules import half_life
from paperstart.batchnorm import (
    BatchNormAlarm,
    alarms_markdown,
    batchnorm_alarms,
    batchnorm_statistics,
    find_batchnorm_layers,
    take_snapshot,
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def norms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]


class TestHealthy:
    """Normal training is silent."""

    @pytest.mark.parametrize(
        ("options", "every", "batch_size", "rate"),
        [
            ({}, 10, 32, 0.1),
            ({}, 1, 64, 0.1),
            ({}, 50, 32, 0.05),
            ({}, 5, 32, 0.3),
            ({"zero_init": True}, 10, 32, 0.1),
            ({"zero_init": True}, 1, 64, 0.3),
            ({"width": 16}, 7, 32, 0.01),
        ],
    )
    def test_a_residual_network(
        self, options: dict[str, int], every: int, batch_size: int, rate: float
    ) -> None:
        """A residual network, trained on digits, has no alarm from first to last."""
        seen = train(
            resnet(**options), 200, every=every, batch_size=batch_size, rate=rate
        )

        assert [alarm.words for alarm in seen.alarms] == []
        assert len(seen.history) == 200 // every

    def test_frozen_layers(self) -> None:
        """A layer that is frozen as it should be, in eval mode, is no fault."""
        net = resnet()
        frozen = norms(net)[2]
        frozen.requires_grad_(False).eval()

        seen = train(net, 60)

        assert seen.alarms == []
        assert seen.history[-1]["updates_per_step"].tolist().count(0) == 1


class TestFaults:
    """Each fault is found, named, and taken for no other."""

    def only(self, alarms: list[BatchNormAlarm], kind: str) -> BatchNormAlarm:
        """The first of the alarms, which are all of one kind."""
        assert {alarm.kind for alarm in alarms} == {kind}
        named = [layer for alarm in alarms for layer in alarm.layers]
        assert len(named) == len(set(named))  # once each
        return alarms[0]

    def test_stale_statistics(self) -> None:
        """A momentum that is too small for the length of the training."""
        net = resnet()
        for layer in norms(net):
            layer.momentum = 0.001

        alarm = self.only(train(net, 120).alarms, "stale")

        assert len(alarm.layers) > 4
        assert alarm.last_step <= 100
        assert "half-life of 693 updates" in alarm.words
        assert "recompute_bn_stats" in alarm.words

    def test_one_stale_layer(self) -> None:
        """Of one stale layer among healthy ones, its name."""
        net = resnet()
        net[4].bn1.momentum = 0.001

        alarm = self.only(train(net, 120).alarms, "stale")

        assert alarm.layer == "4.bn1"
        assert alarm.layers == ("4.bn1",)
        assert alarm.words.startswith("4.bn1: ")

    def test_dead_channels(self) -> None:
        """Channels that no input brings above zero."""
        net = resnet()

        def kill(step: int) -> None:
            if step == 25:
                with torch.no_grad():
                    net[5].bn1.bias[:4] = -20

        alarm = self.only(train(net, 60, at_step=kill).alarms, "dead")

        assert alarm.layers == ("5.bn1",)
        assert alarm.figure == pytest.approx(4 / 32)
        assert (alarm.first_step, alarm.last_step) == (20, 40)
        assert "12% of the channels (4 of 32) are dead" in alarm.words

    def test_tensorflows_momentum(self) -> None:
        """0.99, copied from a TensorFlow model."""
        net = resnet()
        for layer in norms(net):
            layer.momentum = 0.99

        seen = train(net, 120)
        alarm = self.only(seen.alarms, "tf_momentum")

        assert len(seen.alarms) == 1
        assert len(alarm.layers) == 9
        assert "0.15 updates" in alarm.words
        assert "0.99 is 0.01 in torch" in alarm.words

    def test_a_half_frozen_layer(self) -> None:
        """Scale and shift fixed, statistics not."""
        net = resnet()
        norms(net)[3].requires_grad_(False)

        alarm = self.only(train(net, 60).alarms, "half_frozen")

        assert alarm.layer == find_batchnorm_layers(net)[3].name
        assert alarm.last_step == 10
        assert "eval()" in alarm.words

    def test_what_lightning_calls_frozen(self) -> None:
        """``freeze(train_bn=False)`` turns tracking off and leaves training mode on."""
        net = resnet()
        norms(net)[3].requires_grad_(False).track_running_stats = False

        alarm = self.only(train(net, 60).alarms, "untracked")

        assert alarm.layers == (find_batchnorm_layers(net)[3].name,)
        assert "track_running_stats=False" in alarm.words

    def test_momentum_zero(self) -> None:
        """Statistics that can not move, while training uses the batch's."""
        net = resnet()
        norms(net)[3].momentum = 0.0

        alarm = self.only(train(net, 60).alarms, "untracked")

        assert "momentum=0" in alarm.words

    def test_activation_checkpointing(self) -> None:
        """A block that is run again in the backward pass."""
        net = resnet()

        def forward(x: Tensor) -> Tensor:
            x = net[:4](x)
            x = checkpoint(net[4], x, use_reentrant=False)
            return net[5:](x)

        seen = train(net, 120, forward=forward)
        alarm = self.only(seen.alarms, "repeated")

        assert set(alarm.layers) <= {"4.bn1", "4.bn2", "4.shortcut.1"}
        assert alarm.last_step == 20
        assert "2 times a step" in alarm.words
        assert "acts as 0.19" in alarm.words

    def test_bfloat16_buffers(self) -> None:
        """The whole model cast, its running statistics with it."""
        alarm = self.only(train(resnet().bfloat16(), 60).alarms, "low_precision")

        assert len(alarm.layers) == 9
        assert alarm.figure == pytest.approx(2**-8)
        assert "Keep the buffers of batch norm in float32" in alarm.words

    def test_nan_in_one_channel(self) -> None:
        """NaN is dated to the steps between two looks, and said once."""
        net = resnet()

        def poison(step: int) -> None:
            if step == 33:
                net[4].bn1.running_var[3] = float("nan")

        seen = train(net, 80, at_step=poison)
        alarm = self.only(seen.alarms, "nonfinite")

        assert len(seen.alarms) == 1
        assert alarm.layer == "4.bn1"
        assert alarm.figure == 1
        assert (alarm.first_step, alarm.last_step) == (30, 40)
        assert "1 of 16 channels" in alarm.words
        assert "between 30 and 40" in alarm.words

    def test_a_loss_that_explodes(self) -> None:
        """Of NaN in all layers at once, the first in forward order is named."""
        net = resnet()

        def poison(step: int) -> None:
            if step == 15:
                with torch.no_grad():
                    net[0].weight[0] = float("nan")

        seen = train(net, 60, at_step=poison)

        assert [(a.kind, a.layer) for a in seen.alarms] == [("nonfinite", "1")]
        assert len(seen.alarms[0].layers) == 9


class TestAlarms:
    """What alarms are made of."""

    def planted(self, momentum: float = 0.99) -> list[BatchNormAlarm]:
        net = nn.ModuleDict({f"bn{i}": nn.BatchNorm1d(4) for i in range(6)})
        for layer in net.values():
            layer.momentum = momentum
        layers = find_batchnorm_layers(net)
        before = take_snapshot(layers)
        for layer in net.values():
            layer(torch.randn(8, 4))
        found = batchnorm_statistics(before, take_snapshot(layers), layers, step=5)
        return batchnorm_alarms([found])

    def test_layers_share_an_alarm(self) -> None:
        """Three others are named, and the rest counted."""
        (alarm,) = self.planted()

        assert alarm.words.startswith("bn0 (also bn1, bn2, bn3 and 2 more): ")
        assert alarm.layers == tuple(f"bn{i}" for i in range(6))

    def test_nothing_to_look_at(self) -> None:
        """No step, or no layer, is no alarm."""
        nothing = batchnorm_statistics(take_snapshot([]), take_snapshot([]), [])

        assert batchnorm_alarms([]) == []
        assert batchnorm_alarms([nothing]) == []

    def test_chance_is_no_fault(self) -> None:
        """What is seen in one step alone is not said, where chance could do it."""
        net = nn.Sequential(nn.BatchNorm1d(4))
        nn.init.constant_(net[0].bias, -10)
        layers = find_batchnorm_layers(net)
        history = []
        for _ in range(3):
            before = take_snapshot(layers)
            net(torch.randn(8, 4))
            history.append(batchnorm_statistics(before, take_snapshot(layers), layers))

        assert batchnorm_alarms(history[:1]) == []
        assert [a.kind for a in batchnorm_alarms(history[:2])] == ["dead"]
        alive = replace(
            history[1],
            columns={**history[1].columns, "dead_fraction": np.zeros(1)},
        )
        assert batchnorm_alarms([history[0], alive, history[2]]) == []

    def test_layers_are_found_by_where_they_are_worst(self) -> None:
        """The layer that an alarm is named for has the largest figure."""
        net = nn.ModuleList(nn.BatchNorm1d(4) for _ in range(3))
        for layer, dead in zip(net, (2, 4, 3), strict=True):
            nn.init.constant_(layer.bias[:dead], -10)
        layers = find_batchnorm_layers(net)
        one = take_snapshot(layers)
        found = batchnorm_statistics(one, one, layers)

        (alarm,) = batchnorm_alarms([found, found])

        assert (alarm.layer, alarm.figure) == ("1", 1)

    def test_the_description(self) -> None:
        """Alarms end a description, in place of earlier ones, whatever it says else."""
        first, second = self.planted(0.99), self.planted(0.9)

        text = with_alarms("Mine.\n\n- a list", alarms_text(first))
        text = with_alarms(text, alarms_text(first + second))

        assert text.startswith("Mine.\n\n- a list\n\n### Batch-norm alarms\n\n- bn0")
        assert text.count("### Batch-norm alarms") == 1
        assert text.count("\n- bn0") == 2
        assert alarms_markdown([]) == ""
        assert with_alarms("Mine.", "") == "Mine."

    @pytest.mark.parametrize(
        ("momentum", "updates"),
        [(0.1, 6.58), (0.01, 69.0), (0.001, 692.8), (0.99, 0.15), (1.0, 0.0)],
    )
    def test_half_life(self, momentum: float, updates: float) -> None:
        """After so many updates, half of the statistics is new."""
        assert half_life(momentum) == pytest.approx(updates, abs=0.05)

    def test_without_momentum_nothing_fades(self) -> None:
        """Momentum 0 has no half-life."""
        assert half_life(0.0) == math.inf
