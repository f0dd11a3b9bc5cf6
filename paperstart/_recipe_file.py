"""What does one recipe file say?

A file is data from anywhere: it may be too large, not text, a pipe, or a link to what
is none of its folder's business. It becomes a recipe, or an error that names its line.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from paperstart._fields import FieldError
from paperstart._yaml import read_yaml, visible
from paperstart.errors import RecipeFormatError
from paperstart.recipe import Recipe, checked_recipe

MAX_BYTES = 256 * 1024
SUFFIX = ".yaml"
_MOST_PROBLEMS = 100


def files_in(folder: Path) -> list[Path]:
    """The recipe files of a folder by name, without an editor's hidden ones."""
    found = folder.glob(f"*{SUFFIX}")
    own = [path for path in found if not path.name.startswith(".")]
    return sorted(own, key=lambda path: path.stem)


def read_recipe(path: Path) -> Recipe:
    """Read and check one recipe file.

    Raises:
        RecipeFormatError: the file cannot be read, or is not a recipe. The message has
            one line for each thing that is wrong: file, line, what, and what to write.
    """
    return recipe_of(recipe_bytes(path), path)


def recipe_of(data: bytes, path: Path) -> Recipe:
    """The recipe that ``data`` describes, read from the file at ``path``."""
    document = read_yaml(_text(data, path), str(path))
    if not isinstance(document.data, dict):
        raise document.error((), "found no keys", "write id:, title:, and so on")
    try:
        recipe = checked_recipe(document.data)
    except FieldError as error:
        lines = [str(document.error(*p)) for p in error.problems[:_MOST_PROBLEMS]]
        more = len(error.problems) - len(lines)
        if more > 0:
            lines.append(f"{document.name}: {more:,} more; mend these first.")
        raise RecipeFormatError("\n".join(lines)) from None
    if recipe.id != path.stem:
        raise document.error(
            ("id",),
            f"found {recipe.id!r} in a file named {path.name}",
            f"write id: {path.stem}, or rename the file to {recipe.id}{SUFFIX}",
        )
    return recipe


def _text(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        text = f"is not UTF-8 text (byte {data[error.start]:02x}); save it as UTF-8"
        raise _unreadable(path, text, line) from None


def recipe_bytes(path: Path) -> bytes:
    """The bytes of a recipe file.

    Raises:
        RecipeFormatError: it is no file, is too large, or is a symbolic link to a file
            outside of its folder.
    """
    if _leads_out(path):
        text = "is a symbolic link out of its folder; put a copy there instead"
        raise _unreadable(path, text)
    try:
        mode = os.stat(path).st_mode
        data = _first_bytes(path) if stat.S_ISREG(mode) else None
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = getattr(error, "strerror", None) or str(error)
        text = f"cannot be read ({reason}); check the path and its permissions"
        raise _unreadable(path, text) from None
    if data is None:
        kind = "a folder" if stat.S_ISDIR(mode) else "not a file"
        raise _unreadable(path, f"is {kind}; name a recipe file")
    if len(data) > MAX_BYTES:
        text = f"has more than the {MAX_BYTES:,} bytes of a recipe; shorten it"
        raise _unreadable(path, text)
    return data


def _first_bytes(path: Path) -> bytes:
    """The file's bytes, or one more than a recipe may have."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _leads_out(path: Path) -> bool:
    """Whether a link leads out of its folder; Kubernetes links within a folder."""
    if not os.path.islink(path):
        return False
    folder = os.path.realpath(path.parent)
    return not Path(os.path.realpath(path)).is_relative_to(folder)


def _unreadable(path: Path, text: str, line: int | None = None) -> RecipeFormatError:
    place = str(path) if line is None else f"{path}:{line}"
    return RecipeFormatError(visible(f"{place}: {text}."))
