"""`recompute_bn_stats`, beside torch's own function and beside float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from paperstart import recompute_bn_stats


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def network() -> nn.Sequential:
    """Two layers whose statistics are far off."""
    net = nn.Sequential(
        nn.Conv2d(2, 5, 3),
        nn.BatchNorm2d(5, momentum=0.001),
        nn.ReLU(),
        nn.Conv2d(5, 3, 3),
        nn.BatchNorm2d(3, affine=False),
    )
    for _ in range(5):
        net(torch.randn(4, 2, 8, 8) * 3 + 1)
    return net.eval()


def batches(count: int = 6, size: int = 8) -> list[Tensor]:
    return [torch.randn(size, 2, 8, 8) * 2 - 1 for _ in range(count)]


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def assert_same(net: nn.Module, earlier: dict[str, Tensor]) -> None:
    for name, value in net.state_dict().items():
        assert torch.equal(value, earlier[name]), name


class TestResult:
    """The running statistics are the average over the batches."""

    def test_beside_torch(self) -> None:
        """It leaves what ``update_bn`` leaves, and says how many batches it saw."""
        net, data = network(), batches()
        other = copy.deepcopy(net)

        assert recompute_bn_stats(net, data) == 6

        update_bn(data, other)
        for name, value in net.state_dict().items():
            torch.testing.assert_close(
                value, other.state_dict()[name], rtol=1e-5, atol=1e-6
            )
        assert net[1].num_batches_tracked == 6

    def test_in_float64(self) -> None:
        """Mean and unbiased variance of each batch, averaged, to float32's rounding."""
        net, data = network(), batches(40)
        recompute_bn_stats(net, data)

        exact = copy.deepcopy(net).double()
        seen: dict[int, list[Tensor]] = {1: [], 4: []}
        for i in seen:
            exact[i].register_forward_pre_hook(
                lambda _, args, i=i: seen[i].append(args[0])
            )
        exact.train()  # what reaches the second layer is normalized by the batch
        with torch.no_grad():
            for x in data:
                exact(x.double())
        for i, inputs in seen.items():
            flat = [x.transpose(0, 1).flatten(1) for x in inputs]
            mean = torch.stack([x.mean(1) for x in flat]).mean(0)
            var = torch.stack([x.var(1) for x in flat]).mean(0)
            torch.testing.assert_close(
                net[i].running_mean.double(), mean, rtol=1e-6, atol=1e-6
            )
            torch.testing.assert_close(
                net[i].running_var.double(), var, rtol=1e-6, atol=1e-6
            )

    def test_a_layer_that_is_called_twice(self) -> None:
        """Both calls of a shared layer count, as with ``update_bn``."""
        layer = nn.BatchNorm1d(4)
        net = nn.Sequential(layer, nn.Linear(4, 4), layer)
        data = [torch.randn(16, 4) for _ in range(5)]
        other = copy.deepcopy(net)

        recompute_bn_stats(net, data)

        update_bn(data, other)
        torch.testing.assert_close(layer.running_mean, other[0].running_mean)
        torch.testing.assert_close(layer.running_var, other[0].running_var)
        assert layer.num_batches_tracked == 10

    def test_instance_norm(self) -> None:
        """Instance norm's statistics are averaged too."""
        net = nn.Sequential(nn.InstanceNorm1d(4, track_running_stats=True))
        data = [torch.randn(16, 4, 9) + 3 for _ in range(5)]

        recompute_bn_stats(net, data)

        mean = torch.stack([x.mean((0, 2)) for x in data]).mean(0)
        var = torch.stack([x.var(2).mean(0) for x in data]).mean(0)
        torch.testing.assert_close(net[0].running_mean, mean)
        torch.testing.assert_close(net[0].running_var, var)

    def test_dropout_is_off(self) -> None:
        """What is averaged is what evaluation sees: no dropout, no random number."""
        net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4)).train()
        x = torch.randn(64, 4)
        before = torch.get_rng_state()

        recompute_bn_stats(net, [x])

        torch.testing.assert_close(net[1].running_mean, x.mean(0))
        assert torch.equal(torch.get_rng_state(), before)

    def test_a_layer_that_no_batch_reaches(self) -> None:
        """It keeps what it has."""
        net = nn.ModuleDict({"used": nn.BatchNorm1d(4), "idle": nn.BatchNorm1d(4)})
        net["idle"].running_mean.fill_(7)
        net["idle"].running_var.fill_(9)

        recompute_bn_stats(net, [torch.randn(8, 4)], forward=net["used"])

        assert (net["idle"].running_mean == 7).all()
        assert (net["idle"].running_var == 9).all()
        assert net["used"].num_batches_tracked == 1


class TestInputs:
    """What a batch may be."""

    def test_pairs(self) -> None:
        """Of a loader's pairs, the first."""
        net, data = network(), batches()
        other = copy.deepcopy(net)

        recompute_bn_stats(net, [(x, torch.zeros(8)) for x in data])
        recompute_bn_stats(other, data)

        assert_same(net, state(other))

    def test_anything_else(self) -> None:
        """``forward`` takes a batch as it comes."""
        net, data = network(), batches()
        other = copy.deepcopy(net)

        recompute_bn_stats(
            net, [{"image": x} for x in data], forward=lambda batch: net(batch["image"])
        )
        recompute_bn_stats(other, data)

        assert_same(net, state(other))

    def test_no_batch_norm(self) -> None:
        """Without batch norm there is nothing to do, and no batch is asked for."""

        def never() -> Iterator[Tensor]:
            raise AssertionError
            yield

        assert recompute_bn_stats(nn.Linear(2, 2), never()) == 0


class TestGivenBack:
    """What is borrowed is given back."""

    def test_modes_and_momentums(self) -> None:
        """Each module has its own mode and momentum again, and its weights."""
        net = network()
        net[1].train()
        weights = net[0].weight.clone()
        modes = [module.training for module in net.modules()]

        recompute_bn_stats(net, batches())

        assert [module.training for module in net.modules()] == modes
        assert [net[1].momentum, net[4].momentum] == [0.001, 0.1]
        assert torch.equal(net[0].weight, weights)
        assert all(parameter.grad is None for parameter in net.parameters())

    def test_the_same_tensors(self) -> None:
        """Who holds a buffer holds the new values."""
        net = network()
        held = net[1].running_mean

        recompute_bn_stats(net, batches())

        assert net[1].running_mean is held

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_an_error(self, error: type[BaseException]) -> None:
        """Data that fails in the midst leaves everything as it was."""
        net = network()
        earlier = state(net)
        modes = [module.training for module in net.modules()]

        def failing() -> Iterator[Tensor]:
            yield from batches(3)
            raise error

        with pytest.raises(error):
            recompute_bn_stats(net, failing())

        assert_same(net, earlier)
        assert [module.training for module in net.modules()] == modes
        assert [net[1].momentum, net[4].momentum] == [0.001, 0.1]

    def test_no_batch(self) -> None:
        """No batch is an error in words, and leaves everything as it was."""
        net = network()
        earlier = state(net)

        with pytest.raises(ValueError, match=r"no batch .* Pass a loader"):
            recompute_bn_stats(net, [])

        assert_same(net, earlier)
