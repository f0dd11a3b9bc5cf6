"""How much longer is my training than the published one?

Plain arithmetic on epochs, steps, batch size and the number of training examples, as
far as a recipe states them.
"""

from __future__ import annotations

from typing import Any, Protocol

from paperstart._fields import is_number, quoted
from paperstart.errors import AdaptError

_MOST = 10**12  # our own: no training is longer, and no arithmetic overflows


class Examples(Protocol):
    """What this file asks of the size of a training set."""

    @property
    def value(self) -> int: ...


class Published(Protocol):
    """What this file asks of a recipe."""

    @property
    def id(self) -> str: ...
    @property
    def published(self) -> dict[str, Any]: ...
    @property
    def hyperparameters(self) -> Any: ...
    @property
    def training_examples(self) -> Examples | None: ...


def refuse_nonsense(asked: dict[str, Any]) -> None:
    """Refuse what no training can have.

    Raises:
        AdaptError: nothing is asked for, two lengths are, or a number makes no sense.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    if not given:
        raise AdaptError("Found nothing to adapt to; give batch_size, epochs or steps.")
    if "epochs" in given and "steps" in given:
        raise AdaptError(
            f"Found epochs={quoted(given['epochs'])} and steps="
            f"{quoted(given['steps'])}, two lengths of one training; give one of them."
        )
    for name, value in given.items():
        whole = name != "epochs"
        if (
            not is_number(value)
            or not 1 <= value <= _MOST
            or (whole and not isinstance(value, int))
        ):
            raise AdaptError(
                f"{name} is {quoted(value)}; give a {'whole ' if whole else ''}number "
                f"from 1 to {_MOST:,}."
            )


def batch_ratio(recipe: Published, batch_size: int | None) -> float:
    """k: the new batch size over the published one.

    Raises:
        AdaptError: a batch size is asked for, and none is published.
    """
    if batch_size is None:
        return 1.0
    return batch_size / _batch(recipe, f"batch_size={batch_size}")


def growth(
    recipe: Published, k: float, epochs: float | None, steps: int | None
) -> float:
    """Examples seen by my training, over those of the published one.

    Raises:
        AdaptError: the recipe does not say how long it trains, or not in that unit.
    """
    if epochs is None and steps is None:
        return 1.0
    known = recipe.published
    own_epochs, own_steps = _count(known.get("epochs")), _count(known.get("steps"))
    asked = f"epochs={epochs}" if steps is None else f"steps={steps}"
    if own_epochs is None and own_steps is None:
        raise AdaptError(
            f"{recipe.id} publishes neither epochs nor steps, so {asked} cannot be "
            f"compared with its length. Leave it out, and give batch_size= alone."
        )
    if epochs is not None:
        if own_epochs is None:
            seen = own_steps * _batch(recipe, asked)
            own_epochs = seen / _examples(recipe, asked, "steps")
        return epochs / float(own_epochs)
    assert steps is not None  # one of the two was asked for
    if own_steps is None:
        seen = own_epochs * _examples(recipe, asked, "epochs")
        own_steps = seen / _batch(recipe, asked)
    return steps / float(own_steps) * k


def _count(value: Any) -> Any:
    return value if is_number(value) and value > 0 else None


def _batch(recipe: Published, asked: str) -> int:
    found: Any = recipe.published.get("batch_size")
    if is_number(found):
        return int(found)
    near = [name for name in recipe.published if "batch" in name]
    said = f"it has {', '.join(near)}" if near else "nor anything like it"
    if found is not None:
        said = f"but {quoted(found)}"
    raise AdaptError(
        f"{asked} needs the published batch_size, and {recipe.id} has no such number "
        f"({said}). Add batch_size to a recipe file of your own."
    )


def _examples(recipe: Published, asked: str, unit: str) -> int:
    if recipe.training_examples is not None:
        return recipe.training_examples.value
    other = "epochs" if unit == "steps" else "steps"
    raise AdaptError(
        f"{asked} needs the number of training examples: {recipe.id} publishes its "
        f"length in {unit}, and no training_examples. Give {unit}= instead of "
        f"{other}=, or add training_examples to a recipe file of your own."
    )
