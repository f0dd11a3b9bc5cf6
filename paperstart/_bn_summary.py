"""What of one step does a tracker get?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from paperstart._bn_snapshot import Array
from paperstart._bn_statistics import BatchNormStatistics


def batchnorm_summary(statistics: BatchNormStatistics) -> dict[str, float]:
    """At most 14 numbers of one step for a tracker; what is not finite is left out.

    Fractions are over all channels of the model; ``_max`` is over its layers.
    """
    if not statistics.layers:
        return {}
    sizes = np.array(statistics.channels, float)

    def overall(name: str) -> float:
        return float(np.sum(statistics[name] * sizes) / np.sum(sizes))

    def highest(name: str) -> float:
        return _finite(np.max, statistics[name])

    values = {
        "train_eval_gap_max": highest("train_eval_gap"),
        "train_eval_gap_mean": _finite(np.mean, statistics["train_eval_gap"]),
        "mean_shift_rms_max": highest("mean_shift_rms"),
        "running_mean_lag_max": highest("running_mean_lag"),
        "effective_sample_size_min": _finite(
            np.min, statistics["effective_sample_size"]
        ),
        "dead_fraction": overall("dead_fraction"),
        "dead_fraction_max": highest("dead_fraction"),
        "near_zero_weight_fraction": overall("near_zero_weight_fraction"),
        "low_variance_fraction": overall("low_variance_fraction"),
        "running_var_min": _finite(np.min, statistics["running_var_min"]),
        "running_var_max": highest("running_var_max"),
        "weight_abs_mean": overall("weight_abs_mean"),
        "nonfinite_count": float(np.sum(statistics["nonfinite_count"])),
        "updates_per_step_max": highest("updates_per_step"),
    }
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _finite(reduce: Callable[[Any], Any], values: Array) -> float:
    """The reduction of what is finite in ``values``; NaN if nothing is."""
    kept: npt.NDArray[np.floating[Any]] = values[np.isfinite(values)]
    return float(reduce(kept)) if kept.size else float("nan")
