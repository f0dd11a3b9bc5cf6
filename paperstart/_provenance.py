"""Which code, configuration and environment made a run?"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from paperstart.recipe import Recipe

CONFIG_TAG = "paperstart.config_hash"
"""Run tag: the same for two runs with the same params and recipe."""
_GIT_S = 5.0


def code_tags() -> dict[str, str]:
    """The program, and the commit that it lies in; in MLflow's own words."""
    program = _program()
    tags = {"mlflow.source.type": "LOCAL", "mlflow.source.name": str(program)}
    commit = git_commit(str(program.parent if program.suffix else Path.cwd()))
    if commit is not None:
        tags["mlflow.source.git.commit"] = commit
        tags["paperstart.git_commit"] = commit
    return tags


@functools.cache
def git_commit(folder: str) -> str | None:
    """The commit that is checked out around a folder, or ``None``."""
    try:
        done = subprocess.run(
            ["git", "-C", folder, "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=_GIT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def config_hash(params: Mapping[str, Any], recipe: Recipe | None) -> str:
    """Twelve hexadecimal digits of the params and the recipe, in any order."""
    said = {
        "params": {str(name): str(value) for name, value in params.items()},
        "recipe": None if recipe is None else recipe.as_data(),
    }
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def recipe_file(recipe: Recipe) -> str:
    """The recipe as a file that `load_recipe` reads, without what is empty."""
    text: str = yaml.safe_dump(
        _without_empty(recipe.as_data()), sort_keys=False, allow_unicode=True, width=88
    )
    return text


@functools.cache
def environment_text() -> str:
    """Python, the machine, and every installed version, as ``pip freeze`` has them."""
    installed = {
        str(found.metadata["Name"]): found.version
        for found in metadata.distributions()
        if found.metadata["Name"]
    }
    lines = [f"# Python {platform.python_version()}, {platform.platform()}"]
    names = sorted(installed, key=str.lower)
    return "\n".join([*lines, *(f"{name}=={installed[name]}" for name in names), ""])


def _program() -> Path:
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(main).absolute() if main else Path(sys.argv[0] or "python").absolute()


def _without_empty(data: Any) -> Any:
    if isinstance(data, Mapping):
        inner = {key: _without_empty(value) for key, value in data.items()}
        return {k: v for k, v in inner.items() if v not in (None, (), [], {})}
    if isinstance(data, (list, tuple)):
        return [_without_empty(item) for item in data]
    return data
