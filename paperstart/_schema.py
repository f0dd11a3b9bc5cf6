"""What may a recipe file say, in the words of JSON Schema?

Made from the checks that read a file; there is no second list of keys. Editors complete
and check with it. It knows each key by itself, not what contradicts another one: that
is `paperstart check`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paperstart._fields import Schema
from paperstart.recipe import RECIPE_SHAPE

SHIPPED = Path(__file__).parent / "recipe.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def recipe_schema() -> Schema:
    """The JSON Schema of a recipe file."""
    parts: dict[str, Schema] = {}
    whole = {key: _named(part, parts) for key, part in RECIPE_SHAPE.schema.items()}
    either = [{"required": ["arxiv"]}, {"required": ["url"]}]
    return {"$schema": _DIALECT, **whole, "anyOf": either, "$defs": parts}


def schema_text() -> str:
    """The same as the text of a file."""
    return json.dumps(recipe_schema(), indent=2) + "\n"


def _named(schema: Any, parts: dict[str, Schema]) -> Any:
    """``schema`` with a reference for each part that has a title, kept in ``parts``."""
    if isinstance(schema, list):
        return [_named(item, parts) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _named(value, parts) for key, value in schema.items()}
    if not isinstance(schema.get("title"), str):  # also a key `title` of a file
        return inner
    parts[schema["title"]] = inner
    return {"$ref": f"#/$defs/{schema['title']}"}
