"""On which scale does a hyperparameter live, and how far around it does one look?

The scale of each canonical name follows the usual advice for random search (Bergstra &
Bengio 2012, section 4; Goodfellow et al. 2016, section 11.4): multiplicative
quantities on a log scale, averages that forget at rate 1 - beta on the log of 1 - beta,
fractions and depths on a linear one. The widths are our own choice: wide enough that a
coarse round meets the values that papers of the same kind published, stated here once
and changeable by the recipe (``low``, ``high``) and by the user (``ranges=``).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Literal

Scale = Literal["log", "log1m", "linear", "categorical", "fixed"]
"""``log1m`` is the log of 1 - x; ``fixed`` is published but never searched."""

NUMERIC_SCALES = ("log", "log1m", "linear")
SCALES = (*NUMERIC_SCALES, "categorical", "fixed")
_LARGEST = sys.float_info.max


@dataclass(frozen=True)
class Canonical:
    """What is known of a canonical name before any recipe is read.

    Attributes:
        scale: the natural scale.
        low: lower end where nothing is published; ``None``: not searched then.
        high: upper end where nothing is published.
        down: how far below the published value one looks, as a factor (of the value,
            or of 1 - value for ``log1m``).
        up: how far above, likewise.
        whole: whether only whole numbers make sense.
        least: smallest value that means anything.
        most: largest value that means anything.
    """

    scale: Scale
    low: float | None = None
    high: float | None = None
    down: float = 10.0
    up: float = 10.0
    whole: bool = False
    least: float = 0.0
    most: float = math.inf


CANONICAL: dict[str, Canonical] = {
    "optimizer": Canonical("categorical"),
    "nesterov": Canonical("categorical"),
    "lr_schedule": Canonical("categorical"),
    # A rate that works elsewhere is more often too high than too low for small data.
    "learning_rate": Canonical("log", 1e-5, 1.0, down=100.0, up=10.0),
    "learning_rate_base": Canonical("fixed"),
    "momentum": Canonical("log1m", 0.5, 0.999, down=5.0, most=1.0),
    "beta1": Canonical("log1m", 0.5, 0.99, down=5.0, up=5.0, most=1.0),
    # Published for Adam: 0.9 (GANs) over 0.95 and 0.98 (transformers) to 0.999.
    "beta2": Canonical("log1m", 0.9, 0.9999, down=50.0, most=1.0),
    "ema_decay": Canonical("log1m", 0.9, 0.99999, down=100.0, most=1.0),
    "epsilon": Canonical("log", 1e-10, 1e-3, down=100.0, up=100.0),
    "weight_decay": Canonical("log", 1e-6, 0.1, down=100.0, up=10.0),
    "batch_size": Canonical("log", 8, 1024, down=8.0, up=4.0, whole=True, least=1),
    "batch_tokens": Canonical("log", down=4.0, up=4.0, whole=True, least=1),
    # What one training may spend: known only from a recipe, and searched narrowly.
    "epochs": Canonical("log", down=2.0, up=2.0),
    "steps": Canonical("log", down=2.0, up=2.0, whole=True, least=1),
    "lr_decay_factor": Canonical("log", 0.01, 0.5, down=5.0, up=5.0, most=1.0),
    "lr_decay_epochs": Canonical("log", down=2.0, up=2.0),
    "lr_decay_steps": Canonical("log", down=2.0, up=2.0),
    "warmup_epochs": Canonical("linear"),
    "warmup_steps": Canonical("log", down=10.0, up=4.0),
    "dropout": Canonical("linear", 0.0, 0.7, most=1.0),
    "drop_path": Canonical("linear", 0.0, 0.5, most=1.0),
    "label_smoothing": Canonical("linear", 0.0, 0.3, most=1.0),
    "mixup_alpha": Canonical("linear", 0.0, 1.0),
    "cutmix_alpha": Canonical("linear", 0.0, 1.0),
    "grad_clip_norm": Canonical("log", 0.1, 10.0),
    "hidden_layers": Canonical("linear", whole=True, least=1),
    "hidden_units": Canonical("log", down=4.0, up=4.0, whole=True, least=1),
    "attention_heads": Canonical("log", down=2.0, up=2.0, whole=True, least=1),
    "bn_momentum": Canonical("log", 0.001, 0.5, down=100.0, up=5.0, most=1.0),
    "bn_epsilon": Canonical("log", 1e-6, 1e-2, down=100.0, up=100.0),
    "image_size": Canonical("log", down=2.0, up=2.0, whole=True, least=1),
    "sequence_length": Canonical("log", down=2.0, up=2.0, whole=True, least=1),
}
"""The canonical hyperparameters, in the order in which people read them."""


def canonical(name: str, scale: Scale | None = None) -> Canonical:
    """What is known of ``name``; of another than a canonical one, only ``scale``."""
    known = CANONICAL.get(name)
    if known is not None and scale in (None, known.scale):
        return known
    scale = scale or "linear"
    # A logarithm has no negative numbers: neither of x, nor of 1 - x.
    least = 0.0 if scale == "log" else -math.inf
    most = 1.0 if scale == "log1m" else math.inf
    if known is None:
        return Canonical(scale, least=least, most=most)
    return Canonical(
        scale,
        known.low,
        known.high,
        whole=known.whole,
        least=max(least, known.least),
        most=min(most, known.most),
    )


def default_range(
    name: str, value: float | None, scale: Scale | None = None
) -> tuple[float, float] | None:
    """The range that a coarse round covers, ``value`` inside it.

    Args:
        name: the hyperparameter's name.
        value: what was published, or ``None`` if it was not.
        scale: the scale, where it is not that of the canonical name.

    Returns:
        ``(low, high)``, whole numbers where the value is one, or ``None`` where
        nothing published leaves nothing to go by.
    """
    known = canonical(name, scale)
    if value is None:
        if known.low is None or known.high is None:
            return None
        return known.low, known.high
    around = {"log": _around_log, "log1m": _around_one}.get(known.scale, _around_linear)
    ends = around(value, known)
    if ends is None:
        return None
    low, high = max(ends[0], known.least), min(ends[1], known.most)
    if isinstance(value, int):
        # Of what there is at least one of, a coarse round tries no zero.
        low = max(low, 1) if value >= 1 else low
        return math.floor(low), math.ceil(high)
    return low, high


def powers_of_two(low: float, high: float) -> list[int]:
    """The powers of two within ``low`` and ``high``, both included."""
    first = max(0, math.ceil(math.log2(max(low, 1))))
    return [2**k for k in range(first, 64) if low <= 2**k <= high]


def _round(value: float) -> float:
    """``value`` to six significant digits: 0.1 / 100 is 0.001, not 0.0010000000002."""
    return float(f"{value:.6g}")


def _around_log(value: float, known: Canonical) -> tuple[float, float] | None:
    if value <= 0:  # "none of it" was published, and a log scale has no zero
        return None if known.high is None else (0.0, known.high)
    return _round(value / known.down), min(_round(value * known.up), _LARGEST)


def _around_one(value: float, known: Canonical) -> tuple[float, float]:
    rest = 1.0 - value
    if rest <= 0:
        return known.low if known.low is not None else 0.9, 1.0
    low = 1.0 - min(_round(rest * known.down), 1.0)
    high = 1.0 - _round(rest / known.up)
    return min(round(low, 12), value), max(round(high, 12), value)


def _around_linear(value: float, known: Canonical) -> tuple[float, float]:
    if known.low is not None and known.high is not None:
        return min(known.low, value), max(known.high, value)
    if value == 0:
        return 0.0, 1.0
    low, high = sorted((value / 2, value * 2))
    return max(low, -_LARGEST), min(high, _LARGEST)


def ratio(value: object, published: object, scale: str) -> float | None:
    """How far ``value`` is from the published one, as a factor on its scale.

    On ``log1m`` it is the ratio of 1 - x: momentum 0.99 against 0.9 is 0.1, a memory
    ten times as long. ``None`` where a ratio says nothing: text, lists, a zero.
    """
    if not isinstance(value, (int, float)) or not isinstance(published, (int, float)):
        return None
    if isinstance(value, bool) or isinstance(published, bool):
        return None
    if scale == "log1m":
        value, published = 1.0 - value, 1.0 - published
    return value / published if published else None
