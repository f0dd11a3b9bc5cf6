"""Which tensor of which layer stands where in a flat copy?"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from paperstart._bn_layers import TENSORS, BatchNormLayer

MOST_COUNTS = 128
"""Counts of updates read at once from a GPU: as many as one launch of ``cat`` takes."""
Bytes = npt.NDArray[np.uint8]
Places = tuple[tuple[int, int], tuple[int, int]]
"""Where a group is packed before a step and after it: (start, stop), in bytes."""
_MOVING = TENSORS[:3]
_ALIGNMENT = 16  # bytes; ``cat`` then copies whole words


class Group:
    """The tensors of one dtype on one device, which are packed at once.

    Attributes:
        dtype: of all of them.
        entries: (kind, layer, elements) of each; what a step moves comes first.
        sources: where each is to be found: a module's own dict, and the kind.
        moving: how many of them a step moves.
        elements: of what a step moves, and of all.
        places: where they are packed.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.entries: list[tuple[str, int, int]] = []
        self.sources: list[tuple[Mapping[str, torch.Tensor | None], str]] = []
        self.moving = 0
        self.elements = [0, 0]
        self.places: Places = ((0, 0), (0, 0))

    def add(self, kind: str, at: int, layer: BatchNormLayer, size: int) -> None:
        """Put one more tensor at the end."""
        is_moving = kind in _MOVING
        module = layer.module
        home: Mapping[str, torch.Tensor | None]
        home = module._buffers if is_moving else module._parameters
        self.entries.append((kind, at, size))
        self.sources.append((home, kind))
        self.moving += is_moving
        self.elements[0] += size if is_moving else 0
        self.elements[1] += size

    def place(self, start: int) -> int:
        """Settle where it is packed, from byte ``start`` on; returns where it ends."""
        before, after = (n * self.dtype.itemsize for n in self.elements)
        middle = start + _aligned(before)
        self.places = ((start, start + before), (middle, middle + after))
        return middle + _aligned(after)

    def unpack(
        self, packed: Bytes, is_after: bool
    ) -> Iterator[tuple[str, int, npt.NDArray[Any]]]:
        """Kind, layer and values of each entry, in 32 bits or more."""
        flat, stop = _decode(packed[slice(*self.places[is_after])], self.dtype), 0
        for kind, at, size in self.entries[: None if is_after else self.moving]:
            start, stop = stop, stop + size
            yield kind, at, flat[start:stop]


class Layout:
    """The groups of each device.

    What a step moves is packed before it and after it, all else only after it.

    Attributes:
        groups: by device.
        nbytes: of the buffer that each device packs into.
        mean_dtypes: of each layer's running mean.
        unread: layers whose counts of updates are left out.
        seen: the tensors, group by group.
        views: their bytes on the host, ``None`` for those on a device. They are kept,
            since making them costs more than copying what they show.
    """

    def __init__(self, layers: Sequence[BatchNormLayer], counted: set[int]) -> None:
        self.unread = set(range(len(layers))) - counted
        self.mean_dtypes = [torch.float32] * len(layers)
        groups: dict[tuple[torch.device, torch.dtype], Group] = {}
        for kind in TENSORS:
            for at, layer in enumerate(layers):
                tensor = layer.tensor(kind)
                is_unread = kind == "num_batches_tracked" and at in self.unread
                if tensor is None or is_unread:
                    continue
                key = (tensor.device, tensor.dtype)
                group = groups.setdefault(key, Group(tensor.dtype))
                group.add(kind, at, layer, tensor.numel())
                if kind == "running_mean":
                    self.mean_dtypes[at] = tensor.dtype
        self.groups: dict[torch.device, list[Group]] = {}
        self.nbytes: dict[torch.device, int] = {}
        for (device, _), group in groups.items():
            self.groups.setdefault(device, []).append(group)
            self.nbytes[device] = group.place(self.nbytes.get(device, 0))
        everything = [group for each in self.groups.values() for group in each]
        self._sources = [source for group in everything for source in group.sources]
        self.seen: list[torch.Tensor] = []
        self.views: list[memoryview | None] = []
        self._checked: tuple[list[torch.Tensor], list[torch.Tensor], list[int]]
        self._see(self._found())

    def look(self) -> bool:
        """Look at what is there now; whether the layout still fits."""
        found = self._found()
        if not all(map(_are_alike, found, self.seen)):
            return False
        self._see(found)
        return True

    def is_current(self) -> bool:
        """Whether each tensor is the one that was looked at, with the same data.

        Another one may have taken its place, and one that stays may have got other
        data, as by ``vector_to_parameters``.
        """
        seen, viewed, pointers = self._checked
        same = all(map(operator.is_, self._found(), seen))
        return same and list(map(torch.Tensor.data_ptr, viewed)) == pointers

    def _found(self) -> list[torch.Tensor | None]:
        return [home.get(kind) for home, kind in self._sources]

    def _see(self, found: list[torch.Tensor | None]) -> None:
        self.seen = [tensor for tensor in found if tensor is not None]
        self.views = [_view(tensor) for tensor in self.seen]
        both = zip(self.seen, self.views, strict=True)
        viewed = [tensor for tensor, view in both if view is not None]
        pointers = list(map(torch.Tensor.data_ptr, viewed))
        # At once, since another thread may be checking.
        self._checked = self.seen, viewed, pointers


def turns(layers: Sequence[BatchNormLayer]) -> list[set[int]]:
    """Which layers' counts of updates are read, time after time.

    All of them, but on a GPU at most `MOST_COUNTS`: a model with more has its layers
    read by turns, so that they cost no more than one launch. The plain average over
    all batches cannot do without its count, so that is read each time.
    """
    everyone = set(range(len(layers)))
    means = [layer.tensor("running_mean") for layer in layers]
    on_host = all(mean is None or mean.device.type == "cpu" for mean in means)
    if on_host or len(layers) <= MOST_COUNTS:
        return [everyone]
    always = {i for i, layer in enumerate(layers) if layer.momentum is None}
    others = sorted(everyone - always)
    room = max(MOST_COUNTS - len(always), 1)
    starts = range(0, max(len(others), 1), room)
    return [always | set(others[start : start + room]) for start in starts]


def _view(tensor: torch.Tensor) -> memoryview | None:
    if tensor.device.type != "cpu":
        return None
    plain = tensor.detach()
    if plain.dtype == torch.bfloat16:  # numpy has no such type
        plain = plain.view(torch.int16)
    return plain.numpy().reshape(-1).data


def _decode(packed: Bytes, dtype: torch.dtype) -> npt.NDArray[Any]:
    """The numbers in the bytes; of 16-bit ones, their values in 32 bits."""
    if dtype == torch.bfloat16:  # the upper half of a float32
        return (packed.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    values = packed.view(str(dtype).removeprefix("torch."))
    return values.astype(np.float32) if dtype == torch.float16 else values


def _aligned(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


def _are_alike(one: torch.Tensor | None, other: torch.Tensor) -> bool:
    if one is None:
        return False
    return (
        one.shape == other.shape
        and one.dtype == other.dtype
        and one.device == other.device
        and not hasattr(one, "to_local")
    )
