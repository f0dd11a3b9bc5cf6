"""What does the published point become at my batch size and epochs?

Published rules move the learning rate and what depends on the batch size; lengths keep
their share of the training. All else stays as published. Each change names its rule.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from operator import mul
from typing import Any, Generic, TypeVar

from paperstart import _rules as rules
from paperstart._fields import is_list, is_number
from paperstart._length import Published, batch_ratio, growth, refuse_nonsense
from paperstart._rules import Rule
from paperstart.errors import AdaptError

R = TypeVar("R", bound=Published)


@dataclass(frozen=True)
class Change:
    """One value that is not as published any more.

    Attributes:
        name: the hyperparameter's.
        published: its published value; ``None`` for what a rule adds.
        adapted: its value now; a list is a tuple here.
        rule: what was done, and where that was published.
    """

    name: str
    published: Any
    adapted: Any
    rule: Rule


@dataclass(frozen=True)
class Adapted(Generic[R]):
    """A recipe's published point, moved to another batch size or length.

    Attributes:
        recipe: the recipe, as published.
        changes: what is not as published any more, each with its rule.
        remarks: what a reader should know of what the rules did not do.
    """

    recipe: R
    changes: tuple[Change, ...]
    remarks: tuple[str, ...] = ()

    @property
    def published(self) -> dict[str, Any]:
        """The moved point: every published name, then what the rules add."""
        moved = {change.name: _plain(change.adapted) for change in self.changes}
        return {**self.recipe.published, **moved}

    @property
    def as_published(self) -> tuple[str, ...]:
        """The names that no rule changed."""
        changed = {change.name for change in self.changes}
        return tuple(name for name in self.recipe.published if name not in changed)

    @property
    def hyperparameters(self) -> Any:
        """The recipe's own: scales, ranges and sources of the published values."""
        return self.recipe.hyperparameters

    def as_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "published": self.published,
            "changes": [dataclasses.asdict(change) for change in self.changes],
            "as_published": list(self.as_published),
            "remarks": list(self.remarks),
        }


def adapt(
    recipe: R,
    *,
    batch_size: int | None = None,
    epochs: float | None = None,
    steps: int | None = None,
) -> Adapted[R]:
    """The published point of ``recipe``, moved by published rules.

    Args:
        recipe: where to start.
        batch_size: global, as in the recipe; the published one if not given.
        epochs: length of the training; the published one if neither is given.
        steps: the same in steps, instead of epochs.

    Raises:
        AdaptError: an argument makes no sense, the recipe does not say what a rule
            needs, or a rule would leave its range.
    """
    asked = {"batch_size": batch_size, "epochs": epochs, "steps": steps}
    refuse_nonsense(asked)
    point = recipe.published
    k = batch_ratio(recipe, batch_size)
    grown = growth(recipe, k, epochs, steps)
    found = [
        Change(name, point.get(name), _tidy(value), rules.ASKED)
        for name, value in asked.items()
        if value is not None
    ]
    if k != 1:
        found += _warmup(point, epochs, grown, k)
        found += [*_scaled(recipe.id, point, k), *_batches(point, k)]
    found += _lengths(point, grown, k)
    changes: dict[str, Change] = {}
    for change in found:  # the first to speak of a name has the last word
        changes.setdefault(change.name, change)
    return Adapted(
        recipe,
        tuple(c for c in changes.values() if _plain(c.adapted) != c.published),
        tuple(_remarks(point, k)),
    )


def _scaled(recipe_id: str, point: dict[str, Any], k: float) -> Iterator[Change]:
    """What the optimizer's rule does to rates, betas and epsilon."""
    known = rules.BY_OPTIMIZER.get(point.get("optimizer", ""), {})
    for name, value in point.items():
        key = rules.RATE if rules.is_rate(name) else name
        listed = key == rules.RATE and is_list(value)
        if key not in known or not (is_number(value) or listed):
            continue
        rule, formula = known[key]
        moved = _each(value, partial(formula, k))
        if rule is rules.BETA and not 0 <= moved < 1:
            largest = int(round(point["batch_size"] / (1 - value), 6))
            raise AdaptError(
                f"{name} of {recipe_id} would become {moved:g} (1 - k (1 - {value:g}) "
                f"with k = {k:g}; {rule.source}), and must be at least 0 and below 1. "
                f"Give a batch_size of at most {largest}, or start from a recipe with "
                f"a larger batch."
            )
        yield Change(name, value, moved, rule)


def _lengths(point: dict[str, Any], grown: float, k: float) -> Iterator[Change]:
    """Milestones, warm-up and the rest, at the same share of the training."""
    for name, value in point.items():
        unit = rules.length_unit(name)
        if unit is None or not (is_number(value) or is_list(value)):
            continue
        factor = grown / k if unit in rules.STEPS else grown
        rule = rules.SAME_EXAMPLES if grown == 1 else rules.LENGTH
        whole = unit not in rules.FRACTIONS and not isinstance(value, float)
        yield Change(name, value, _each(value, partial(mul, factor), whole), rule)


def _batches(point: dict[str, Any], k: float) -> Iterator[Change]:
    """What else counts a batch."""
    batch = round(point["batch_size"] * k)
    tokens, local = point.get("batch_tokens"), point.get("batch_size_per_device")
    if is_number(tokens):
        moved = _each(tokens, partial(mul, k), whole=True)
        yield Change("batch_tokens", tokens, moved, rules.TOKENS)
    if is_number(local) and local > batch:
        yield Change("batch_size_per_device", local, batch, rules.WITHIN)


def _warmup(
    point: dict[str, Any], length: float | None, grown: float, k: float
) -> Iterator[Change]:
    """A warm-up where the linear rule raises the rate, and the recipe has none."""
    rate = point.get("learning_rate")
    if k <= 1 or point.get("optimizer") != "sgd" or not is_number(rate):
        return
    if any("warmup" in name and value for name, value in point.items()):
        return
    if length is None and is_number(point.get("epochs")):
        length = point["epochs"] * grown
    epochs: float = rules.WARMUP_EPOCHS
    if length is not None:
        epochs = min(epochs, length / 2)  # our choice: at most half of it all
    for name, value in (
        ("warmup_epochs", _tidy(epochs)),
        ("warmup_learning_rate", rate),
    ):
        yield Change(name, point.get(name), value, rules.WARMUP)


def _remarks(point: dict[str, Any], k: float) -> Iterator[str]:
    """What the rules leave open at this batch size."""
    if k == 1:
        return
    optimizer = point.get("optimizer")
    if optimizer not in rules.BY_OPTIMIZER:
        said = "no optimizer" if optimizer is None else f"the optimizer {optimizer}"
        yield (
            f"The recipe has {said}, for which no published rule is known here: "
            f"learning rates stay as published."
        )
    for name in (optimizer, *point):
        if name in rules.REMARKS:
            yield rules.REMARKS[name]
    if optimizer == "sgd":
        yield from _linear_remarks(point, k)


def _linear_remarks(point: dict[str, Any], k: float) -> Iterator[str]:
    batch = round(point["batch_size"] * k)
    if batch > rules.LARGEST_LINEAR:
        yield (
            f"The linear rule holds up to batches of about {rules.LARGEST_LINEAR} on "
            f"ImageNet, and fails beyond some such size (Goyal et al. 2017, section "
            f"2.1); this one is {batch}."
        )
    own = [name for name, value in point.items() if "warmup" in name and value]
    if k > 1 and own:
        yield (
            f"The recipe's own warm-up ({', '.join(own)}) is kept; that of Goyal et "
            f"al. 2017 (section 2.2) is {rules.WARMUP_EPOCHS} epochs, from the "
            f"published rate."
        )


def _each(value: Any, change: Any, whole: bool = False) -> Any:
    """``change`` of a number, or of each number of a list."""
    if is_list(value):
        return tuple(_each(item, change, whole) for item in value)
    moved = change(value)
    if whole:  # a step is a step: none that was there is lost
        return max(round(moved), min(value, 1))
    return float(f"{moved:.14g}") if isinstance(value, float) else _tidy(moved)


def _tidy(value: float) -> float | int:
    """Without the last digits' noise: 0.3, not 0.30000000000000004; 30, not 30.0."""
    short = float(f"{value:.14g}")
    return int(short) if short == int(short) else short


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
