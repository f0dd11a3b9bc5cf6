"""What of one step does a tracker get?"""

from __future__ import annotations

import numpy as np

from paperstart._bn_statistics import BatchNormStatistics, finite


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
        return finite(np.max, statistics[name])

    values = {
        "train_eval_gap_max": highest("train_eval_gap"),
        "train_eval_gap_mean": finite(np.mean, statistics["train_eval_gap"]),
        "mean_shift_rms_max": highest("mean_shift_rms"),
        "running_mean_lag_max": highest("running_mean_lag"),
        "effective_sample_size_min": finite(
            np.min, statistics["effective_sample_size"]
        ),
        "dead_fraction": overall("dead_fraction"),
        "dead_fraction_max": highest("dead_fraction"),
        "near_zero_weight_fraction": overall("near_zero_weight_fraction"),
        "low_variance_fraction": overall("low_variance_fraction"),
        "running_var_min": finite(np.min, statistics["running_var_min"]),
        "running_var_max": highest("running_var_max"),
        "weight_abs_mean": overall("weight_abs_mean"),
        "nonfinite_count": float(np.sum(statistics["nonfinite_count"])),
        "updates_per_step_max": highest("updates_per_step"),
    }
    return {name: value for name, value in values.items() if np.isfinite(value)}
