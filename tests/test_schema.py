"""The JSON Schema says of a file what the checks say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from recipe_text import GOOD

from paperstart._schema import recipe_schema
from paperstart._yaml import read_yaml
from paperstart.errors import RecipeFormatError
from paperstart.recipe import Recipe

RECIPES = sorted((Path(__file__).parents[1] / "recipes").iterdir())
VALIDATOR = Draft202012Validator(recipe_schema())


def as_json(text: str) -> Any:
    """A file as JSON has it: a day is text."""
    return json.loads(json.dumps(read_yaml(text, "a file").data, default=str))


def complaints(data: Any) -> list[str]:
    """What the schema finds wrong."""
    return [error.message for error in VALIDATOR.iter_errors(data)]


def test_it_is_a_schema() -> None:
    """An editor refuses the schema itself."""
    Draft202012Validator.check_schema(recipe_schema())


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_valid(path: Path) -> None:
    """An editor complains about a file that `paperstart check` finds right."""
    assert complaints(as_json(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "change",
    [
        {"id": "a/b"},
        {"id": "A"},
        {"title": ""},
        {"title": "two\nlines"},
        {"title": 5},
        {"year": 20200},
        {"year": "2020"},
        {"arxiv": "2010.11920v2"},
        {"url": "file:///etc/passwd"},
        {"authors": []},
        {"authors": "Kaiming He"},
        {"authors": ["He, Kaiming"]},
        {"authors": ["Kaiming He and Jian Sun"]},
        {"authors": ["others"]},
        {"authors": ["{Barnes and Noble"]},
        {"authors": ["Jos{\\'e}"]},
        {"authors": ["A" * 201]},
        {"authors": ["A"] * 1001},
        {"aliases": "a"},
        {"aliases": ["A"]},
        {"checked": "yesterday"},
        {"lr": 0.1},
        {"hyperparameters": {}},
        {"hyperparameters": {"Rate-1": {}}},
        {"hyperparameters": {"dropout": {"value": 0.1}}},
        {"hyperparameters": {"dropout": {"value": None, "source": {}}}},
        {"weights": [{"name": "a"}]},
        {"reported": [{"metric": "a"}]},
        {"compute": {"devices": "8 GPUs", "hours": "2"}},
        {"hyperparameters": {"dropout": {"value": 0.1, "searched": "yes"}}},
        {"undisclosed": ["Learning rate"]},
    ],
    ids=str,
)
def test_what_it_refuses(change: dict[str, Any]) -> None:
    """A mistake that the checks refuse passes in an editor."""
    data = {**as_json(GOOD), **change}

    with pytest.raises(RecipeFormatError):
        Recipe.from_data(data)
    assert complaints(data) != []


@pytest.mark.parametrize(
    "change",
    [
        {"authors": ["Kaiming He", "Laurens van der Maaten", "Plato"]},
        {"authors": ["{Barnes and Noble, Inc.}", "Adrià {Puigdomènech Badia}"]},
        {"authors": ["A"] * 1000},
    ],
    ids=lambda change: str(change)[:40],
)
def test_what_it_takes(change: dict[str, Any]) -> None:
    """An editor complains about what the checks find right."""
    data = {**as_json(GOOD), **change}

    assert Recipe.from_data(data)
    assert complaints(data) == []


@pytest.mark.parametrize("missing", ["id", "arxiv", "hyperparameters", "checked"])
def test_what_it_misses(missing: str) -> None:
    """A key that a recipe must have is not asked for."""
    data = as_json(GOOD)
    assert complaints(data) == []

    del data[missing]

    assert complaints(data) != []


def test_it_knows_the_canonical_names() -> None:
    """An editor does not complete the name of a hyperparameter."""
    known = recipe_schema()["properties"]["hyperparameters"]["properties"]

    assert {"learning_rate", "momentum", "batch_size"} <= set(known)
    assert yaml.safe_load(GOOD)["hyperparameters"].keys() <= set(known)
