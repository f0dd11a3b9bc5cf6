"""What is in each recipe, in short, without reading each file as YAML?

Parsing some hundred YAML files takes a second. So the package ships the summaries of
its own recipes, each under the digest of the file that it was made from. A file with
another content, or of one's own, is read in full: a summary is never older than its
file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paperstart._recipe_file import recipe_bytes, recipe_of
from paperstart.recipe import Recipe

SHIPPED = Path(__file__).parent / "index.json"


@dataclass(frozen=True)
class Summary:
    """One recipe in short.

    Attributes:
        published: the published values by name, as `Recipe.published` has them.
        sources: how many of these values come from each kind of source.
        alternatives: how many other published values stand beside them.
    """

    id: str
    title: str
    model: str
    year: int
    task: str
    dataset: str
    aliases: list[str]
    published: dict[str, Any]
    sources: dict[str, int]
    alternatives: int

    @property
    def optimizer(self) -> str | None:
        """The published optimizer."""
        found = self.published.get("optimizer")
        return found if isinstance(found, str) else None


def summary_of(recipe: Recipe) -> Summary:
    """``recipe`` in short."""
    values = recipe.hyperparameters.values()
    return Summary(
        id=recipe.id,
        title=recipe.title,
        model=recipe.model,
        year=recipe.year,
        task=recipe.task,
        dataset=recipe.dataset,
        aliases=list(recipe.aliases),
        published=recipe.published,
        sources=dict(sorted(Counter(hp.source.kind for hp in values).items())),
        alternatives=sum(len(hp.alternatives) for hp in values),
    )


def summaries(paths: Iterable[Path]) -> Iterator[Summary]:
    """The summary of each of these recipe files.

    Raises:
        RecipeFormatError: a file cannot be read, or is not a recipe.
    """
    known = _shipped()
    for path in paths:
        data = recipe_bytes(path)
        entry = known.get(_digest(data))
        if entry is not None and entry["id"] == path.stem:
            yield Summary(**entry)
        else:
            yield summary_of(recipe_of(data, path))


def index_text(paths: Iterable[Path]) -> str:
    """The text of the shipped index of these files: a line for each recipe."""
    lines = []
    for path in paths:
        data = recipe_bytes(path)
        entry = dataclasses.asdict(summary_of(recipe_of(data, path)))
        lines.append(f"{json.dumps(_digest(data))}: {json.dumps(entry)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _shipped() -> dict[str, dict[str, Any]]:
    try:
        entries: dict[str, dict[str, Any]] = json.loads(SHIPPED.read_bytes())
    except (OSError, ValueError):  # without it all is the same, only slower
        return {}
    return entries


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
