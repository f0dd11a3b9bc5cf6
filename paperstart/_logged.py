"""What has Lightning logged since the last look?

``trainer.logged_metrics`` keeps a value until a newer one takes its place, so it shows
an epoch's average all through the next epoch. Here only what is new is handed over, as
Lightning hands it to its loggers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from paperstart.tracking import metric_name

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

_STEP = re.compile(r"_step(?=$|/dataloader_idx_\d+$)")


class LoggedMetrics:
    """The metrics of one fit, by section: ``train/``, ``val/``, ``test/``."""

    def __init__(self) -> None:
        self._seen: dict[str, Any] = {}
        self._averages: set[str] = set()

    def look(self, trainer: Trainer) -> None:
        """Remember what is there now as old."""
        self._seen = dict(trainer.logged_metrics)

    def of_step(self, trainer: Trainer) -> dict[str, float]:
        """What the training step has logged."""
        return _numbers(_of_running_loop(trainer, on_step=True), "train")

    def of_epoch(self, trainer: Trainer) -> dict[str, float]:
        """The averages of the training epoch that ends.

        To be called on every rank: an average may be taken over all of them.
        """
        values = _of_running_loop(trainer, on_step=False)
        self._averages = set(values)
        self.look(trainer)
        return _numbers(values, "train")

    def after_epoch(self, trainer: Trainer) -> dict[str, float]:
        """What others, the module itself too, logged when the epoch had ended."""
        late = {
            name: value
            for name, value in self._unseen(trainer).items()
            if name not in self._averages
        }
        self.look(trainer)
        return _numbers(late, "train")

    def of_evaluation(self, trainer: Trainer, stage: str) -> dict[str, float]:
        """What was logged since `look` was called at the start of an evaluation."""
        new = self._unseen(trainer)
        # Of a value that is logged per batch and averaged, only the average counts.
        twins = {name: _STEP.sub("_epoch", name) for name in new}
        kept = {n: new[n] for n, twin in twins.items() if twin == n or twin not in new}
        return _numbers(kept, stage)

    def _unseen(self, trainer: Trainer) -> dict[str, Any]:
        # Lightning puts a new tensor in place of the old one, also for an equal value.
        return {
            name: value
            for name, value in trainer.logged_metrics.items()
            if value is not self._seen.get(name)
        }


def _of_running_loop(trainer: Trainer, on_step: bool) -> dict[str, Any]:
    """What goes to Lightning's loggers now; no public name has it without the old."""
    results = trainer._results
    if results is None:
        return {}
    return dict(results.metrics(on_step)["log"])


def _numbers(values: Mapping[str, Any], stage: str) -> dict[str, float]:
    """Values under their sections, fetched from each device in one transfer."""
    by_device: dict[torch.device, dict[str, torch.Tensor]] = {}
    for name, value in values.items():
        tensor = torch.as_tensor(value).detach().reshape(())
        by_device.setdefault(tensor.device, {})[metric_name(name, stage)] = tensor
    numbers: dict[str, float] = {}
    for tensors in by_device.values():
        stacked = torch.stack(list(tensors.values()))
        numbers |= zip(tensors, stacked.tolist(), strict=True)
    return numbers
