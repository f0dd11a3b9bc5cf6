"""How do bytes get from a device to the host beside the work that it does?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch

from paperstart._bn_layout import Bytes, Group


class Slot(Protocol):
    """Room for one step's copies from one device."""

    nbytes: int

    def pack(
        self,
        group: Group,
        tensors: Sequence[torch.Tensor],
        views: Sequence[memoryview | None],
        is_after: bool,
    ) -> None:
        """Put a group's tensors, one after the other, in their place."""

    def send(self) -> None:
        """Start the copy to the host."""

    def wait(self) -> Bytes:
        """Wait for the copy, and take what has come."""


class HostSlot:
    """Copies of what is on the host, of one step alone.

    ``bytes.join`` takes two thirds of ``numpy.concatenate``'s time for hundreds of
    small pieces, and calls nothing of torch's.
    """

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self._packed: dict[int, bytes] = {}

    def pack(
        self,
        group: Group,
        tensors: Sequence[torch.Tensor],
        views: Sequence[memoryview | None],
        is_after: bool,
    ) -> None:
        start, _ = group.places[is_after]
        try:
            packed = b"".join(views)  # type: ignore[arg-type]
        except TypeError:  # one is a strided part of a larger tensor
            packed = b"".join(view.tobytes() for view in views if view is not None)
        self._packed[start] = packed

    def send(self) -> None:
        """Nothing to send."""

    def wait(self) -> Bytes:
        host = np.empty(self.nbytes, np.uint8)
        for start, packed in self._packed.items():
            host[start : start + len(packed)] = np.frombuffer(packed, np.uint8)
        return host


class Side(Protocol):
    """Where a device's copies to the host run."""

    def after_now(self, staging: torch.Tensor) -> AbstractContextManager[Any]:
        """What is started inside runs once the device has done what it was told."""

    def mark(self) -> Callable[[], None]:
        """What to call to wait until all of that is done."""


class SideStream:
    """A stream of its own beside the one that trains."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._device = device

    def after_now(self, staging: torch.Tensor) -> AbstractContextManager[Any]:
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        staging.record_stream(self._stream)
        return torch.cuda.stream(self._stream)

    def mark(self) -> Callable[[], None]:
        # Blocking: the thread that waits sleeps meanwhile.
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(self._stream)
        return event.synchronize


class SameStream:
    """For a device without streams that we know: the copy itself waits."""

    def __init__(self, device: torch.device) -> None:
        pass

    def after_now(self, staging: torch.Tensor) -> AbstractContextManager[Any]:
        return nullcontext()

    def mark(self) -> Callable[[], None]:
        return lambda: None


class DeviceSlot:
    """One buffer on a device, and one on the host that it is copied to."""

    def __init__(self, device: torch.device, nbytes: int, side: Side) -> None:
        self.nbytes = nbytes
        self._side = side
        self._is_gpu = device.type == "cuda"
        self._staging = torch.empty(nbytes, dtype=torch.uint8, device=device)
        self._host = torch.empty(
            nbytes, dtype=torch.uint8, device="cpu", pin_memory=self._is_gpu
        )
        self._wait: Callable[[], None] = lambda: None

    @torch.no_grad()
    def pack(
        self,
        group: Group,
        tensors: Sequence[torch.Tensor],
        views: Sequence[memoryview | None],
        is_after: bool,
    ) -> None:
        start, stop = group.places[is_after]
        out = self._staging.narrow(0, start, stop - start).view(group.dtype)
        join = torch.cat if tensors[0].dim() else torch.stack
        join(list(tensors), out=out)

    def send(self) -> None:
        with self._side.after_now(self._staging):
            self._host.copy_(self._staging, non_blocking=self._is_gpu)
        self._wait = self._side.mark()

    def wait(self) -> Bytes:
        self._wait()
        return np.array(self._host.numpy())


def side_of(device: torch.device) -> Side:
    """The side of a device of any type."""
    return SideStream(device) if device.type == "cuda" else SameStream(device)
