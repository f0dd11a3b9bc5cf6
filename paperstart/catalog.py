"""Which recipes are there, and what does one say?

One file per recipe, named as users type it: in the package, and before it in a folder
of one's own. Names are listed without opening a file, and a recipe opens one file; only
an alias opens more.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from paperstart._index import Summary, summaries
from paperstart._recipe_file import MAX_BYTES, SUFFIX, files_in, read_recipe
from paperstart.errors import RecipeFormatError, RecipeNotFoundError
from paperstart.recipe import Recipe

__all__ = ["MAX_BYTES", "check_recipes", "list_recipes", "load_recipe", "read_recipe"]

OWN_FOLDER = "PAPERSTART_CATALOG"
_Folder = str | os.PathLike[str]


def list_recipes(catalog: _Folder | None = None) -> list[str]:
    """The ids of the catalog, sorted.

    Args:
        catalog: a folder of recipes of one's own; the one that the environment variable
            ``PAPERSTART_CATALOG`` names, if not given.

    Raises:
        RecipeNotFoundError: there is no such folder.
    """
    return list(_paths(catalog))


def load_recipe(name: str | os.PathLike[str], catalog: _Folder | None = None) -> Recipe:
    """The recipe of this id or alias, or of a file of one's own.

    Args:
        name: ``"resnet50"``; or a path, which has a ``/`` or ends in ``.yaml``.
        catalog: a folder of recipes of one's own, as in `list_recipes`. Its ids hide
            the package's, its aliases theirs; an id comes before any alias.

    Raises:
        RecipeNotFoundError: the catalog has no such name; near matches are named.
        RecipeFormatError: the file cannot be read, or is not a recipe.
    """
    if isinstance(name, os.PathLike) or _is_path(name):
        return read_recipe(Path(name))
    paths = _paths(catalog)
    wanted = _spelling(name)
    for known in (name, wanted):
        if known in paths:
            return read_recipe(paths[known])
    found = list_summaries(catalog)
    for summary in found:
        if wanted in map(_spelling, summary.aliases):
            return read_recipe(paths[summary.id])
    raise _not_found(name, {n: s.id for s in found for n in (s.id, *s.aliases)})


def list_summaries(catalog: _Folder | None = None) -> list[Summary]:
    """Every recipe of the catalog in short: one's own first, then the package's.

    Raises:
        RecipeNotFoundError: there is no such folder.
        RecipeFormatError: a file cannot be read, or is not a recipe.
    """
    paths = _paths(catalog)
    shipped = shipped_folder()
    by_folder = sorted(paths, key=lambda name: paths[name].parent == shipped)
    return list(summaries(paths[name] for name in by_folder))


def shipped_folder() -> Path:
    """Where our recipes lie: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def check_recipes(paths: Sequence[Path]) -> list[str]:
    """What is wrong with these files, or the recipe files in these folders: messages.

    Also says which names two of the recipes share, since only one could be found.
    """
    problems: list[str] = []
    owners: dict[str, Path] = {}
    for path in _files(paths):
        if os.path.isdir(path):
            problems.append(
                f"{path}: found no recipe file (*{SUFFIX}) in this folder; "
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
        inside = files_in(given) if os.path.isdir(given) else []
        for path in inside or [given]:
            absolute = os.path.abspath(path)
            if absolute not in seen:
                seen.add(absolute)
                yield path


def _paths(catalog: _Folder | None) -> dict[str, Path]:
    """The file of each id, sorted by id."""
    folders = [shipped_folder()]
    own = catalog if catalog is not None else os.environ.get(OWN_FOLDER) or None
    if own is not None:
        if not os.path.isdir(own):
            named = "" if catalog is not None else f" (from {OWN_FOLDER})"
            raise RecipeNotFoundError(
                f"No folder of recipes is at {os.fspath(own)!r}{named}. "
                f"Make it, or name another."
            )
        folders.append(Path(own))
    paths = {path.stem: path for folder in folders for path in files_in(folder)}
    return dict(sorted(paths.items()))


def _spelling(name: str) -> str:
    """``ResNet_50`` and ``resnet 50`` are one name."""
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def _is_path(name: str) -> bool:
    return os.sep in name or "/" in name or name.endswith((SUFFIX, ".yml"))


def _not_found(name: str, ids: Mapping[str, str]) -> RecipeNotFoundError:
    """An error that names near recipes by their ids, given the id of each name."""
    wanted = _spelling(name)
    near = difflib.get_close_matches(wanted, ids, n=3)
    near.sort(key=lambda known: ids[known] != known)  # ids before aliases
    near += [known for known in ids if len(wanted) > 2 and wanted in known]
    close = list(dict.fromkeys(ids[known] for known in near))[:3]
    todo = (
        f"Did you mean {' or '.join(close)}?"
        if close
        else "`paperstart recipes` shows all names."
    )
    return RecipeNotFoundError(f"No recipe is named {name!r}. {todo}")
