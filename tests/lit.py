"""The Lightning package that the tests run on.

``PAPERSTART_TEST_LIGHTNING`` names it (``pytorch_lightning`` or ``lightning.pytorch``)
where both are installed; else it is the one that is there.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from paperstart._lightning import lightning_packages

NAME = os.environ.get("PAPERSTART_TEST_LIGHTNING") or lightning_packages()[0]

if TYPE_CHECKING:
    from pytorch_lightning import (
        Callback,
        LightningDataModule,
        LightningModule,
        Trainer,
        loggers,
    )
    from pytorch_lightning.callbacks import EarlyStopping
    from pytorch_lightning.tuner import Tuner
else:
    _package = importlib.import_module(NAME)
    Callback = _package.Callback
    LightningDataModule = _package.LightningDataModule
    LightningModule = _package.LightningModule
    Trainer = _package.Trainer
    loggers = importlib.import_module(f"{NAME}.loggers")
    EarlyStopping = importlib.import_module(f"{NAME}.callbacks").EarlyStopping
    Tuner = importlib.import_module(f"{NAME}.tuner").Tuner

CSVLogger = loggers.CSVLogger

__all__ = [
    "NAME",
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "LightningDataModule",
    "LightningModule",
    "Trainer",
    "Tuner",
    "loggers",
]
