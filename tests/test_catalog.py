"""The catalog: every recipe file is sound, and found by its names."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest
from optuna.trial import FixedTrial

from paperstart import list_recipes, load_recipe
from paperstart._scales import NUMERIC_SCALES
from paperstart._show import recipe_data
from paperstart.catalog import check_recipes, read_recipe
from paperstart.errors import PaperstartError, RecipeNotFoundError

RECIPES = sorted((Path(__file__).parents[1] / "recipes").iterdir())


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
class TestEveryRecipe:
    """What holds for each file of ``recipes/``."""

    def test_it_loads_under_its_file_name(self, path: Path) -> None:
        """A file cannot be loaded, or is found under another name."""
        assert path.suffix == ".yaml"
        assert path.stem in list_recipes()
        assert load_recipe(path.stem) == read_recipe(path)
        assert load_recipe(path.stem).id == path.stem

    def test_every_value_says_where_it_was_published(self, path: Path) -> None:
        """A published value, alternative or result comes from nowhere."""
        recipe = read_recipe(path)
        values = [*recipe.hyperparameters.values(), *recipe.reported]
        values += [a for hp in recipe.hyperparameters.values() for a in hp.alternatives]

        for value in values:
            assert value.source.where.strip()
            assert value.source.url.startswith("https://")

    def test_code_is_named_at_a_commit(self, path: Path) -> None:
        """A value of the authors' code can change behind its address."""
        recipe = read_recipe(path)
        sources = [hp.source for hp in recipe.hyperparameters.values()]
        sources += [result.source for result in recipe.reported]

        for source in sources:
            if source.kind == "official-code" or "/blob/" in source.url:
                # An ancillary file of a paper is pinned by the paper's version.
                pinned = r"/[0-9a-f]{40}(/|$)|arxiv\.org/abs/\d+\.\d+v\d+$"
                assert re.search(pinned, source.url), source.url

    def test_every_range_holds_its_value(self, path: Path) -> None:
        """A search cannot reach what was published."""
        for name, hp in read_recipe(path).hyperparameters.items():
            if hp.scale in NUMERIC_SCALES:
                assert hp.low <= hp.value <= hp.high, name
                assert hp.low < hp.high, name
            if hp.choices is not None:
                assert hp.value in hp.choices, name

    def test_a_search_can_try_the_published_point(self, path: Path) -> None:
        """The published values do not fit into the recipe's own search space."""
        recipe = read_recipe(path)
        searched = [n for n in recipe.search_space() if n in recipe.published]

        tried = recipe.suggest(FixedTrial(recipe.published), only=searched)

        assert tried == recipe.published

    def test_its_json_has_the_contracts_keys(self, path: Path) -> None:
        """A program that reads ``--json`` misses a key, or cannot read a number."""
        data = json.loads(json.dumps(recipe_data(read_recipe(path)), allow_nan=False))

        assert {
            *("id", "title", "arxiv", "year", "task", "dataset", "aliases"),
            *("hyperparameters", "undisclosed", "weights", "reported"),
        } <= set(data)
        for hp in data["hyperparameters"].values():
            assert {"value", "scale", "low", "high", "source", "alternatives"} <= set(
                hp
            )
            for source in (hp["source"], *(a["source"] for a in hp["alternatives"])):
                assert {"kind", "where", "url"} <= set(source)

    def test_what_is_undisclosed_has_no_value(self, path: Path) -> None:
        """A recipe says that a value is not published, and has it."""
        recipe = read_recipe(path)

        assert set(recipe.undisclosed).isdisjoint(recipe.hyperparameters)

    def test_its_aliases_lead_to_it(self, path: Path) -> None:
        """A name that a recipe claims leads to another one, or nowhere."""
        recipe = read_recipe(path)

        for alias in recipe.aliases:
            assert load_recipe(alias).id == recipe.id
            assert load_recipe(alias.upper().replace("-", "_")).id == recipe.id


class TestNames:
    """A recipe is found by its id, an alias, or a path."""

    def test_the_catalog_is_sorted_and_has_no_name_twice(self) -> None:
        """A listed name is missing, or leads to two recipes."""
        assert list_recipes() == sorted(path.stem for path in RECIPES)
        assert check_recipes([path.parent for path in RECIPES[:1]]) == []

    @pytest.mark.parametrize(
        "name",
        ["resnet50", "ResNet50", "resnet-50", "ResNet_50", "ResNet 50", " resnet50 "],
    )
    def test_spelling_does_not_matter(self, name: str) -> None:
        """People have to know how we spell a name."""
        assert load_recipe(name).id == "resnet50"

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("resnet5", "Did you mean resnet50"),
            ("densnet121", "Did you mean densenet121"),
            ("wide-resnet-28", "Did you mean wide-resnet-28-10"),
            ("ppo-at", "Did you mean ppo-atari"),
            ("nothing-like-it", "`paperstart recipes` shows all names."),
            ("", "`paperstart recipes` shows all names."),
        ],
    )
    def test_an_unknown_name(self, name: str, words: str) -> None:
        """A wrong name gets no hint, or a hint that is no recipe's id."""
        with pytest.raises(RecipeNotFoundError) as caught:
            load_recipe(name)

        assert str(caught.value).startswith(f"No recipe is named {name!r}. ")
        assert words in str(caught.value)

    def test_a_path_leads_to_a_file_of_ones_own(self, tmp_path: Path) -> None:
        """A recipe of one's own cannot be loaded, or is sought in the catalog."""
        text = RECIPES[0].read_text().replace(f"id: {RECIPES[0].stem}", "id: own")
        path = tmp_path / "own.yaml"
        path.write_text(text)

        assert load_recipe(path) == load_recipe(str(path))
        assert load_recipe("own.yaml").id == "own"
        assert load_recipe(Path("own.yaml")).id == "own"

    def test_both_errors_are_ours_and_builtin(self) -> None:
        """A program has to know our errors, or loses their words between processes."""
        for name, builtin in (("resnet5", LookupError), ("no.yaml", ValueError)):
            with pytest.raises(builtin) as caught:
                load_recipe(name)
            assert isinstance(caught.value, PaperstartError)
            assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
