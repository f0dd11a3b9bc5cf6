"""What does a callback derive from, so that both Lightning packages take it?

``pytorch_lightning`` and ``lightning.pytorch`` are the same code twice, and have each a
class of this name. A class that inherits both works in both Trainers.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytorch_lightning import Callback
else:

    def _base() -> type:
        """One class out of those that are installed."""
        bases = []
        for package in ("pytorch_lightning", "lightning.pytorch"):
            if importlib.util.find_spec(package.partition(".")[0]) is not None:
                bases.append(importlib.import_module(package).Callback)
        return type("Callback", tuple(bases), {})

    Callback = _base()

__all__ = ["Callback"]
