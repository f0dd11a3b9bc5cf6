"""Which recipes are there, and what does one say?

One file per recipe, named as users type it. Names are listed without opening a file,
and a recipe opens one file; only an alias opens more.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from paperstart._yaml import Document, read_yaml
from paperstart.errors import RecipeFormatError, RecipeNotFoundError
from paperstart.recipe import Recipe

MAX_BYTES = 256 * 1024
_SUFFIX = ".yaml"
_KEY = re.compile(r"([a-z0-9_]+(?:\.[a-z0-9_]+)*): ")


def list_recipes() -> list[str]:
    """The ids of the catalog, sorted."""
    return sorted(path.stem for path in _folder().glob(f"*{_SUFFIX}"))


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
    raise _not_found(name, [*known, *(a for r in recipes for a in r.aliases)])


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
        recipe = Recipe.model_validate(document.data)
    except ValidationError as error:
        raise RecipeFormatError(_explained(error, document)) from None
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
        try:
            recipe = read_recipe(path)
        except RecipeFormatError as error:
            problems.append(str(error))
            continue
        for name in (recipe.id, *recipe.aliases):
            first = owners.setdefault(name, path)
            if first is not path:
                problems.append(
                    f"{path}: found the name {name!r}, which {first} has too; "
                    f"leave it out of one of the two."
                )
    return problems


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(path.glob(f"*{_SUFFIX}"))
        else:
            yield path


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
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a file"
            raise RecipeFormatError(f"{path}: is {kind}; name a recipe file.")
        if found.st_size > MAX_BYTES:
            raise RecipeFormatError(
                f"{path}: has {found.st_size:,} bytes; "
                f"a recipe has at most {MAX_BYTES:,}."
            )
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise RecipeFormatError(
            f"{path}: cannot be read ({reason}); check the path and its permissions."
        ) from None
    except ValueError as error:
        if isinstance(error, RecipeFormatError):
            raise
        raise RecipeFormatError(
            f"{path}: is not UTF-8 text ({error}); save it as UTF-8."
        ) from None


def _not_found(name: str, known: Sequence[str]) -> RecipeNotFoundError:
    close = difflib.get_close_matches(name.lower(), known, n=3)
    todo = (
        f"Did you mean {' or '.join(close)}?"
        if close
        else "`paperstart recipes` shows all names."
    )
    return RecipeNotFoundError(f"No recipe is named {name!r}. {todo}")


def _explained(error: ValidationError, document: Document) -> str:
    """One line for each problem that pydantic found, in the file's own words."""
    lines = []
    for problem in error.errors(include_url=False):
        path = tuple(
            key for key in problem["loc"] if key != "[key]" and not _is_branch(key)
        )
        found, todo = _in_words(problem, path)
        # What contradicts itself in a recipe as a whole names its key in its words.
        key = _KEY.match(found)
        if key is not None:
            path, found = (*path, *key[1].split(".")), found[key.end() :]
        lines.append(str(document.error(path, found, todo)))
    return "\n".join(dict.fromkeys(lines))


def _is_branch(key: str | int) -> bool:
    """Whether pydantic, not the file, put this into a path: the arm of a union."""
    return key in ("float", "int", "str") or "[" in str(key)


def _in_words(problem: Any, path: tuple[str | int, ...]) -> tuple[str, str]:
    """(What was found, what to write) of one of pydantic's problems."""
    kind, value = problem["type"], problem["input"]
    if kind == "recipe":
        found, _, todo = problem["ctx"]["text"].partition("; ")
        return found, todo
    if kind == "missing":
        if path and path[-1] == "source":
            return (
                "found none",
                'write source: {kind: paper, where: "section 3.4", url: "https://..."}',
            )
        return "found nothing", f"write {path[-1] if path else 'it'}:"
    if kind == "extra_forbidden":
        return "found an unknown key", "leave it out, or mend its spelling"
    if kind == "literal_error":
        return f"found {value!r}", f"write {problem['ctx']['expected']}"
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    expected = problem["msg"].removeprefix("Input should be ")
    return f"found {shown}", f"write {expected[0].lower()}{expected[1:]}"
