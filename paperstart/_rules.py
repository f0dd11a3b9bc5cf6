"""Which published rules move a value to another batch size or length?

Each rule below was read in the source that it names, and does what that says. ``k`` is
the new batch size over the published one, as in the papers (``kappa`` in the second).
Not here, since their exact form was not read: the smoothing and epsilon of RMSprop in
Malladi et al. 2022, and the momentum of a model's average in Busbridge et al. 2023
(arXiv 2307.13813). `REMARKS` says so where a recipe has them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

_GOYAL = "Goyal et al. 2017, arXiv 1706.02677"
_GOYAL_URL = "https://arxiv.org/abs/1706.02677"
_MALLADI = "Malladi et al. 2022, arXiv 2205.10287"
_MALLADI_POST = (
    "https://github.com/sadhikamalladi/sadhikamalladi.github.io/blob/"
    "d385738f21329c6547bd928b236f8001e94b348f/"
    "blog/2024/01/22/SDEs-ScalingRules/index.html"
)
WARMUP_EPOCHS = 5  # Goyal et al. 2017, section 2.2
LARGEST_LINEAR = 8192  # section 2.1: results are stable up to about 8k on ImageNet


@dataclass(frozen=True)
class Rule:
    """What changes a value, and where that was published.

    Attributes:
        name: what is done to the value.
        source: the paper, ``our arithmetic`` for what follows from the definitions, or
            ``the caller``.
        where: the section, or the line that was read; ``None`` for our arithmetic.
        url: the paper's, or that of the file that was read.
    """

    name: str
    source: str = "our arithmetic"
    where: str | None = None
    url: str | None = None


LINEAR = Rule("times k", _GOYAL, "section 2.1, linear scaling rule", _GOYAL_URL)
WARMUP = Rule(
    "gradual warm-up from the published rate",
    _GOYAL,
    "section 2.2, gradual warmup",
    _GOYAL_URL,
)
_ADAM_WHERE = "square root scaling rule, in its first author's words (line 78)"
ROOT = Rule("times sqrt(k)", _MALLADI, _ADAM_WHERE, _MALLADI_POST)
BETA = Rule("1 - k (1 - beta)", _MALLADI, _ADAM_WHERE, _MALLADI_POST)
EPSILON = Rule("divided by sqrt(k)", _MALLADI, _ADAM_WHERE, _MALLADI_POST)
ROOT_RMSPROP = Rule(
    "times sqrt(k)", _MALLADI, "abstract", "https://arxiv.org/abs/2205.10287v3"
)
ROOT_LAMB = Rule(
    "times sqrt(k)",
    "You et al. 2020, arXiv 1904.00962",
    "as reported by the first author of arXiv 2205.10287 (line 100)",
    _MALLADI_POST,
)
ASKED = Rule("as asked", "the caller")
LENGTH = Rule("same share of the training")
SAME_EXAMPLES = Rule("same number of examples")
TOKENS = Rule("same tokens per sequence")
WITHIN = Rule("at most the batch")

Formula = Callable[[float, float], float]
"""The new value, of k and the published one."""


def _times(k: float, value: float) -> float:
    return value * k


def _root(k: float, value: float) -> float:
    return value * math.sqrt(k)


def _beta(k: float, value: float) -> float:
    return round(1.0 - k * (1.0 - value), 14)  # 0, not -2e-16


def _epsilon(k: float, value: float) -> float:
    return value / math.sqrt(k)


STEPS = ("steps", "iterations")
FRACTIONS = ("epochs",)
"""What may end between two: 26.7 epochs."""
RATE = "rate"
"""Stands for every name that `is_rate`: they keep their ratios to each other."""
_ADAM: dict[str, tuple[Rule, Formula]] = {
    RATE: (ROOT, _root),
    "beta1": (BETA, _beta),
    "beta2": (BETA, _beta),
    "epsilon": (EPSILON, _epsilon),
}
BY_OPTIMIZER: dict[str, dict[str, tuple[Rule, Formula]]] = {
    "sgd": {RATE: (LINEAR, _times)},
    "adam": _ADAM,
    "adamw": _ADAM,
    "rmsprop": {RATE: (ROOT_RMSPROP, _root)},
    "lamb": {RATE: (ROOT_LAMB, _root)},
}
REMARKS: dict[str, str] = {
    "adamw": (
        "The square root rule is stated for Adam; for AdamW it is the same rule, and "
        "says nothing of the decoupled weight decay, which stays as published."
    ),
    "rmsprop": (
        "Of the square root rule for RMSprop only the rate's part was read; the "
        "smoothing constant, the momentum and epsilon stay as published."
    ),
    "lamb": (
        "For LAMB only the learning rate has a rule that was read; beta1, beta2 and "
        "epsilon stay as published."
    ),
    "ema_decay": (
        "ema_decay stays as published: Busbridge et al. 2023 (arXiv 2307.13813) has a "
        "rule for it, whose exact form was not read in the paper."
    ),
}

_IS_RATE = re.compile(r"(?!finetune)(\w+_)?learning_rate(_values)?")
_PARTS = r"((lr|\w*warmup|training|cooldown|constant|decay)(_\w+)?_)?"
_IS_LENGTH = re.compile(_PARTS + r"(epochs|steps|iterations|tokens|images|examples)")


def is_rate(name: str) -> bool:
    """Whether it is a learning rate as used: a base rate before scaling is none."""
    return _IS_RATE.fullmatch(name) is not None


def length_unit(name: str) -> str | None:
    """What a name counts that grows with the training: ``epochs``, ``steps``, ...

    ``None`` for all other names: ``diffusion_steps`` are no part of a training, and
    ``batch_tokens`` no length of one.
    """
    found = _IS_LENGTH.fullmatch(name)
    return found.group(4) if found else None
