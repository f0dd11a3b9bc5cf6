"""Which files of the package are made from others, and are they in step?

``python -m paperstart._ship`` writes them, after a change of ``recipes/`` or of what a
file may say.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from paperstart._index import SHIPPED as INDEX
from paperstart._index import index_text
from paperstart._recipe_file import files_in
from paperstart._schema import SHIPPED as SCHEMA
from paperstart._schema import schema_text
from paperstart.catalog import shipped_folder

_Maker = Callable[[], str]


def _index() -> str:
    return index_text(files_in(shipped_folder()))


MADE: dict[Path, _Maker] = {INDEX: _index, SCHEMA: schema_text}
"""Each of these files, and what makes its text."""


def write_all() -> None:
    """Write every file that is made from others."""
    for path, make in MADE.items():
        path.write_text(make(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write_all()
