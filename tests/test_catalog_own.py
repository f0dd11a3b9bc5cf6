"""A folder of recipes of one's own, before the package's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from recipe_text import GOOD

from paperstart import list_recipes, load_recipe
from paperstart.catalog import check_recipes, list_summaries
from paperstart.errors import RecipeFormatError, RecipeNotFoundError


def write(folder: Path, name: str, text: str = GOOD) -> Path:
    """A recipe file of this id."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(text.replace("id: own", f"id: {name}"))
    return path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with one recipe of one's own."""
    return write(tmp_path / "mine", "own").parent


class TestOwnFolder:
    """Whatever finds the package's recipes finds one's own."""

    def test_as_an_argument(self, own: Path) -> None:
        """A recipe of one's own is not listed, or not loaded, or hides the others."""
        assert load_recipe("own", catalog=own).title == "A title"
        assert load_recipe("own", str(own)).id == "own"
        assert list_recipes(catalog=own) == sorted([*list_recipes(), "own"])
        assert load_recipe("resnet50", own) == load_recipe("resnet50")
        assert {s.id for s in list_summaries(own)} == set(list_recipes(own))

    def test_as_an_environment_variable(
        self, own: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The variable is not read, or comes before the argument."""
        monkeypatch.setenv("PAPERSTART_CATALOG", str(own))
        other = write(tmp_path / "other", "theirs").parent

        assert load_recipe("own").id == "own"
        assert "own" in list_recipes()
        assert "own" not in list_recipes(other)

    def test_an_empty_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An empty variable is taken for the folder that one is in."""
        write(Path(), "own")
        monkeypatch.setenv("PAPERSTART_CATALOG", "")

        assert "own" not in list_recipes()

    def test_ones_own_comes_first(self, own: Path) -> None:
        """The package's recipe hides one's own of the same name."""
        write(own, "resnet50")
        write(own, "mine", GOOD.replace("year", "aliases: [densenet-121]\nyear"))

        assert load_recipe("resnet50", own).title == "A title"
        assert load_recipe("ResNet50", own).title == "A title"
        assert load_recipe("densenet-121", own).id == "mine"
        assert len(list_recipes(own)) == len(list_recipes()) + 2

    def test_an_id_comes_before_an_alias(self, own: Path) -> None:
        """An alias of one's own hides the package's recipe of that id."""
        write(own, "mine", GOOD.replace("year", "aliases: [resnet50]\nyear"))

        assert load_recipe("resnet50", own) == load_recipe("resnet50")

    def test_the_same_checks_and_messages(self, own: Path) -> None:
        """A broken file of one's own is taken, or refused in other words."""
        path = write(own, "bad", GOOD.replace("2020", "1e-4"))

        for ask in (lambda: load_recipe("bad", own), lambda: list_summaries(own)):
            with pytest.raises(RecipeFormatError) as caught:
                ask()
            assert str(caught.value) == check_recipes([path])[0]
        assert load_recipe("resnet50", own).id == "resnet50"

    def test_no_such_folder(self, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A mistyped folder is passed over in silence."""
        with pytest.raises(RecipeNotFoundError) as caught:
            list_recipes("nowhere")
        assert str(caught.value) == (
            "No folder of recipes is at 'nowhere'. Make it, or name another."
        )
        monkeypatch.setenv("PAPERSTART_CATALOG", str(own / "own.yaml"))
        with pytest.raises(RecipeNotFoundError, match=r"\(from PAPERSTART_CATALOG\)"):
            load_recipe("resnet50")

    def test_near_names_are_ones_own_too(self, own: Path) -> None:
        """A mistyped name of one's own recipe gets no hint."""
        write(own, "our-network")

        with pytest.raises(RecipeNotFoundError, match="Did you mean our-network"):
            load_recipe("our-netwrk", own)


class TestLinks:
    """A link out of the folder reads what is none of the folder's business."""

    def test_out_of_the_folder(self, own: Path, tmp_path: Path) -> None:
        """A link leads out of the folder, and is followed."""
        secret = write(tmp_path / "elsewhere", "secret")
        link = own / "secret.yaml"
        link.symlink_to(secret)

        for ask in (lambda: load_recipe("secret", own), lambda: load_recipe(link)):
            with pytest.raises(RecipeFormatError) as caught:
                ask()
            assert str(caught.value) == (
                f"{link}: is a symbolic link out of its folder; "
                f"put a copy there instead."
            )
        assert "symbolic link" in check_recipes([own])[0]

    def test_by_way_of_another_link(self, own: Path, tmp_path: Path) -> None:
        """A link to a link inside leads out in the end."""
        (own / "a.yaml").symlink_to("b.yaml")
        (own / "b.yaml").symlink_to(write(tmp_path / "elsewhere", "a"))

        with pytest.raises(RecipeFormatError, match="symbolic link out of its folder"):
            load_recipe("a", own)

    def test_within_the_folder(self, own: Path, tmp_path: Path) -> None:
        """Kubernetes mounts a folder whose files are links within it: refused."""
        (own / "..data").mkdir()
        (own / "own.yaml").rename(own / "..data" / "own.yaml")
        (own / "own.yaml").symlink_to(Path("..data") / "own.yaml")
        (tmp_path / "linked").symlink_to(own)

        assert load_recipe("own", own).id == "own"
        assert load_recipe("own", tmp_path / "linked").id == "own"

    @pytest.mark.parametrize("name", ["../own", "mine/own", "..", "a\\..\\own", "\0"])
    def test_a_name_never_leaves_the_folder(self, own: Path, name: str) -> None:
        """A name with a path in it is looked up in the folder."""
        with pytest.raises((RecipeFormatError, RecipeNotFoundError)) as caught:
            load_recipe(name, own)

        assert str(caught.value).isprintable()

    @pytest.mark.parametrize("given", ["../own", "a/b", "/etc/passwd", "a\\\\b", ".."])
    def test_an_id_is_no_path(self, own: Path, given: str) -> None:
        """A file's id has a path separator."""
        path = write(own, "own", GOOD.replace("id: own", f"id: {given}"))

        with pytest.raises(RecipeFormatError, match="write lower-case letters"):
            load_recipe(path)
        assert os.listdir(own) == ["own.yaml"]
