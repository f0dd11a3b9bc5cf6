"""What does each column of the layer x step table mean?"""

from __future__ import annotations

NEAR_ZERO_WEIGHT = 1e-2
DEAD_SIGMAS = 3.0
"""A channel is dead if ReLU passes less than what lies 3 sigma out: 0.13 %."""

COLUMNS: dict[str, str] = {
    "train_eval_gap": "scale; rms difference of train-mode and eval-mode output",
    "mean_shift_rms": "sigma; rms of (batch mean - running mean) / sigma",
    "var_log_ratio": "nat; mean |ln(batch var / running var)|",
    "running_mean_lag": "sigma; rms of the mean shift averaged over logged steps,"
    " without noise",
    "running_var_lag": "sigma; the same of (batch sigma / running sigma - 1)",
    "effective_sample_size": "samples; independent samples per channel and batch",
    "dead_fraction": "fraction of channels with shift + 3 |scale| < 0",
    "near_zero_weight_fraction": "fraction of channels with |scale| < 0.01",
    "low_variance_fraction": "fraction of channels with running var < eps",
    "nonfinite_count": "count; channels with a value that is not finite",
    "updates_per_step": "count; updates of the running statistics in this step",
    "num_batches_tracked": "count; updates of the running statistics so far",
    "running_mean_abs_mean": "activation; mean over channels of |running mean|",
    "running_mean_abs_max": "activation; largest |running mean|",
    "running_var_min": "activation^2; smallest running var",
    "running_var_gmean": "activation^2; geometric mean of the running vars",
    "running_var_max": "activation^2; largest running var",
    "weight_abs_mean": "1; mean |scale|",
    "weight_abs_min": "1; smallest |scale|",
    "weight_abs_max": "1; largest |scale|",
    "bias_mean": "activation; mean shift",
    "momentum": "1; weight of the new batch, NaN for the plain average",
    "rounding": "fraction; unit roundoff of the running mean's dtype",
    "is_training": "0 or 1; in training mode",
    "is_tracking": "0 or 1; the running statistics follow the batches",
    "is_zero_init": "0 or 1; all scales were zero when the layer was found",
    "is_learning": "0 or 1; scale or shift learns, NaN without either",
}
"""The columns of the layer x step table, with their units."""
