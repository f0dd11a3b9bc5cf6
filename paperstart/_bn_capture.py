"""How do the layers' tensors get to the host while nobody waits?

On a CPU they are copied at once. A GPU packs what its layers hold into one buffer, by
one ``cat`` for each dtype, and a side stream copies that into pinned memory; whoever
fetches the result waits for the copy, and the training step never does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch

from paperstart._bn_layers import BatchNormLayer
from paperstart._bn_layout import Bytes, Layout, turns
from paperstart._bn_slot import DeviceSlot, HostSlot, Side, Slot, side_of
from paperstart._bn_snapshot import (
    BatchNormSnapshot,
    Modes,
    Parts,
    from_parts,
    read_learning,
    read_modes,
    settings_of,
)

SLOTS = 4
"""Copies from one GPU that may be on their way at a time."""


class Pending:
    """One step's copies, on their way."""

    def __init__(
        self,
        layers: list[BatchNormLayer],
        learning: list[bool | None],
        layout: Layout,
        slots: Mapping[torch.device, Slot],
        release: Callable[[Mapping[torch.device, Slot]], None],
        distrust: Callable[[], None] | None,
    ) -> None:
        self.layers = layers
        self._modes: list[Modes] = read_modes(layers)
        self._learning = learning
        self._layout = layout
        self._slots = slots
        self._release = release
        self._distrust = distrust

    def fetch(self) -> tuple[BatchNormSnapshot, BatchNormSnapshot] | None:
        """Wait for the copies: what was before the step, and what was after it.

        To be called once, from any thread. ``None`` if the tensors that were copied
        are not the layers' own any more, which nobody has looked at yet.
        """
        hosts = {device: slot.wait() for device, slot in self._slots.items()}
        self._release(self._slots)
        if self._distrust is not None and not self._layout.is_current():
            self._distrust()
            return None
        return self._snapshot(hosts, False), self._snapshot(hosts, True)

    def _snapshot(
        self, hosts: Mapping[torch.device, Bytes], is_after: bool
    ) -> BatchNormSnapshot:
        parts: Parts = {}
        for device, packed in hosts.items():
            for group in self._layout.groups[device]:
                for kind, at, values in group.unpack(packed, is_after):
                    parts.setdefault(kind, {})[at] = values
        settings = settings_of(self._modes, self._learning, self._layout.mean_dtypes)
        snapshot = from_parts(self.layers, parts, settings)
        if not self._layout.unread:
            return snapshot
        unread = np.isin(np.arange(len(self.layers)), sorted(self._layout.unread))
        return replace(snapshot, batches=np.where(unread, -1, snapshot.batches))


class Capture:
    """Copies what some layers hold before a step and after it.

    To look whether each tensor is still the layer's own takes as long as to copy it. So
    it relies on that, and `Pending.fetch` finds out whether it was right. Once it was
    not, as after a cast or with a layer whose forward replaces its buffers, it looks
    before it copies.

    Args:
        layers: the layers.
        side: where a device's copies to the host run.
    """

    def __init__(
        self,
        layers: list[BatchNormLayer],
        side: Callable[[torch.device], Side] = side_of,
    ) -> None:
        self.layers = layers
        self._learning = read_learning(layers)
        self._new_side = side
        self._sides: dict[torch.device, Side] = {}
        self._turns = turns(layers)
        self._turn = 0
        self._layouts: dict[int, Layout] = {}
        self._free: dict[torch.device, deque[Slot]] = {}
        self._made: dict[torch.device, int] = {}
        self._is_careful = False
        self._armed: tuple[Layout, dict[torch.device, Slot]] | None = None

    def look(self) -> None:
        """See which tensors there are, and which of them learn."""
        self.disarm()
        self._learning = read_learning(self.layers)
        fitting = {turn: each for turn, each in self._layouts.items() if each.look()}
        self._layouts = fitting

    @property
    def is_armed(self) -> bool:
        """Whether the start of a step was copied, and its end was not."""
        return self._armed is not None

    def before(self) -> bool:
        """Copy what the step will move; whether there was room for it."""
        self.disarm()
        turn = self._turn % len(self._turns)
        layout = self._layouts.get(turn)
        if layout is None or (self._is_careful and not layout.look()):
            layout = self._layouts[turn] = Layout(self.layers, self._turns[turn])
        slots = self._take_slots(layout)
        if slots is None:
            return False
        self._turn += 1
        self._armed = layout, slots
        _pack(layout, slots, is_after=False)
        return True

    def after(self) -> Pending | None:
        """Copy what the step has left; ``None`` if its start was not copied."""
        if self._armed is None:
            return None
        layout, slots = self._armed
        if self._is_careful and not layout.look():  # cast or moved within the step
            self.disarm()
            return None
        self._armed = None
        _pack(layout, slots, is_after=True)
        for slot in slots.values():
            slot.send()
        distrust = None if self._is_careful else self._be_careful
        return Pending(
            self.layers, self._learning, layout, slots, self._give_back, distrust
        )

    def disarm(self) -> None:
        """Forget a step that has begun."""
        if self._armed is not None:
            self._give_back(self._armed[1])
            self._armed = None

    def _be_careful(self) -> None:
        self._is_careful = True

    def _give_back(self, slots: Mapping[torch.device, Slot]) -> None:
        for device, slot in slots.items():
            if device.type != "cpu":
                self._free[device].append(slot)

    def _take_slots(self, layout: Layout) -> dict[torch.device, Slot] | None:
        taken: dict[torch.device, Slot] = {}
        for device, nbytes in layout.nbytes.items():
            if device.type == "cpu":
                taken[device] = HostSlot(nbytes)
                continue
            free = self._free.setdefault(device, deque())
            slot = free.popleft() if free else None
            if slot is None:
                made = self._made.get(device, 0)
                if made >= SLOTS:
                    self._give_back(taken)
                    return None
                self._made[device] = made + 1
            if slot is None or slot.nbytes < nbytes:
                slot = self._new_slot(device, nbytes)
            taken[device] = slot
        return taken

    def _new_slot(self, device: torch.device, nbytes: int) -> Slot:
        if device not in self._sides:
            self._sides[device] = self._new_side(device)
        return DeviceSlot(device, nbytes, self._sides[device])


def _pack(layout: Layout, slots: Mapping[torch.device, Slot], is_after: bool) -> None:
    tensors, views = layout.seen, layout.views
    stop = 0
    for device, slot in slots.items():
        for group in layout.groups[device]:
            start, stop = stop, stop + len(group.entries)
            used = slice(start, stop if is_after else start + group.moving)
            if used.start < used.stop:
                slot.pack(group, tensors[used], views[used], is_after)
