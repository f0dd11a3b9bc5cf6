"""Start a hyperparameter search from what the paper published.

A catalog of published hyperparameters, an Optuna sampler that starts from them, and a
Lightning callback that shows every run in MLflow with its batch-norm statistics.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paperstart._rounds import Round, rounds
    from paperstart.batchnorm import (
        batchnorm_alarms,
        batchnorm_statistics,
        find_batchnorm_layers,
        recompute_bn_stats,
        take_snapshot,
    )
    from paperstart.batchnorm_monitor import BatchNormMonitor
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
    "BatchNormMonitor",
    "PaperStartCallback",
    "PaperStartPruner",
    "PaperStartSampler",
    "PaperstartError",
    "Recipe",
    "RecipeFormatError",
    "RecipeNotFoundError",
    "Round",
    "batchnorm_alarms",
    "batchnorm_statistics",
    "find_batchnorm_layers",
    "list_recipes",
    "load_recipe",
    "recompute_bn_stats",
    "rounds",
    "take_snapshot",
]
__version__ = "0.1.0"

# Fetched on first use: Optuna costs 0.3 s, Lightning and torch several seconds.
_LATE = {
    "BatchNormMonitor": "batchnorm_monitor",
    "PaperStartCallback": "callback",
    "PaperStartPruner": "pruner",
    "PaperStartSampler": "sampler",
    "PaperstartError": "errors",
    "Recipe": "recipe",
    "RecipeFormatError": "errors",
    "RecipeNotFoundError": "errors",
    "Round": "_rounds",
    "batchnorm_alarms": "batchnorm",
    "batchnorm_statistics": "batchnorm",
    "find_batchnorm_layers": "batchnorm",
    "list_recipes": "catalog",
    "load_recipe": "catalog",
    "recompute_bn_stats": "batchnorm",
    "rounds": "_rounds",
    "take_snapshot": "batchnorm",
}


def __getattr__(name: str) -> object:  # PEP 562
    if name not in _LATE:
        raise AttributeError(f"module 'paperstart' has no attribute {name!r}")
    value: object = getattr(import_module(f"paperstart.{_LATE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
