"""Batch means and variances, recovered as exactly as the study of them promises.

Each bound is the largest error over channels and 20 steps: of the mean in sigmas of the
batch, of the variance as a fraction of it. Held against the batch itself in float64.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from resnets import images, resnet, train
from torch import Tensor, nn
from torch.nn import functional

from paperstart.batchnorm import (
    Array,
    batch_mean_and_var,
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


class BatchNormAct2d(nn.BatchNorm2d):
    """As timm has it: a forward of its own, with an activation."""

    def forward(self, x: Tensor) -> Tensor:
        factor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                factor = 1.0 / float(self.num_batches_tracked)
        return functional.relu(
            functional.batch_norm(
                x,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                self.training,
                factor,
                self.eps,
            )
        )


def batch(dimensions: int, shift: float = 0.0) -> Tensor:
    """1,600 samples of another spread in each of 6 channels, or 1,728 in 3 dimensions.

    Args:
        dimensions: behind the channels.
        shift: of each channel, in sigmas.
    """
    side = {0: (), 1: (25,), 2: (5, 5), 3: (3, 3, 3)}[dimensions]
    size = 1600 if dimensions == 0 else 64
    sigma = torch.linspace(0.3, 3, 6).view(6, *[1] * dimensions)
    return (torch.randn(size, 6, *side) + shift) * sigma


def of_batch(x: Tensor) -> tuple[Array, Array]:
    """Mean and unbiased variance of the whole batch per channel."""
    flat = x.detach().double().transpose(0, 1).flatten(1)
    return flat.mean(1).numpy(), flat.var(1).numpy()


def of_instances(x: Tensor) -> tuple[Array, Array]:
    """The same of each instance, averaged."""
    flat = x.detach().double().flatten(2)
    return flat.mean(2).mean(0).numpy(), flat.var(2).mean(0).numpy()


def errors(
    layer: nn.Module,
    data: Callable[[], Tensor],
    *,
    exact: Callable[[Tensor], tuple[Array, Array]] = of_batch,
    run: Callable[[Tensor], Any] | None = None,
    warm: int = 20,
    steps: int = 20,
) -> tuple[float, float]:
    """The largest errors of mean and variance."""
    run = layer if run is None else run
    for _ in range(warm):
        run(data())
    layers = find_batchnorm_layers(layer)
    worst = np.zeros(2)
    for _ in range(steps):
        x = data()
        before = take_snapshot(layers)
        run(x)
        mean, var = batch_mean_and_var(before, take_snapshot(layers), layers)
        true_mean, true_var = exact(x)
        of_mean = np.abs(mean - true_mean) / np.sqrt(true_var)
        of_var = np.abs(var - true_var) / true_var
        worst = np.maximum(worst, [of_mean.max(), of_var.max()])
    return float(worst[0]), float(worst[1])


class TestStudy:
    """The table of the study, row by row."""

    @pytest.mark.parametrize(
        ("momentum", "most_of_mean", "most_of_var"),
        [
            (0.1, 7e-8, 3e-6),
            (0.01, 3e-8, 9e-4),
            (0.001, 6e-8, 1.3e-2),
            (1e-4, 7e-8, 0.23),
            (None, 7e-8, 1e-5),
        ],
    )
    @pytest.mark.parametrize(
        ("kind", "dimensions"),
        [
            (nn.BatchNorm1d, 0),
            (nn.BatchNorm1d, 1),
            (nn.BatchNorm2d, 2),
            (nn.BatchNorm3d, 3),
            (BatchNormAct2d, 2),
            (nn.LazyBatchNorm1d, 1),
            (nn.LazyBatchNorm2d, 2),
            (nn.LazyBatchNorm3d, 3),
        ],
    )
    def test_kinds_and_momentums(
        self,
        kind: Callable[..., nn.Module],
        dimensions: int,
        momentum: float | None,
        most_of_mean: float,
        most_of_var: float,
    ) -> None:
        """Every kind of layer at every momentum."""
        is_lazy = kind.__name__.startswith("Lazy")
        layer = kind(*(() if is_lazy else (6,)), momentum=momentum)
        warm = 50 if momentum is None else 20

        of_mean, of_var = errors(layer, lambda: batch(dimensions), warm=warm)

        # The study gives 1e-7 for each kind beside its table, which is of one run.
        is_as_in_table = dimensions > 0 and momentum is not None
        assert of_mean <= (most_of_mean if is_as_in_table else 1e-7)
        assert of_var <= most_of_var

    @pytest.mark.parametrize("dimensions", [1, 2, 3])
    def test_instance_norm(self, dimensions: int) -> None:
        """Instance norm with tracking gives the mean over its instances."""
        kinds = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
        layer = kinds[dimensions](6, affine=True, track_running_stats=True)

        of_mean, of_var = errors(layer, lambda: batch(dimensions), exact=of_instances)

        assert of_mean <= 1e-7
        assert of_var <= 3e-6

    def test_a_plain_average_of_2000(self) -> None:
        """Late in a plain average, an update is small."""
        layer = nn.BatchNorm1d(6, momentum=None)

        of_mean, of_var = errors(layer, lambda: batch(0), warm=2000, steps=5)

        assert of_mean <= 6e-7
        assert of_var <= 3e-4

    @pytest.mark.parametrize(
        ("shift", "momentum", "most"),
        [(100, 0.1, 2.5e-4), (100, 0.01, 1.5e-3), (1000, 0.1, 3.4e-3)],
    )
    def test_large_means(self, shift: float, momentum: float, most: float) -> None:
        """A mean of many sigmas costs digits, and not more than that."""
        layer = nn.BatchNorm1d(6, momentum=momentum)

        of_mean, of_var = errors(layer, lambda: batch(0, shift), warm=400)

        assert of_mean <= most
        assert of_var <= 2e-2

    @pytest.mark.parametrize("shift", [0.3, 3.0, 30.0])
    @pytest.mark.parametrize("momentum", [0.1, 0.01])
    def test_the_law(self, shift: float, momentum: float) -> None:
        """The error of the mean is the running mean's rounding over the momentum.

        The study's table holds where means are small beside sigma; this, everywhere.
        """
        layer = nn.BatchNorm2d(6, momentum=momentum)

        of_mean, _ = errors(layer, lambda: batch(2, shift), warm=400)

        assert of_mean <= 2 * 2**-24 * shift / momentum + 2e-7 * shift

    @pytest.mark.parametrize("arguments", [{"affine": False}, {"bias": False}])
    def test_without_an_affine_pair(self, arguments: dict[str, bool]) -> None:
        """A layer without scale or shift."""
        if not set(arguments) <= set(inspect.signature(nn.BatchNorm2d).parameters):
            pytest.skip("this torch has no such argument")

        of_mean, of_var = errors(nn.BatchNorm2d(6, **arguments), lambda: batch(2))

        assert of_mean <= 7e-8
        assert of_var <= 3e-6

    def test_channels_last(self) -> None:
        """Images with the channels in the last place of memory."""
        of_mean, of_var = errors(
            nn.BatchNorm2d(6),
            lambda: batch(2).to(memory_format=torch.channels_last),
        )

        assert of_mean <= 6e-8
        assert of_var <= 3e-6

    def test_autocast(self) -> None:
        """In bfloat16 autocast the buffers stay float32, and so does the result."""
        layer = nn.BatchNorm2d(6)

        def run(x: Tensor) -> None:
            with torch.autocast("cpu", torch.bfloat16):
                layer(x)

        of_mean, of_var = errors(layer, lambda: batch(2).bfloat16(), run=run)

        assert of_mean <= 1e-7
        assert of_var <= 3e-6

    def test_float16_buffers(self) -> None:
        """Of 11 bits, what is left at momentum 0.1."""
        layer = nn.BatchNorm2d(6).half()

        of_mean, of_var = errors(layer, lambda: batch(2).half())

        assert of_mean <= 1e-3
        assert of_var <= 2e-2

    def test_called_twice(self) -> None:
        """Two updates with one batch, as with activation checkpointing."""
        layer = nn.BatchNorm2d(6)

        of_mean, of_var = errors(
            layer, lambda: batch(2), run=lambda x: (layer(x), layer(x))
        )

        assert of_mean <= 7e-8
        assert of_var <= 3e-6

    def test_fused_for_quantization(self) -> None:
        """In a convolution fused with its batch norm, the batch norm in it."""
        qat = pytest.importorskip("torch.ao.nn.intrinsic.qat")
        quantization = pytest.importorskip("torch.ao.quantization")
        layer = qat.ConvBn2d(
            2, 6, 3, qconfig=quantization.get_default_qat_qconfig("fbgemm")
        )
        seen: list[Tensor] = []
        layer.bn.register_forward_pre_hook(lambda _, args: seen.append(args[0]))

        of_mean, of_var = errors(
            layer,
            lambda: torch.randn(32, 2, 8, 8),
            exact=lambda _: of_batch(seen[-1]),
        )

        assert find_batchnorm_layers(layer)[0].name == "bn"
        assert of_mean <= 2e-6
        assert of_var <= 2e-5

    def test_compiled(self) -> None:
        """A compiled layer's buffers are the layer's own."""
        layer = nn.BatchNorm2d(6)
        compiled = torch.compile(layer, backend="aot_eager")

        of_mean, of_var = errors(layer, lambda: batch(2), run=compiled)
        torch._dynamo.reset()

        assert of_mean <= 1e-7
        assert of_var <= 3e-6


class TestGap:
    """`train_eval_gap` on a real network, trained on real images."""

    @pytest.mark.parametrize("size", [8, 16, 64, 256])
    @pytest.mark.parametrize("momentum", [0.1, 0.01])
    def test_of_a_trained_network(self, size: int, momentum: float) -> None:
        """In each layer it is the RMS difference of both modes' outputs, to 5 %.

        Before scale and shift, for the same input of the layer.
        """
        net = resnet()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = momentum
        train(net, 60)
        net.train()
        layers = find_batchnorm_layers(net)
        inputs: dict[str, Tensor] = {}
        for layer in layers:
            layer.module.register_forward_pre_hook(
                lambda _, args, name=layer.name: inputs.__setitem__(name, args[0])
            )
        x, _ = images()
        before = take_snapshot(layers)
        held = {
            layer.name: [
                layer.module.running_mean.clone(),
                layer.module.running_var.clone(),
            ]
            for layer in layers
        }
        with torch.no_grad():
            net(x[1000 : 1000 + size])
        found = batchnorm_statistics(before, take_snapshot(layers), layers)

        for layer, gap in zip(layers, found["train_eval_gap"], strict=True):
            given = inputs[layer.name].double()
            mean, var = (value.double() for value in held[layer.name])
            in_train = functional.batch_norm(given, None, None, training=True)
            in_eval = functional.batch_norm(given, mean, var)
            true = (in_train - in_eval).square().mean().sqrt()
            assert gap == pytest.approx(float(true), rel=0.05), layer.name


class TestLag:
    """What trails behind, once the noise is taken away."""

    def lags(
        self, momentum: float, drift: float, size: int = 64
    ) -> tuple[float, float]:
        """Of mean and variance, after 20 looks at every tenth step."""
        layer = nn.BatchNorm1d(500, momentum=momentum)
        layers = find_batchnorm_layers(layer)
        found = None
        for step in range(1, 301):
            before = take_snapshot(layers) if step % 10 == 0 else None
            layer(torch.randn(size, 500) + drift * step)
            if before is not None:
                after = take_snapshot(layers)
                found = batchnorm_statistics(
                    before, after, layers, step=step, earlier=found
                )
        assert found is not None
        return float(found["running_mean_lag"][0]), float(found["running_var_lag"][0])

    @pytest.mark.parametrize("size", [2, 8, 64])
    def test_noise_is_no_lag(self, size: int) -> None:
        """Small batches are far from the statistics, and these do not trail behind."""
        mean, _ = self.lags(0.1, 0.0, size)

        assert mean < 0.05

    @pytest.mark.parametrize(("momentum", "drift"), [(0.1, 0.05), (0.5, 0.2)])
    def test_a_drift(self, momentum: float, drift: float) -> None:
        """A mean that moves by d a step is followed at a distance of d / momentum."""
        mean, _ = self.lags(momentum, drift)

        # The running variance holds the batches' own, 1, and no more.
        assert mean == pytest.approx(drift / momentum, rel=0.05)

    def test_what_was_never_reached(self) -> None:
        """With a small momentum, the initial value is what is left."""
        layer_mean, layer_var = self.lags(0.001, 0.0)

        assert layer_mean < 0.05
        assert layer_var < 0.05  # the initial variance of 1 is the true one

    def test_only_a_chain_has_one(self) -> None:
        """A single step, or another model's, says nothing of lag."""
        layer = nn.BatchNorm1d(4)
        layers = find_batchnorm_layers(layer)
        other = find_batchnorm_layers(nn.BatchNorm1d(5))
        one, two = take_snapshot(layers), take_snapshot(other)
        earlier = batchnorm_statistics(two, two, other)

        found = batchnorm_statistics(one, one, layers, earlier=earlier)

        assert np.isnan(found["running_mean_lag"]).all()
