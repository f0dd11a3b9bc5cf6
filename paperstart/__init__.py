"""Start a hyperparameter search from what the paper published.

A catalog of published hyperparameters, an Optuna sampler that starts from them, and a
Lightning callback that shows every run in MLflow with its batch-norm statistics.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paperstart._rounds import Round, rounds
    from paperstart.callback import PaperStartCallback
    from paperstart.catalog import list_recipes, load_recipe
    from paperstart.errors import (
        PaperstartError,
        RecipeFormatError,
        RecipeNotFoundError,
    )
    from paperstart.pruner import PaperStartPruner
    from paperstart.recipe import Recipe
    from paperstart.sampler import PaperStartSampler

__all__ = [
    "PaperStartCallback",
    "PaperStartPruner",
    "PaperStartSampler",
    "PaperstartError",
    "Recipe",
    "RecipeFormatError",
    "RecipeNotFoundError",
    "Round",
    "list_recipes",
    "load_recipe",
    "rounds",
]
__version__ = "0.1.0"

# Fetched on first use: Optuna costs 0.3 s, Lightning and torch several seconds.
_LATE = {
    "PaperStartCallback": "callback",
    "PaperStartPruner": "pruner",
    "PaperStartSampler": "sampler",
    "PaperstartError": "errors",
    "Recipe": "recipe",
    "RecipeFormatError": "errors",
    "RecipeNotFoundError": "errors",
    "list_recipes": "catalog",
    "Round": "_rounds",
    "load_recipe": "catalog",
    "rounds": "_rounds",
}


def __getattr__(name: str) -> object:  # PEP 562
    if name not in _LATE:
        raise AttributeError(f"module 'paperstart' has no attribute {name!r}")
    value: object = getattr(import_module(f"paperstart.{_LATE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
