"""What are the params of a fit?"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Number
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from optuna.trial import BaseTrial

from paperstart._run_log import clean_key

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

OTHER_PREFIX = "paperstart/"
"""Before the name of a param that the user's own run has with another value."""


def params_of(
    trainer: Trainer, pl_module: LightningModule, point: BaseTrial | None
) -> dict[str, Any]:
    """What data module, module and trial were set to; the later ones win."""
    values: dict[str, Any] = {}
    for module in (getattr(trainer, "datamodule", None), pl_module):
        values |= _plain(getattr(module, "hparams", {}))
    return values | ({} if point is None else point.params)


def beside(
    values: Mapping[str, Any], known: Mapping[str, str], prefix: str
) -> dict[str, Any]:
    """Under names that leave the owner's params alone."""
    found = {}
    for name, value in values.items():
        key = clean_key(name)
        taken = key in known and known[key] != str(value)[: len(known[key]) or None]
        own = prefix or (OTHER_PREFIX if taken else "")
        ours = name.startswith(("published/", "ratio/"))
        found[name if ours else f"{own}{name}"] = value
    return found


def _plain(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """What of ``values`` can be a param: numbers, text, lists of them; nested too."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if str(name).startswith("_"):  # LightningCLI keeps notes of its own there
            continue
        if isinstance(value, Mapping):
            plain |= _plain(value, f"{prefix}{name}/")
        elif _is_plain(value) or (
            isinstance(value, (list, tuple)) and all(map(_is_plain, value))
        ):
            plain[f"{prefix}{name}"] = value
    return plain


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, (Number, str, PurePath))
