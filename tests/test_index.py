"""The summaries: as true as the files themselves, only faster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recipe_text import GOOD

from paperstart import _index
from paperstart._index import index_text, summaries, summary_of
from paperstart._recipe_file import files_in, read_recipe
from paperstart.catalog import shipped_folder
from paperstart.errors import RecipeFormatError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe, and its index."""
    (tmp_path / "own.yaml").write_text(GOOD)
    index = tmp_path / "index.json"
    index.write_text(index_text(files_in(tmp_path)))
    monkeypatch.setattr(_index, "SHIPPED", index)
    return tmp_path


def test_a_summary_is_its_recipes(folder: Path) -> None:
    """A summary of the index says other than its file."""
    (summary,) = summaries(files_in(folder))

    assert summary == summary_of(read_recipe(folder / "own.yaml"))
    assert summary.published == {"learning_rate": 0.1}
    assert summary.sources == {"paper": 1}
    assert summary.optimizer is None


def test_every_shipped_summary_is_its_recipes() -> None:
    """What the list shows of a shipped recipe is not what its file says."""
    paths = files_in(shipped_folder())
    read = [summary_of(read_recipe(path)) for path in paths]

    assert list(summaries(paths)) == read


def test_the_index_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the index knows is parsed all the same."""
    monkeypatch.setattr(_index, "recipe_of", None)

    assert [summary.id for summary in summaries(files_in(folder))] == ["own"]


@pytest.mark.parametrize("change", [("A title", "Another"), ("0.1", "0.2")])
def test_a_changed_file_is_read_again(folder: Path, change: tuple[str, str]) -> None:
    """A summary is older than its file."""
    path = folder / "own.yaml"
    path.write_text(GOOD.replace(*change))

    assert list(summaries([path])) == [summary_of(read_recipe(path))]


def test_a_renamed_file_is_checked_again(folder: Path) -> None:
    """A file under another name than its id passes, since the index knows it."""
    path = (folder / "own.yaml").rename(folder / "other.yaml")

    with pytest.raises(RecipeFormatError, match=r"in a file named other\.yaml"):
        list(summaries([path]))


@pytest.mark.parametrize("text", [None, "", "{", "\xff"])
def test_without_an_index(folder: Path, text: str | None) -> None:
    """A lost or broken index takes the catalog with it."""
    index = folder / "index.json"
    index.unlink()
    if text is not None:
        index.write_text(text, encoding="latin-1")

    assert [summary.id for summary in summaries(files_in(folder))] == ["own"]


def test_a_line_for_each_recipe(folder: Path) -> None:
    """A changed recipe changes more than its own line of the index."""
    (folder / "two.yaml").write_text(GOOD.replace("id: own", "id: two"))
    text = index_text(files_in(folder))

    assert [entry["id"] for entry in json.loads(text).values()] == ["own", "two"]
    assert len(text.splitlines()) == 4
