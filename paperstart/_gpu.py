"""How long does a fit hold how many GPUs, and what do they draw?

Energy comes from the GPU's own counter (NVML), or, where it has none, from its power
at each sample.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

_MJ_PER_KWH = 3.6e9
_J_PER_KWH = 3.6e6


class GpuMeter:
    """Counts the GPU-hours and the energy of one fit.

    Attributes:
        gpus: how many GPUs the fit holds, on all machines.
    """

    def __init__(
        self,
        gpus: int,
        handles: list[Any],
        nvml: Any,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gpus = gpus
        self._handles, self._nvml, self._clock = handles, nvml, clock
        self._began = self._seen = clock()
        self._counters = [self._counter(handle) for handle in handles]
        self._joules = [0.0 for _ in handles]

    @classmethod
    def of(cls, trainer: Trainer) -> GpuMeter:
        """The meter of a trainer's GPUs; of none, it counts nothing."""
        root = trainer.strategy.root_device
        if root.type != "cuda":
            return cls(0, [], None)
        local = trainer.num_devices
        return cls(local * trainer.num_nodes, *_handles(trainer.device_ids))

    def sample(self) -> None:
        """Add up the power of GPUs that have no counter."""
        now = self._clock()
        for k, handle in enumerate(self._handles):
            if self._counters[k] is None:
                self._joules[k] += self._watts(handle) * (now - self._seen)
        self._seen = now

    def metrics(self) -> dict[str, float]:
        """Until now; empty without a GPU."""
        if not self.gpus:
            return {}
        found = {"gpu_hours": self.gpu_hours()}
        energy = self.energy_kwh()
        return found if energy is None else {**found, "gpu_energy_kwh": energy}

    def cost(self) -> dict[str, Any]:
        """What the trial is told, in plain values."""
        hours, energy = self.gpu_hours(), self.energy_kwh()
        return {"gpus": self.gpus, "gpu_hours": hours, "energy_kwh": energy}

    def gpu_hours(self) -> float:
        """Hours since the start, times the GPUs."""
        return self.gpus * (self._clock() - self._began) / 3600

    def energy_kwh(self) -> float | None:
        """Of all GPUs, other machines' counted like this one's; ``None`` if unknown."""
        if not self._handles:
            return None
        self.sample()
        total = 0.0
        for k, handle in enumerate(self._handles):
            before, now = self._counters[k], self._counter(handle)
            if before is not None and now is not None:
                total += (now - before) / _MJ_PER_KWH
            else:
                total += self._joules[k] / _J_PER_KWH
        return total * self.gpus / len(self._handles)

    def _counter(self, handle: Any) -> float | None:
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        except self._nvml.NVMLError:  # before Volta, or a virtual GPU
            return None

    def _watts(self, handle: Any) -> float:
        try:
            return float(self._nvml.nvmlDeviceGetPowerUsage(handle)) / 1000
        except self._nvml.NVMLError:
            return 0.0


def _handles(indices: list[int]) -> tuple[list[Any], Any]:
    """NVML's handles of torch's devices; none where NVML cannot be asked."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # not installed, or no driver
        return [], None
    import torch

    found = []
    for index in indices:
        try:
            # By UUID: CUDA_VISIBLE_DEVICES makes torch count otherwise than NVML.
            uuid = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
            found.append(pynvml.nvmlDeviceGetHandleByUUID(uuid))
        except Exception:  # a slice of a GPU (MIG), or an older torch
            return [], None
    return found, pynvml
