"""Which recipes are there, and what does one say?

One file per recipe, named as users type it. Names are listed without opening a file,
and a recipe opens one file; only an alias opens more.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from paperstart._fields import FieldError
from paperstart._yaml import read_yaml, visible
from paperstart.errors import RecipeFormatError, RecipeNotFoundError
from paperstart.recipe import Recipe, checked_recipe

MAX_BYTES = 256 * 1024
_MOST_PROBLEMS = 100
_SUFFIX = ".yaml"


def list_recipes() -> list[str]:
    """The ids of the catalog, sorted."""
    return [path.stem for path in _files_in(_folder())]


def load_recipe(name: str | os.PathLike[str]) -> Recipe:
    """The recipe of this id or alias, or of a file of one's own.

    Args:
        name: ``"resnet50"``; or a path, which has a ``/`` or ends in ``.yaml``.

    Raises:
        RecipeNotFoundError: the catalog has no such name; near matches are named.
        RecipeFormatError: the file cannot be read, or is not a recipe.
    """
    if isinstance(name, os.PathLike) or _is_path(name):
        return read_recipe(Path(name))
    known = list_recipes()
    if name in known:
        return read_recipe(_folder() / f"{name}{_SUFFIX}")
    wanted = _spelling(name)
    if wanted in known:
        return read_recipe(_folder() / f"{wanted}{_SUFFIX}")
    recipes = all_recipes()
    for recipe in recipes:
        if wanted in map(_spelling, recipe.aliases):
            return recipe
    raise _not_found(name, {n: r.id for r in recipes for n in (r.id, *r.aliases)})


def all_recipes() -> list[Recipe]:
    """Every recipe of the catalog, by id."""
    return [read_recipe(_folder() / f"{name}{_SUFFIX}") for name in list_recipes()]


def read_recipe(path: Path) -> Recipe:
    """Read and check one recipe file.

    Raises:
        RecipeFormatError: the file cannot be read, or is not a recipe. The message has
            one line for each thing that is wrong: file, line, what, and what to write.
    """
    document = read_yaml(_text(path), str(path))
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
            f"write id: {path.stem}, or rename the file to {recipe.id}{_SUFFIX}",
        )
    return recipe


def check_recipes(paths: Sequence[Path]) -> list[str]:
    """What is wrong with these files, or the recipe files in these folders: messages.

    Also says which names two of the recipes share, since only one could be found.
    """
    problems: list[str] = []
    owners: dict[str, Path] = {}
    for path in _files(paths):
        if os.path.isdir(path):
            problems.append(
                f"{path}: found no recipe file (*{_SUFFIX}) in this folder; "
                f"name another folder, or a file."
            )
            continue
        try:
            recipe = read_recipe(path)
        except RecipeFormatError as error:
            problems.append(str(error))
            continue
        for name in dict.fromkeys(map(_spelling, (recipe.id, *recipe.aliases))):
            first = owners.setdefault(name, path)
            if first is not path:
                problems.append(
                    f"{path}: found the name {name!r}, which {first} has too; "
                    f"leave it out of one of the two."
                )
    return problems


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """These files, and those in these folders, each once; a folder if it has none."""
    seen: set[str] = set()
    for given in paths:
        # `os.path` has no errors where `Path.is_dir` has: a name of 300 letters.
        inside = _files_in(given) if os.path.isdir(given) else []
        for path in inside or [given]:
            absolute = os.path.abspath(path)
            if absolute not in seen:
                seen.add(absolute)
                yield path


def _files_in(folder: Path) -> list[Path]:
    """The recipe files of a folder by name, without an editor's hidden ones."""
    found = folder.glob(f"*{_SUFFIX}")
    own = [path for path in found if not path.name.startswith(".")]
    return sorted(own, key=lambda path: path.stem)


def _folder() -> Path:
    """Where the catalog lies: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def _spelling(name: str) -> str:
    """``ResNet_50`` and ``resnet 50`` are one name."""
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def _is_path(name: str) -> bool:
    return os.sep in name or "/" in name or name.endswith((_SUFFIX, ".yml"))


def _text(path: Path) -> str:
    data = _bytes(path)
    if len(data) > MAX_BYTES:
        text = f"has more than the {MAX_BYTES:,} bytes of a recipe; shorten it"
        raise _unreadable(path, text)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        text = f"is not UTF-8 text (byte {data[error.start]:02x}); save it as UTF-8"
        raise _unreadable(path, text, line) from None


def _bytes(path: Path) -> bytes:
    """The file's bytes, or a few more than a recipe may have."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = getattr(error, "strerror", None) or str(error)
        text = f"cannot be read ({reason}); check the path and its permissions"
        raise _unreadable(path, text) from None
    kind = "a folder" if stat.S_ISDIR(mode) else "not a file"
    raise _unreadable(path, f"is {kind}; name a recipe file")


def _unreadable(path: Path, text: str, line: int | None = None) -> RecipeFormatError:
    place = str(path) if line is None else f"{path}:{line}"
    return RecipeFormatError(visible(f"{place}: {text}."))


def _not_found(name: str, ids: Mapping[str, str]) -> RecipeNotFoundError:
    """An error that names near recipes by their ids, given the id of each name."""
    wanted = _spelling(name)
    near = difflib.get_close_matches(wanted, ids, n=3)
    near += [known for known in ids if len(wanted) > 2 and wanted in known]
    close = list(dict.fromkeys(ids[known] for known in near))[:3]
    todo = (
        f"Did you mean {' or '.join(close)}?"
        if close
        else "`paperstart recipes` shows all names."
    )
    return RecipeNotFoundError(f"No recipe is named {name!r}. {todo}")
