"""Which files of the package are made from others, and are they in step?

``python -m paperstart._ship`` writes them, after a change of ``recipes/`` or of what a
file may say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from paperstart._fields import is_number
from paperstart._index import SHIPPED as INDEX
from paperstart._index import index_text
from paperstart._recipe_file import files_in, read_recipe
from paperstart._schema import SHIPPED as SCHEMA
from paperstart._schema import schema_text
from paperstart._spread import SHIPPED as SPREAD
from paperstart._spread import Published, has_spread, spread_text
from paperstart.catalog import shipped_folder

_Maker = Callable[[], str]


def _index() -> str:
    return index_text(files_in(shipped_folder()))


def _spread() -> str:
    return spread_text(_published())


def _published() -> Iterator[Published]:
    for path in files_in(shipped_folder()):
        recipe = read_recipe(path)
        values = recipe.published
        optimizer = values.get("optimizer")
        for name in filter(has_spread, values):
            if isinstance(optimizer, str) and is_number(values[name]):
                yield recipe.task, optimizer, name, values[name]


MADE: dict[Path, _Maker] = {SPREAD: _spread, INDEX: _index, SCHEMA: schema_text}
"""Each of these files, and what makes its text."""


def write_all() -> None:
    """Write every file that is made from others."""
    for path, make in MADE.items():
        path.write_text(make(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write_all()
