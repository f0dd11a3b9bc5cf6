"""What do the running statistics of batch-norm layers say? The functions, for any loop.

No Lightning, no MLflow, no hooks on the model: two snapshots of the running buffers,
one before and one after a step, give back the statistics of that step's batch. In a
`Trainer`, `BatchNormMonitor` does all of this.
"""

from __future__ import annotations

from paperstart._bn_alarms import BatchNormAlarm, alarms_markdown, batchnorm_alarms
from paperstart._bn_columns import COLUMNS
from paperstart._bn_layers import BatchNormLayer, find_batchnorm_layers
from paperstart._bn_recompute import recompute_bn_stats
from paperstart._bn_snapshot import Array, BatchNormSnapshot, take_snapshot
from paperstart._bn_statistics import (
    BatchNormStatistics,
    batch_mean_and_var,
    batchnorm_statistics,
)
from paperstart._bn_summary import batchnorm_summary

__all__ = [
    "COLUMNS",
    "Array",
    "BatchNormAlarm",
    "BatchNormLayer",
    "BatchNormSnapshot",
    "BatchNormStatistics",
    "alarms_markdown",
    "batch_mean_and_var",
    "batchnorm_alarms",
    "batchnorm_statistics",
    "batchnorm_summary",
    "find_batchnorm_layers",
    "recompute_bn_stats",
    "take_snapshot",
]
