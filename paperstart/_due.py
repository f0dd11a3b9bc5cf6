"""Is this batch one of those that are recorded?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

_USUAL_STEPS = 50  # Lightning's own default, for a trainer that logs no step at all


@dataclass(frozen=True)
class Interval:
    """How often batches are recorded in one epoch.

    Attributes:
        batches: from one that is recorded to the next.
        in_epoch: batches of the epoch; infinite where its length is not known.
    """

    batches: int
    in_epoch: float

    def ends(self, batch_idx: int, done: int) -> bool:
        """Whether a batch ends an interval; a shorter epoch has its middle one.

        Args:
            batch_idx: the batch's number in its epoch.
            done: batches of this fit before it.
        """
        if self.in_epoch < self.batches:  # once, and not on its last, smaller batch
            return batch_idx == (int(self.in_epoch) - 1) // 2
        return (done + 1) % self.batches == 0


def interval_of(trainer: Trainer, every: int | None) -> Interval:
    """The interval of the epoch that a trainer is in.

    Args:
        trainer: the trainer. Of a step's micro-batches, the last one counts.
        every: optimizer steps; the trainer's own ``log_every_n_steps`` if ``None``.
    """
    usual: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    per_step: int = trainer.accumulate_grad_batches
    in_epoch = trainer.num_training_batches
    if trainer.max_steps > 0:
        in_epoch = min(in_epoch, trainer.max_steps * per_step)
    return Interval((every or usual or _USUAL_STEPS) * per_step, in_epoch)
