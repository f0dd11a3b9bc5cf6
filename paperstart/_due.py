"""Is this batch one of those that are recorded?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

_USUAL_STEPS = 50  # Lightning's own default, for a trainer that logs no step at all


def is_due(trainer: Trainer, batch_idx: int, batches: int, every: int | None) -> bool:
    """Whether a batch ends an interval of optimizer steps.

    Of a step's micro-batches it is the last one. An epoch shorter than the interval has
    its middle batch recorded.

    Args:
        trainer: the trainer.
        batch_idx: the batch's number in its epoch.
        batches: batches of this fit before it.
        every: the interval in optimizer steps; the trainer's own if ``None``.
    """
    usual: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    per_step: int = trainer.accumulate_grad_batches
    interval = (every or usual or _USUAL_STEPS) * per_step
    in_epoch = trainer.num_training_batches
    if trainer.max_steps > 0:
        in_epoch = min(in_epoch, trainer.max_steps * per_step)
    if in_epoch < interval:  # once, and not on its last, smaller batch
        return batch_idx == (int(in_epoch) - 1) // 2
    return (batches + 1) % interval == 0
