"""Which function does `MODULE:OBJECTIVE` name, and how is it called?"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable

from paperstart.errors import ObjectiveError

Objective = Callable[..., float]
"""Called with a trial, or with a trial and ``recipe``; gives the value."""


def load_objective(name: str) -> Objective:
    """The objective that ``MODULE:OBJECTIVE`` names, looked up from here.

    Raises:
        ObjectiveError: there is no such module or function.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ObjectiveError(f"{name!r} names no objective; write MODULE:OBJECTIVE.")
    if module_name.endswith(".py"):
        right = module_name.removesuffix(".py").replace("/", ".")
        raise ObjectiveError(f"{module_name!r} is a file; write {right}:{attribute}.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name.partition(".")[0] and error.name != module_name:
            raise  # the module is there, and what it imports is not
        raise ObjectiveError(
            f"No module is named {module_name!r}, looked up from {os.getcwd()}. "
            f"Run the command where the module lies, or install it."
        ) from None
    found = getattr(module, attribute, None)
    if not callable(found):
        names = [n for n, v in vars(module).items() if inspect.isfunction(v)]
        raise ObjectiveError(
            f"The module {module_name!r} has no function {attribute!r}. "
            f"It has: {', '.join(names) or 'none'}."
        )
    objective: Objective = found
    return objective


def takes_recipe(objective: Objective) -> bool:
    """Whether the objective has a place for the recipe beside the trial."""
    try:
        return "recipe" in inspect.signature(objective).parameters
    except (TypeError, ValueError):  # a builtin or a C function has none to read
        return False
