"""Which of Lightning's two packages is there, and what do callbacks derive from?

``pytorch_lightning`` and ``lightning.pytorch`` are two copies of one library. Where
both are installed, the first one is taken, unless the program has loaded the second.
Each has a class `Callback`; a class that inherits both works in both Trainers.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["PACKAGES", "Callback", "lightning", "lightning_packages"]

PACKAGES = ("pytorch_lightning", "lightning.pytorch")


def lightning_packages() -> list[str]:
    """The installed ones, by the name that one imports."""
    return [
        name
        for name in PACKAGES
        if importlib.util.find_spec(name.partition(".")[0]) is not None
    ]


def lightning() -> ModuleType:
    """The package that the program uses, else the first one that is installed."""
    installed = lightning_packages()
    loaded = [name for name in installed if name in sys.modules]
    return importlib.import_module((loaded or installed or list(PACKAGES))[0])


if TYPE_CHECKING:
    from pytorch_lightning import Callback
else:
    _classes = (importlib.import_module(name).Callback for name in lightning_packages())
    Callback = type("Callback", tuple(_classes), {})
