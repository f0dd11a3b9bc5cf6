"""Copies of the layers: exact, without an operation of torch, without a wait."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from paperstart._bn_capture import SLOTS, Capture
from paperstart._bn_layout import MOST_COUNTS, Layout, turns
from paperstart._bn_pipeline import Pipeline
from paperstart._bn_snapshot import BatchNormSnapshot
from paperstart.batchnorm import find_batchnorm_layers, take_snapshot


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def network(sizes: tuple[int, ...] = (5, 3, 1, 7)) -> nn.Sequential:
    """Layers with other numbers of channels, all with random values."""
    layers = nn.Sequential()
    for before, after in zip(sizes, (*sizes[1:], sizes[0]), strict=True):
        layers.append(nn.BatchNorm1d(before))
        layers.append(nn.Linear(before, after))
    for layer in layers[::2]:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    return layers


def captured(
    capture: Capture, step: Callable[[], object]
) -> tuple[BatchNormSnapshot, BatchNormSnapshot] | None:
    assert capture.before()
    step()
    pending = capture.after()
    return None if pending is None else pending.fetch()


def assert_equal(found: BatchNormSnapshot, wanted: BatchNormSnapshot) -> None:
    for name in ("mean", "var", "weight", "bias", "batches", "settings"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), name)


class TestCopies:
    """What comes is what the layers hold."""

    def check(self, net: nn.Module, step: Callable[[], object]) -> None:
        """Both snapshots are those that `take_snapshot` takes, step after step."""
        layers = find_batchnorm_layers(net)
        capture = Capture(layers)
        for _ in range(3):
            before = take_snapshot(layers)
            found = captured(capture, step)
            assert found is not None
            np.testing.assert_array_equal(found[0].mean, before.mean)
            np.testing.assert_array_equal(found[0].var, before.var)
            np.testing.assert_array_equal(found[0].batches, before.batches)
            assert_equal(found[1], take_snapshot(layers))

    def test_a_network(self) -> None:
        """Layers of every size, in order."""
        net = network()

        self.check(net, lambda: net(torch.randn(8, 5)))

    @pytest.mark.parametrize(
        "dtype", [torch.float64, torch.bfloat16, torch.float16, torch.float32]
    )
    def test_dtypes(self, dtype: torch.dtype) -> None:
        """Each dtype's values are kept, in 32 bits or more."""
        net = network().to(dtype)

        self.check(net, lambda: net(torch.randn(8, 5, dtype=dtype)))

    def test_mixed_dtypes(self) -> None:
        """Half the layers in another dtype, and layers without an affine pair."""
        layers = [
            nn.BatchNorm1d(5),
            nn.BatchNorm1d(5).double(),
            nn.BatchNorm1d(5, affine=False),
            nn.InstanceNorm1d(5, track_running_stats=True),
        ]
        x = torch.randn(8, 5, 4)

        self.check(
            nn.Sequential(*layers),
            lambda: [layer(x.to(layer.running_mean.dtype)) for layer in layers],
        )

    def test_a_copy_is_a_copy(self) -> None:
        """What a later step does changes nothing that was fetched."""
        net = network()
        capture = Capture(find_batchnorm_layers(net))
        first = captured(capture, lambda: net(torch.randn(8, 5)))
        assert first is not None
        mean = first[1].mean.copy()

        captured(capture, lambda: net(torch.randn(8, 5)))

        np.testing.assert_array_equal(first[1].mean, mean)

    def test_two_steps_at_a_time(self) -> None:
        """A step is copied while an earlier one has not been fetched."""
        net = network()
        layers = find_batchnorm_layers(net)
        capture = Capture(layers)
        pending, wanted = [], []
        for _ in range(6):
            assert capture.before()
            net(torch.randn(8, 5))
            pending.append(capture.after())
            wanted.append(take_snapshot(layers))

        for each, snapshot in zip(pending, wanted, strict=True):
            assert each is not None
            found = each.fetch()
            assert found is not None
            assert_equal(found[1], snapshot)

    def test_a_step_without_a_start(self) -> None:
        """A step whose start was not copied, or was forgotten, has no copy."""
        net = network()
        capture = Capture(find_batchnorm_layers(net))

        assert capture.after() is None
        capture.before()
        capture.disarm()
        assert capture.after() is None


class TestChangedModels:
    """What was copied from a tensor that is not the layer's any more is not used."""

    @pytest.mark.parametrize("change", ["cast", "assign", "data"])
    def test_between_steps(self, change: str) -> None:
        """One step is lost, and the next are right."""
        net = network()
        layers = find_batchnorm_layers(net)
        capture = Capture(layers)

        def step() -> None:
            net(torch.randn(8, 5, dtype=net[0].weight.dtype))

        assert captured(capture, step) is not None
        if change == "cast":
            net.double()
        elif change == "assign":
            state = {n: v.clone() + 1 for n, v in net.state_dict().items()}
            net.load_state_dict(state, assign=True)
        else:
            flat = nn.utils.parameters_to_vector(net.parameters()) + 1
            nn.utils.vector_to_parameters(flat, net.parameters())

        assert captured(capture, step) is None
        for _ in range(2):
            found = captured(capture, step)
            assert found is not None
            assert_equal(found[1], take_snapshot(layers))

    def test_a_look_loses_no_step(self) -> None:
        """After a look at the layers, as at the start of an epoch, all are right."""
        net = network()
        layers = find_batchnorm_layers(net)
        capture = Capture(layers)
        captured(capture, lambda: net(torch.randn(8, 5)))
        net.double()
        net[0].requires_grad_(False)
        capture.look()

        found = captured(capture, lambda: net(torch.randn(8, 5).double()))

        assert found is not None
        assert_equal(found[1], take_snapshot(layers))

    def test_a_layer_that_replaces_its_buffers(self) -> None:
        """A layer whose forward puts new tensors in the old ones' place is followed."""

        class Replacing(nn.BatchNorm1d):
            def forward(self, x: Tensor) -> Tensor:
                self.running_mean = self.running_mean.clone()
                self.num_batches_tracked = self.num_batches_tracked + 1
                return nn.functional.batch_norm(
                    x, self.running_mean, self.running_var, training=True
                )

        net = nn.Sequential(Replacing(5))
        layers = find_batchnorm_layers(net)
        capture = Capture(layers)
        assert captured(capture, lambda: net(torch.randn(8, 5))) is None  # finds out

        for _ in range(3):
            found = captured(capture, lambda: net(torch.randn(8, 5)))
            assert found is not None
            assert found[1].batches - found[0].batches == 1
            assert_equal(found[1], take_snapshot(layers))

    def test_a_strided_buffer(self) -> None:
        """Buffers that are every second number of a larger tensor are copied, too."""
        net = network()
        both = torch.rand(2 * net[0].num_features)
        net[0].running_var = both[::2]
        layers = find_batchnorm_layers(net)

        found = captured(Capture(layers), lambda: net(torch.randn(8, 5)))

        assert found is not None
        assert_equal(found[1], take_snapshot(layers))

    def test_a_cast_within_a_step(self) -> None:
        """A model that is cast between the copies gives none, and no error."""
        net = network()
        capture = Capture(find_batchnorm_layers(net))

        assert captured(capture, net.double) is None
        assert captured(capture, net.float) is None  # by now it looks first


class Operations(TorchDispatchMode):
    """Counts torch's operations, with what they were given."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self, call: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = call(*args, **(kwargs or {}))
        name = str(call).removeprefix("aten.")
        if name == "prim.device.default":  # a fake tensor is asked where it is
            return result
        self.names[name.partition(".")[0]] += 1
        self.calls.append((name, args, kwargs or {}, result))
        return result


class Beside:
    """In a GPU's place: streams and events exist only where there is a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.marks = 0

    def after_now(self, staging: Tensor) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def mark(self) -> Callable[[], None]:
        self.marks += 1
        return lambda: None


@pytest.fixture
def fake_gpu() -> Iterator[None]:
    """Tensors on "cuda" that have a shape and no values: any look at one raises."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def gpu_network(count: int) -> nn.Sequential:
    with torch.device("cuda"):
        return nn.Sequential(*[nn.BatchNorm2d(8) for _ in range(count)])


@pytest.mark.usefixtures("fake_gpu")
class TestNoWait:
    """On a GPU nothing is waited for."""

    def operations(self, net: nn.Module, steps: int = 1) -> Operations:
        """Those of the last of some steps; the first one makes the buffers."""
        capture = Capture(find_batchnorm_layers(net), Beside)
        for _ in range(steps):
            with Operations() as seen:
                assert capture.before()
                pending = capture.after()
            assert pending is not None
            capture._give_back(pending._slots)
        return seen

    def test_every_copy_is_asynchronous(self) -> None:
        """The one copy from the device is non-blocking, and into pinned memory."""
        net = gpu_network(53)
        with Operations() as seen:
            capture = Capture(find_batchnorm_layers(net), Beside)
            assert capture.before()
            assert capture.after() is not None
        pinned = {
            id(result.untyped_storage())
            for name, _, kwargs, result in seen.calls
            if name.startswith("empty") and kwargs.get("pin_memory")
        }
        crossing = [
            (name, args, kwargs)
            for name, args, kwargs, result in seen.calls
            if isinstance(result, Tensor)
            and result.device.type == "cpu"
            and any(isinstance(a, Tensor) and a.device.type == "cuda" for a in args)
        ]

        ((name, args, kwargs),) = crossing
        assert name == "copy_.default"
        assert id(args[0].untyped_storage()) in pinned
        assert (*args[2:], *kwargs.values()) == (True,)  # non_blocking
        looks = {"_local_scalar_dense", "item", "nonzero", "_to_copy", "equal"}
        assert not looks & set(seen.names)

    @pytest.mark.parametrize("count", [1, 20, 53])
    def test_operations_do_not_grow_with_the_layers(self, count: int) -> None:
        """A step packs four times and copies once, of however many layers."""
        found = self.operations(gpu_network(count), steps=2).names

        assert found["cat"] + found["stack"] == 4
        assert found["copy_"] == 1
        views = {"view", "slice", "narrow", "detach"}
        assert set(found) - views == {"cat", "stack", "copy_"}

    def test_packed_with_few_launches(self) -> None:
        """``cat`` takes 128 tensors at a launch: at most ceil(6L / 128) + 4 in all."""
        for count in (1, 20, 53, 64, 128, 129, 155, 300, 700):
            seen = self.operations(gpu_network(count), steps=3)
            packed = [
                len(args[0])
                for name, args, _, _ in seen.calls
                if name.startswith(("cat", "stack"))
            ]
            launches = sum(-(-tensors // 128) for tensors in packed)

            assert launches + seen.names["copy_"] <= -(-6 * count // 128) + 4, count

    def test_several_devices(self) -> None:
        """Each device packs its own layers, and copies once."""
        with torch.device("cuda", 0):
            first = nn.BatchNorm1d(3)
        with torch.device("cuda", 1):
            second = nn.BatchNorm1d(5)
        layout = Layout(find_batchnorm_layers(nn.Sequential(first, second)), {0, 1})
        found = self.operations(nn.Sequential(first, second, first), steps=2).names

        assert [device.index for device in layout.groups] == [0, 1]
        assert found["copy_"] == 2
        assert found["cat"] + found["stack"] == 8

    def test_a_busy_gpu_is_not_waited_for(self) -> None:
        """When all copies are still on their way, a step is left out."""
        capture = Capture(find_batchnorm_layers(gpu_network(3)), Beside)
        for _ in range(SLOTS):
            assert capture.before()
            assert capture.after() is not None

        assert not capture.before()
        assert capture.after() is None


class TestTurns:
    """Counts of updates are read by turns where there are many layers on a GPU."""

    def test_on_a_cpu_all(self) -> None:
        """A CPU reads all of them each time."""
        layers = find_batchnorm_layers(
            nn.Sequential(*[nn.BatchNorm1d(1) for _ in range(300)])
        )

        assert turns(layers) == [set(range(300))]

    @pytest.mark.usefixtures("fake_gpu")
    def test_on_a_gpu_each_layer_has_its_turn(self) -> None:
        """Within three steps each of 300 layers was read; averages are read always."""
        net = gpu_network(300)
        net[7].momentum = None
        found = turns(find_batchnorm_layers(net))

        assert set.union(*found) == set(range(300))
        assert all(len(turn) <= MOST_COUNTS and 7 in turn for turn in found)
        assert len(found) == 3

    def test_what_is_not_read_is_as_it_was(self, monkeypatch: Any) -> None:
        """A layer whose turn it is not has the updates of its last turn."""
        net = nn.Sequential(*[nn.BatchNorm1d(2) for _ in range(2)])
        monkeypatch.setattr("paperstart._bn_capture.turns", lambda _: [{0}, {1}])
        pipeline = Pipeline()
        for step in range(4):
            pipeline.before(net)
            net(torch.randn(4, 2))
            net[1](torch.randn(4, 2))
            pipeline.after(step)
        pipeline.take(wait=True)
        tables: list[Any] = []
        pipeline.then(tables.append)
        pipeline.close()

        updates = tables[0].table.column("updates_per_step")
        np.testing.assert_array_equal(updates, [[1, np.nan], [1, 2], [1, 2], [1, 2]])
        gaps = tables[0].table.column("train_eval_gap")
        assert np.isfinite(gaps).tolist() == np.isfinite(updates).tolist()

    def test_a_layout_leaves_them_out(self) -> None:
        """Layers that are not counted have all but their counts in the copy."""
        layers = find_batchnorm_layers(network())
        layout = Layout(layers, {0, 2})

        assert layout.unread == {1, 3}
        assert len(layout.seen) == 4 * 4 + 2


class TestNothingInBetween:
    """On a CPU a due step calls nothing of torch, and another step nothing at all."""

    def test_operations(self) -> None:
        """After the first step, copying calls no operation of torch."""
        net = network()
        capture = Capture(find_batchnorm_layers(net))
        captured(capture, lambda: net(torch.randn(8, 5)))

        with Operations() as seen:
            capture.before()
            capture.after()

        assert not seen.names
