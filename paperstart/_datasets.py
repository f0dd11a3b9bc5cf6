"""On which data does a fit train, as far as Lightning knows?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag

if TYPE_CHECKING:
    from pytorch_lightning import Trainer


def log_datasets(client: MlflowClient, run_id: str, trainer: Trainer) -> None:
    """Tell the run its training and validation data; nothing where there are none."""
    found = list(_inputs(trainer))
    if found:
        client.log_inputs(run_id, found)


def _inputs(trainer: Trainer) -> Iterator[DatasetInput]:
    for context, attribute in (
        ("training", "train_dataloader"),
        ("validation", "val_dataloaders"),
    ):
        for dataset in _datasets_of(getattr(trainer, attribute, None)):
            described = _described(dataset, trainer)
            yield DatasetInput(described, [InputTag("mlflow.data.context", context)])


def _datasets_of(loaders: Any) -> Iterator[Any]:
    """The datasets behind a loader, or behind several in a list or a mapping."""
    if isinstance(loaders, dict):
        loaders = list(loaders.values())
    if isinstance(loaders, (list, tuple)):
        for one in loaders:
            yield from _datasets_of(one)
        return
    dataset = getattr(loaders, "dataset", None)
    if dataset is not None:
        yield dataset


def _described(dataset: Any, trainer: Trainer) -> Dataset:
    """Its name, how many examples, and the data module; the digest is of these."""
    module = getattr(trainer, "datamodule", None)
    name = type(_innermost(dataset)).__name__
    if module is not None:
        name = f"{type(module).__name__}.{name}"
    examples = _length(dataset)
    profile = {} if examples is None else {"num_examples": examples}
    shapes = _shapes(dataset, examples)
    text = json.dumps([name, profile, shapes])
    return Dataset(
        name=name[:500],
        digest=hashlib.sha256(text.encode()).hexdigest()[:8],
        source_type="code",
        source=json.dumps({"tags": {"mlflow.source.name": type(dataset).__module__}}),
        schema=json.dumps({"shapes": shapes}) if shapes else None,
        profile=json.dumps(profile),
    )


def _innermost(dataset: Any) -> Any:
    """The dataset of which this is a part, as `random_split` makes them."""
    for _ in range(5):
        inner = getattr(dataset, "dataset", None)
        if inner is None:
            break
        dataset = inner
    return dataset


def _length(dataset: Any) -> int | None:
    try:
        return len(dataset)
    except TypeError:  # one that is only iterated
        return None


def _shapes(dataset: Any, examples: int | None) -> list[list[int]]:
    """The shapes of a `TensorDataset`; of others, to look would be to load."""
    tensors = getattr(dataset, "tensors", None)
    if not tensors or examples is None:
        return []
    return [[int(n) for n in tensor.shape[1:]] for tensor in tensors]
