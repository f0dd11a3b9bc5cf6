"""Batch-norm statistics, held against the batch itself in double precision."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paperstart.batchnorm import (
    COLUMNS,
    Array,
    BatchNormStatistics,
    batchnorm_statistics,
    batchnorm_summary,
    find_batchnorm_layers,
    take_snapshot,
)

COMPARING = (
    "train_eval_gap",
    "mean_shift_rms",
    "var_log_ratio",
    "effective_sample_size",
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class Scaled(nn.BatchNorm2d):
    """A layer of a user's own that does more than its parent."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Uncounted(nn.BatchNorm2d):
    """A layer of a user's own that calls the function and counts nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum or 0.0,
            self.eps,
        )


def batch(dimensions: int, size: int = 64) -> Tensor:
    """Data with another mean and spread in each of 6 channels."""
    x = torch.randn(size, 6, *[5] * dimensions)
    shape = (6, *[1] * dimensions)
    return x * torch.linspace(0.3, 3, 6).view(shape) + torch.arange(6.0).view(shape)


def in_a_step(net: nn.Module, *inputs: Tensor) -> BatchNormStatistics:
    """The statistics of one step, in which ``net`` sees the inputs."""
    layers = find_batchnorm_layers(net)
    before = take_snapshot(layers)
    for x in inputs:
        net(x)
    return batchnorm_statistics(before, take_snapshot(layers), layers)


def mean_and_var(x: Tensor) -> tuple[Array, Array]:
    """The batch's mean and unbiased variance per channel, in double precision."""
    flat = x.detach().double().transpose(0, 1).flatten(1)
    return flat.mean(1).numpy(), flat.var(1).numpy()


def expected(layer: nn.Module, mean: Array, var: Array) -> dict[str, float]:
    """What a batch of this mean and variance is beside the layer's statistics."""
    old_mean = layer.running_mean.double().numpy()
    sigma2 = layer.running_var.double().numpy() + layer.eps
    shift = (mean - old_mean) / np.sqrt(sigma2)
    rho2 = (var + layer.eps) / sigma2
    return {
        "mean_shift_rms": float(np.sqrt((shift**2).mean())),
        "var_log_ratio": float(np.abs(np.log(rho2)).mean()),
        "train_eval_gap": float(np.sqrt((shift**2 + (rho2**0.5 - 1) ** 2).mean())),
    }


class TestRecovery:
    """Two looks at the buffers give back the batch in between."""

    @pytest.mark.parametrize("momentum", [0.1, 0.01, None, 1.0])
    @pytest.mark.parametrize(
        ("kind", "dimensions"),
        [
            (nn.BatchNorm1d, 0),
            (nn.BatchNorm1d, 1),
            (nn.BatchNorm2d, 2),
            (nn.BatchNorm3d, 3),
            (Scaled, 2),
            (nn.LazyBatchNorm2d, 2),
        ],
    )
    def test_the_batch_comes_back(
        self,
        kind: Callable[..., nn.Module],
        dimensions: int,
        momentum: float | None,
    ) -> None:
        """Mean and variance of the batch are recovered to a tenth of a percent."""
        size = () if kind is nn.LazyBatchNorm2d else (6,)
        layer = kind(*size, momentum=momentum)
        for _ in range(20):
            layer(batch(dimensions))
        x = batch(dimensions)
        wanted = expected(layer, *mean_and_var(x))

        found = in_a_step(layer, x)

        assert found["updates_per_step"] == 1
        for name, value in wanted.items():
            assert found[name][0] == pytest.approx(value, rel=1e-3), name

    def test_instance_norm_with_tracking(self) -> None:
        """Instance norm, which counts no updates, gives the mean over its instances."""
        layer = nn.InstanceNorm2d(6, affine=True, track_running_stats=True)
        for _ in range(20):
            layer(batch(2))
        x = batch(2)
        each = x.double().flatten(2)
        wanted = expected(
            layer, each.mean(2).mean(0).numpy(), each.var(2).mean(0).numpy()
        )

        found = in_a_step(layer, x)

        assert found["updates_per_step"] == 1
        for name, value in wanted.items():
            assert found[name][0] == pytest.approx(value, rel=1e-3), name

    def test_a_layer_that_counts_nothing(self) -> None:
        """A layer whose own forward counts no update is still seen to move."""
        layer = Uncounted(6)
        x = batch(2)
        wanted = expected(layer, *mean_and_var(x))

        found = in_a_step(layer, x)

        assert found["updates_per_step"] == 1
        assert found["train_eval_gap"][0] == pytest.approx(wanted["train_eval_gap"])

    @pytest.mark.parametrize("momentum", [0.1, None])
    def test_two_updates_with_one_batch(self, momentum: float | None) -> None:
        """Activation checkpointing runs a layer twice; the batch is still exact."""
        layer = nn.BatchNorm2d(6, momentum=momentum)
        for _ in range(10):
            layer(batch(2))
        x = batch(2)
        wanted = expected(layer, *mean_and_var(x))

        found = in_a_step(layer, x, x)

        assert found["updates_per_step"] == 2
        for name, value in wanted.items():
            assert found[name][0] == pytest.approx(value, rel=1e-3), name

    def test_a_shared_layer(self) -> None:
        """A layer that stands twice in a model is one layer, updated twice."""
        layer = nn.BatchNorm1d(6)
        net = nn.Sequential(layer, nn.ReLU(), layer)

        found = in_a_step(net, batch(0))

        assert found["updates_per_step"].tolist() == [2]

    def test_layers_do_not_mix(self) -> None:
        """Each of several layers, of different size, gets its own batch's numbers."""
        net = nn.Sequential(
            nn.BatchNorm2d(6),
            nn.Conv2d(6, 17, 3, bias=False),
            nn.BatchNorm2d(17, momentum=0.01, eps=1e-3),
            nn.ReLU(),
            nn.Conv2d(17, 1, 1),
            nn.BatchNorm2d(1, affine=False),
        )
        for _ in range(5):
            net(batch(2))
        x = batch(2)
        seen: dict[int, Tensor] = {}
        for i in (0, 2, 5):
            net[i].register_forward_pre_hook(
                lambda _, args, i=i: seen.__setitem__(i, args[0])
            )
        net(x)  # the inputs do not depend on the running statistics
        wanted = [expected(net[i], *mean_and_var(seen[i])) for i in (0, 2, 5)]

        found = in_a_step(net, x)

        for name in wanted[0]:
            values = [each[name] for each in wanted]
            assert found[name] == pytest.approx(values, rel=2e-3), name

    def test_large_means(self) -> None:
        """A mean of 100 sigma, as in an input layer, leaves three digits."""
        layer = nn.BatchNorm1d(6)
        for _ in range(50):
            layer(torch.randn(64, 6) + 100)
        x = torch.randn(64, 6) + 100.5
        wanted = expected(layer, *mean_and_var(x))

        found = in_a_step(layer, x)

        assert found["train_eval_gap"][0] == pytest.approx(
            wanted["train_eval_gap"], rel=1e-3
        )


class TestGap:
    """`train_eval_gap` is what it says."""

    @pytest.mark.parametrize("momentum", [0.1, 0.01])
    @pytest.mark.parametrize("size", [8, 32, 128])
    def test_the_true_difference(self, size: int, momentum: float) -> None:
        """The gap is the RMS difference of train-mode and eval-mode output to 5 %."""
        net = nn.Sequential(
            nn.Conv2d(6, 12, 3),
            nn.BatchNorm2d(12, momentum=momentum, affine=False),
        )
        for _ in range(20):
            net(batch(2, size))
        x = batch(2, size)
        with torch.no_grad():
            in_eval = net.eval()(x)
            layers = find_batchnorm_layers(net)
            before = take_snapshot(layers)
            in_train = net.train()(x)
        found = batchnorm_statistics(before, take_snapshot(layers), layers)
        true = float((in_train - in_eval).double().square().mean().sqrt())

        assert found["train_eval_gap"][0] == pytest.approx(true, rel=0.05)

    def test_scale_and_shift_do_not_count(self) -> None:
        """The gap is that before scale and shift, whatever these are."""
        plain, scaled = nn.BatchNorm2d(6), nn.BatchNorm2d(6)
        nn.init.constant_(scaled.weight, 7)
        nn.init.constant_(scaled.bias, -3)
        x = batch(2)

        found = in_a_step(scaled, x)["train_eval_gap"]

        assert found == in_a_step(plain, x)["train_eval_gap"]

    @pytest.mark.parametrize("momentum", [0.1, 0.5])
    @pytest.mark.parametrize("size", [16, 256])
    def test_the_sample_size_follows_the_batch(
        self, size: int, momentum: float
    ) -> None:
        """Of independent samples, the effective number is near the batch's size."""
        layer = nn.BatchNorm1d(2000, momentum=momentum)
        for _ in range(60):
            layer(torch.randn(size, 2000))

        found = in_a_step(layer, torch.randn(size, 2000))

        assert found["effective_sample_size"][0] == pytest.approx(size, rel=0.15)

    def test_a_batch_without_variance(self) -> None:
        """Rounding below zero is no variance; it does not make the gap NaN."""
        layer = nn.BatchNorm1d(1000, eps=1e-12)  # torch refuses zero
        layer.running_var.uniform_(0.5, 2)

        found = in_a_step(layer, torch.zeros(8, 1000))

        assert found["train_eval_gap"][0] == pytest.approx(1, rel=1e-3)


class TestNotUpdated:
    """Where nothing was updated, nothing is compared."""

    def test_eval_mode(self) -> None:
        """A layer in eval mode has no update, and NaN in what compares a batch."""
        found = in_a_step(nn.BatchNorm2d(6).eval(), batch(2))

        assert found["updates_per_step"] == 0
        assert all(np.isnan(found[name]).all() for name in COMPARING)
        assert found["running_var_max"] == 1

    def test_instance_norm_with_nan_in_eval_mode(self) -> None:
        """A layer whose NaN stays where it is was not updated."""
        layer = nn.InstanceNorm1d(6, track_running_stats=True).eval()
        layer.running_mean[0] = float("nan")

        assert in_a_step(layer, batch(1))["updates_per_step"] == 0

    def test_a_frozen_layer_beside_a_live_one(self) -> None:
        """A layer in eval mode changes nothing of what its neighbor says."""
        net = nn.Sequential(nn.BatchNorm2d(6).eval(), nn.BatchNorm2d(6))

        found = in_a_step(net, batch(2))

        assert found["updates_per_step"].tolist() == [0, 1]
        assert np.isfinite(found["train_eval_gap"]).tolist() == [False, True]

    def test_momentum_zero(self) -> None:
        """Momentum 0 keeps the old statistics, so the batch cannot be known."""
        found = in_a_step(nn.BatchNorm2d(6, momentum=0.0), batch(2))

        assert np.isnan(found["train_eval_gap"]).all()

    @pytest.mark.parametrize(
        ("kind", "momentum", "is_known"),
        [
            (torch.bfloat16, 0.1, False),
            (torch.bfloat16, 0.5, True),
            (torch.float16, 0.1, True),
            (torch.float16, 0.01, False),
            (torch.float64, 1e-5, True),
        ],
    )
    def test_half_precision(
        self, kind: torch.dtype, momentum: float, is_known: bool
    ) -> None:
        """What the buffers' own rounding makes of the batch is not passed off as it."""
        layer = nn.BatchNorm2d(6, momentum=momentum).to(kind)
        x = batch(2).to(kind)

        found = in_a_step(layer, x)

        assert np.isfinite(found["train_eval_gap"]).all() == is_known
        assert np.isfinite(found["running_var_gmean"]).all()


class TestHeld:
    """What is read from the layer as it stands."""

    def test_scale_and_shift(self) -> None:
        """Dead and near-zero channels are counted among all, absolute scales taken."""
        layer = nn.BatchNorm1d(4)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([1.0, -0.5, 0.005, 0.1]))
            layer.bias.copy_(torch.tensor([0.0, -1.0, -1.0, -1.0]))

        found = in_a_step(layer, torch.randn(8, 4))

        assert found["weight_abs_mean"] == pytest.approx([1.605 / 4])
        assert found["weight_abs_min"] == pytest.approx([0.005])
        assert found["weight_abs_max"] == [1]
        assert found["bias_mean"] == [-0.75]
        assert found["near_zero_weight_fraction"] == [0.25]
        assert found["dead_fraction"] == [0.5]  # -1 + 3 x 0.5 is alive

    def test_running_statistics(self) -> None:
        """Means, variances and channels without variance are those of the buffers."""
        layer = nn.BatchNorm1d(4).eval()
        layer.running_mean.copy_(torch.tensor([1.0, -3.0, 0.0, 0.0]))
        layer.running_var.copy_(torch.tensor([1e-8, 1e-2, 1.0, 1e2]))

        found = in_a_step(layer, torch.randn(8, 4))

        assert found["running_mean_abs_mean"] == [1]
        assert found["running_mean_abs_max"] == [3]
        assert found["running_var_min"] == pytest.approx([1e-8])
        assert found["running_var_max"] == [100]
        assert found["running_var_gmean"] == pytest.approx([1e-2])
        assert found["low_variance_fraction"] == [0.25]

    @pytest.mark.parametrize("arguments", [{"affine": False}, {"bias": False}])
    def test_no_affine_pair(self, arguments: dict[str, bool]) -> None:
        """A layer without scale or shift counts as one with 1 and 0."""
        if not set(arguments) <= set(inspect.signature(nn.BatchNorm2d).parameters):
            pytest.skip("this torch has no such argument")

        found = in_a_step(nn.BatchNorm2d(6, **arguments), batch(2))

        assert found["weight_abs_mean"] == [1]
        assert found["bias_mean"] == [0]
        assert found["dead_fraction"] == [0]
        assert np.isfinite(found["train_eval_gap"]).all()

    def test_nan_in_one_channel(self) -> None:
        """One sick channel is counted; the other layers' numbers stay finite."""
        net = nn.Sequential(nn.BatchNorm2d(6), nn.BatchNorm2d(6))
        net(batch(2))
        net[1].running_var[3] = float("nan")

        found = in_a_step(net, batch(2))
        summary = batchnorm_summary(found)

        assert found["nonfinite_count"].tolist() == [0, 1]
        assert summary["nonfinite_count"] == 1
        assert np.isfinite(found["train_eval_gap"]).tolist() == [True, False]
        assert all(np.isfinite(value) for value in summary.values())
        assert summary["train_eval_gap_max"] == found["train_eval_gap"][0]

    def test_the_model_is_left_alone(self) -> None:
        """Looking changes no value, keeps no hook, and holds a copy."""
        net = nn.Sequential(nn.BatchNorm2d(6))
        state = {name: value.clone() for name, value in net.state_dict().items()}
        layers = find_batchnorm_layers(net)
        snapshot = take_snapshot(layers)

        assert all(torch.equal(state[n], v) for n, v in net.state_dict().items())
        assert not net[0]._forward_hooks
        assert not net[0]._forward_pre_hooks
        net(batch(2))
        assert (snapshot.mean == 0).all()
        assert (snapshot.var == 1).all()


class TestColumns:
    """The table's columns and the summary."""

    def test_each_is_there_and_documented(self) -> None:
        """A column has a unit and a meaning, and one number for each layer."""
        net = nn.Sequential(nn.BatchNorm2d(6), nn.BatchNorm2d(6))
        found = in_a_step(net, batch(2))

        assert list(found) == list(COLUMNS)
        assert all(values.shape == (2,) for values in found.values())
        for text in COLUMNS.values():
            unit, _, meaning = text.replace(" of ", "; ", 1).partition("; ")
            assert unit
            assert meaning

    def test_at_most_14_numbers_go_to_a_tracker(self) -> None:
        """A network of any depth gives at most 14 finite numbers."""
        for depth in (1, 30):
            net = nn.Sequential(*[nn.BatchNorm2d(6) for _ in range(depth)])
            net(batch(2))
            layers = find_batchnorm_layers(net)
            found = None
            for _ in range(3):  # a lag is averaged over three steps or more
                before = take_snapshot(layers)
                net(batch(2))
                after = take_snapshot(layers)
                found = batchnorm_statistics(before, after, layers, earlier=found)

            summary = batchnorm_summary(found)

            assert len(summary) == 14
            assert all(isinstance(value, float) for value in summary.values())
            assert all(np.isfinite(value) for value in summary.values())

    def test_fractions_are_of_all_channels(self) -> None:
        """A wide layer weighs more in a fraction than a narrow one."""
        net = nn.Sequential(nn.BatchNorm1d(30), nn.Linear(30, 10), nn.BatchNorm1d(10))
        nn.init.constant_(net[2].bias, -10)

        summary = batchnorm_summary(in_a_step(net, torch.randn(8, 30)))

        assert summary["dead_fraction"] == 0.25
        assert summary["dead_fraction_max"] == 1

    def test_no_layers(self) -> None:
        """A model without batch norm gives empty columns and no numbers."""
        found = in_a_step(nn.Linear(3, 3), torch.randn(2, 3))

        assert list(found) == list(COLUMNS)
        assert all(values.shape == (0,) for values in found.values())
        assert batchnorm_summary(found) == {}


class TestFinding:
    """Which layers are watched, and what they are called."""

    def test_what_is_found(self) -> None:
        """Layers with running statistics are found in order; others are not."""
        net = nn.ModuleDict(
            {
                "bn": nn.BatchNorm1d(2),
                "untracked": nn.BatchNorm1d(2, track_running_stats=False),
                "plain_instance": nn.InstanceNorm1d(2),
                "tracked_instance": nn.InstanceNorm1d(2, track_running_stats=True),
                "layer_norm": nn.LayerNorm(2),
                "group_norm": nn.GroupNorm(1, 2),
                "own": Scaled(2),
                "sync": nn.SyncBatchNorm(2),
            }
        )

        names = [layer.name for layer in find_batchnorm_layers(net)]

        assert names == ["bn", "tracked_instance", "own", "sync"]

    def test_a_lazy_layer_is_found_once_it_has_a_size(self) -> None:
        """A lazy layer is left out until its first batch."""
        net = nn.Sequential(nn.LazyBatchNorm2d())

        assert find_batchnorm_layers(net) == []
        net(batch(2))
        assert [layer.channels for layer in find_batchnorm_layers(net)] == [6]

    def test_casting_and_loading_keep_the_layer(self) -> None:
        """A layer found once still shows the buffers that took the old ones' place."""
        net = nn.Sequential(nn.BatchNorm2d(6))
        layers = find_batchnorm_layers(net)
        net.double()
        state = {n: v.clone() for n, v in net.state_dict().items()}
        state["0.running_mean"] += 5
        net.load_state_dict(state, assign=True)

        assert (take_snapshot(layers).mean == 5).all()

    def test_names_are_the_users(self) -> None:
        """No wrapper's own word stands in a name; the user's own ``module`` does."""
        inner = nn.Sequential(nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6))
        compiled = torch.compile(inner, backend="eager")
        own = nn.ModuleDict({"module": nn.BatchNorm1d(2), "net": compiled})

        assert [layer.name for layer in find_batchnorm_layers(compiled)] == ["1"]
        assert [layer.name for layer in find_batchnorm_layers(own)] == [
            "module",
            "net.1",
        ]
        parallel = nn.DataParallel(inner)
        assert [layer.name for layer in find_batchnorm_layers(parallel)] == ["1"]
        assert [layer.name for layer in find_batchnorm_layers(inner[1])] == [
            "(the model)"
        ]
        alone = torch.compile(nn.BatchNorm1d(2), backend="eager")
        assert [layer.name for layer in find_batchnorm_layers(alone)] == ["(the model)"]
