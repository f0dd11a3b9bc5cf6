"""The commands ``recipes``, ``compare``, ``cite`` and ``stats``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from recipe_text import GOOD

from paperstart import list_recipes, load_recipe
from paperstart._schema import SHIPPED
from paperstart.cli import main

Run = Callable[..., tuple[int, str, str]]
BATCH = """
  batch_size:
    value: 128
    source: {kind: paper, where: table 2, url: "https://arxiv.org/abs/2010.11920v1"}
  optimizer:
    value: sgd
    source: {kind: paper, where: table 2, url: "https://arxiv.org/abs/2010.11920v1"}
  epochs:
    value: 90
    source: {kind: paper, where: table 2, url: "https://arxiv.org/abs/2010.11920v1"}"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``paperstart`` in this process: exit code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["paperstart", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), *capsys.readouterr()

    return call


def ids(answer: tuple[int, str, str]) -> list[str]:
    """The ids of a JSON answer."""
    code, out, _ = answer
    assert code == 0
    return [entry["id"] for entry in json.loads(out)]


class TestRecipes:
    """The catalog, and what of it one asks for."""

    def test_words(self, run: Run) -> None:
        """A word is not sought in ids, titles, models, data sets and aliases."""
        assert "resnet50" in ids(run("recipes", "--json", "RESIDUAL", "imagenet"))
        assert "resnet20-cifar10" not in ids(run("recipes", "--json", "imagenet"))
        assert "resnet50" in ids(run("recipes", "--json", "resnet50-v1"))
        assert "resnet50" in ids(run("recipes", "--json", "ResNet-50 ilsvrc"))

    def test_nothing_has_all_words(self, run: Run) -> None:
        """An empty answer is an error, or no JSON."""
        assert run("recipes", "--json", "resnet50", "xyz") == (0, "[]\n", "")

    def test_a_dataset(self, run: Run) -> None:
        """``--dataset`` lets others through."""
        found = ids(run("recipes", "--json", "--dataset", "cifar-10"))

        assert "resnet20-cifar10" in found
        for name in found:
            assert "cifar-10" in load_recipe(name).dataset.lower()

    def test_an_optimizer(self, run: Run) -> None:
        """``--optimizer`` lets others through, or leaves some out."""
        found = ids(run("recipes", "--json", "--optimizer", "SGD"))
        published = {name: load_recipe(name).published for name in list_recipes()}

        assert found == [n for n in published if published[n].get("optimizer") == "sgd"]

    def test_fields(self, run: Run) -> None:
        """``--field`` shows recipes without that value, or not the value itself."""
        fields = ("--field", "momentum", "--field", "nesterov")
        code, out, _ = run("recipes", "--json", *fields)
        found = json.loads(out)

        assert code == 0
        assert found
        for entry in found:
            published = load_recipe(entry["id"]).published
            assert entry["fields"] == {
                "momentum": published["momentum"],
                "nesterov": published["nesterov"],
            }
        head, first = run("recipes", *fields)[1].splitlines()[:2]
        assert head.split()[-2:] == ["momentum", "nesterov"]
        assert first.split()[-2] == str(found[0]["fields"]["momentum"])

    def test_all_at_once(self, run: Run) -> None:
        """Filters are taken one for another instead of together."""
        arguments = ["--task", "image-classification", "--optimizer", "sgd"]
        arguments += ["--dataset", "cifar", "--field", "learning_rate", "residual"]

        found = ids(run("recipes", "--json", *arguments))

        assert "resnet20-cifar10" in found
        assert "resnet50" not in found

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--optimizer", "sdg"], "has the optimizer 'sdg'. There are: "),
            (["--field", "lerning_rate"], "Did you mean learning_rate"),
            (["--dataset", "cifr-10"], "Did you mean cifar-10"),
            (["--dataset", "qqq"], "`paperstart recipes` shows the data set of each."),
            (["--task", "chess"], "No recipe has the task 'chess'. There are: "),
        ],
    )
    def test_what_is_nowhere(self, run: Run, arguments: list[str], words: str) -> None:
        """A mistyped name shows an empty catalog."""
        code, out, err = run("recipes", *arguments)

        assert (code, out) == (2, "")
        assert err.startswith("Error: No recipe has ")
        assert words in err
        assert err.count("\n") == 1

    def test_counts_on_a_terminal(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A person is not told how many recipes there are, or a program is."""
        quiet = run("recipes", "--optimizer", "sgd", "--json")
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        code, out, err = run("recipes", "--optimizer", "sgd", "--json")

        assert quiet == (code, out, "")
        count = len(json.loads(out))
        assert err.startswith(f"{count} of {len(list_recipes())} recipes, ")


class TestCompare:
    """Recipes side by side."""

    def test_as_json(self, run: Run) -> None:
        """A value is missing, stands under another recipe, or differs in silence."""
        names = ["resnet50", "resnet20-cifar10", "densenet121"]
        code, out, err = run("compare", *names, "--json")
        data = json.loads(out)

        assert (code, err) == (0, "")
        assert [entry["id"] for entry in data["recipes"]] == names
        recipes = [load_recipe(name) for name in names]
        rows = data["hyperparameters"]
        assert set(rows) == {name for r in recipes for name in r.published}
        for name, row in rows.items():
            assert row["values"] == [r.published.get(name) for r in recipes]
            told = [value for value in row["values"] if value is not None]
            assert row["differs"] == any(a != b for a in told for b in told)
            assert row["undisclosed"] == [
                r.id for r in recipes if name in r.undisclosed
            ]

    def test_for_people(self, run: Run) -> None:
        """A row that differs is not marked, or one that does not is."""
        _, out, _ = run("compare", "resnet50", "ResNet20_CIFAR10")
        lines = out.splitlines()

        assert lines[0].split() == ["resnet50", "resnet20-cifar10"]
        rows = {line[3:].split()[0]: line for line in lines[1:]}
        assert rows["batch_size"].split() == ["*", "batch_size", "256", "128"]
        assert rows["momentum"].split() == ["momentum", "0.9", "0.9"]
        assert rows["resize_shorter_side_min"].split()[-2:] == ["256", "-"]
        assert rows["task"].startswith("   task")

    def test_what_is_undisclosed(self, run: Run, tmp_path: Path) -> None:
        """What a source does not state looks like what does not apply."""
        path = tmp_path / "own.yaml"
        path.write_text(GOOD + "undisclosed: [momentum]\n")

        _, out, _ = run("compare", "resnet50", str(path))

        (row,) = [line for line in out.splitlines() if line.split()[0] == "momentum"]
        assert row.split()[1:] == ["0.9", "undisclosed"]

    @pytest.mark.parametrize("names", [[], ["resnet50"], ["resnet50", "resnet5"]])
    def test_too_few(self, run: Run, names: list[str]) -> None:
        """One recipe is compared with nothing."""
        code, out, err = run("compare", *names)

        assert (code, out) == (2, "")
        assert err


class TestAuthors:
    """Who published it."""

    NAMES = '"{A and B}", Łukasz Kaiser, Jian Sun'

    @pytest.fixture
    def paths(self, tmp_path: Path) -> tuple[str, str]:
        """A recipe with authors, and the same one without."""
        paths = tmp_path / "with" / "own.yaml", tmp_path / "own.yaml"
        paths[0].parent.mkdir()
        paths[0].write_text(f"{GOOD}authors: [{self.NAMES}]\n", encoding="utf-8")
        paths[1].write_text(GOOD)
        return str(paths[0]), str(paths[1])

    def test_they_are_cited(self, run: Run, paths: tuple[str, str]) -> None:
        """The entry has no authors where the recipe names them."""
        code, out, err = run("cite", paths[0])

        assert (code, err) == (0, "")
        assert "  author = {{A and B} and {\\L}ukasz Kaiser and Jian Sun},\n" in out
        assert "author" not in run("cite", paths[1])[1]

    @pytest.mark.parametrize(
        ("authors", "line"),
        [
            (NAMES, "A and B et al."),
            ("Łukasz Kaiser, Jian Sun", "Łukasz Kaiser and Jian Sun"),
            ('"Jian {Sun, Jr.}"', "Jian Sun, Jr."),
        ],
    )
    @pytest.mark.parametrize("more", [(), ("--batch-size", "64")])
    def test_for_people(
        self, run: Run, tmp_path: Path, authors: str, line: str, more: tuple[str, ...]
    ) -> None:
        """The page says nothing of the authors, or shows BibTeX's braces."""
        values = GOOD.replace("hyperparameters:", "hyperparameters:" + BATCH)
        path = tmp_path / "own.yaml"
        path.write_text(f"{values}authors: [{authors}]\n", encoding="utf-8")

        out = run("recipe", str(path), *more)[1].splitlines()

        assert out[:2] == ["own  A title (2020)", line]

    def test_as_json(self, run: Run, paths: tuple[str, str]) -> None:
        """A program does not get the authors, or not in their order."""
        both = [json.loads(run("recipe", path, "--json")[1]) for path in paths]

        assert both[0]["authors"] == ["{A and B}", "Łukasz Kaiser", "Jian Sun"]
        assert both[0] == {**both[1], "authors": both[0]["authors"]}
        assert both[1]["authors"] is None

    def test_nothing_else_changes(self, run: Run, paths: tuple[str, str]) -> None:
        """Recipes differ by their authors, or a page has more than one line more."""
        compared = [run("compare", path, "resnet50") for path in paths]
        pages = [run("recipe", path)[1].splitlines() for path in paths]

        assert compared[0] == compared[1]
        assert [line for line in pages[0] if "et al." not in line] == pages[1]

    def test_a_thousand_of_them(self, run: Run, tmp_path: Path) -> None:
        """A file with the names of a large collaboration is too much for the reader."""
        names = [f"Given-{i} Middle van der Family{i}" for i in range(1000)]
        path = tmp_path / "own.yaml"
        path.write_text(f"{GOOD}authors: [{', '.join(names)}]\n")

        assert run("check", str(path)) == (0, "", "")
        assert f"  author = {{{' and '.join(names)}}},\n" in run("cite", str(path))[1]

    def test_a_wrong_one_has_its_line(self, run: Run, tmp_path: Path) -> None:
        """`paperstart check` says neither which name is wrong nor where it stands."""
        path = tmp_path / "own.yaml"
        path.write_text(f"{GOOD}authors:\n  - Jian Sun\n  - Sun, Jian\n")

        code, out, err = run("check", str(path))

        assert code != 0
        assert (
            "own.yaml:15: authors.1: found 'Sun, Jian'; write one 'Given " in out + err
        )


class TestOthers:
    """What the other commands print."""

    def test_cite(self, run: Run) -> None:
        """The entry is not BibTeX alone."""
        code, out, err = run("cite", "ResNet-50")

        assert (code, err) == (0, "")
        assert out.startswith("@misc{resnet50,\n")
        assert out.endswith("\n}\n")

    def test_stats(self, run: Run) -> None:
        """A count is not that of the recipes."""
        code, out, _ = run("stats", "--json")
        data = json.loads(out)
        recipes = [load_recipe(name) for name in list_recipes()]
        values = [hp for r in recipes for hp in r.hyperparameters.values()]
        kinds = [hp.source.kind for hp in values]

        assert code == 0
        assert data["total"] == {
            "recipes": len(recipes),
            "recipes_with_three_values": sum(
                len(r.hyperparameters) >= 3 for r in recipes
            ),
            "values": len(values),
            "sources": {
                kind: kinds.count(kind)
                for kind in ("paper", "official-code", "official-docs")
            },
            "alternatives": sum(len(hp.alternatives) for hp in values),
        }
        assert set(data["tasks"]) == {recipe.task for recipe in recipes}
        for key in ("recipes", "values", "alternatives"):
            parts = [task[key] for task in data["tasks"].values()]
            assert sum(parts) == data["total"][key]

    def test_schema(self, run: Run) -> None:
        """The schema that is printed is not the one that ships."""
        code, out, err = run("schema")

        assert (code, err) == (0, "")
        assert out == SHIPPED.read_text(encoding="utf-8")

    def test_stats_for_people(self, run: Run) -> None:
        """The table has other counts than the JSON data."""
        total = json.loads(run("stats", "--json")[1])["total"]

        last = run("stats")[1].splitlines()[-1].replace(",", "").split()

        assert last[:4] == [
            "total",
            str(total["recipes"]),
            str(total["recipes_with_three_values"]),
            str(total["values"]),
        ]


@pytest.mark.parametrize(
    "command",
    [
        ["recipe", "own"],
        ["recipes", "a", "title", "own"],
        ["compare", "own", "resnet50"],
        ["cite", "own"],
        ["stats"],
    ],
    ids=lambda command: command[0],
)
def test_a_folder_of_ones_own(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """A command knows the option but not the variable, or neither."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "own.yaml").write_text(GOOD)
    without = run(*command)[1]
    with_option = run(*command, "--catalog", str(folder))
    monkeypatch.setenv("PAPERSTART_CATALOG", str(folder))

    assert run(*command) == with_option
    assert with_option[0] == 0
    assert with_option[1] != without
    monkeypatch.setenv("PAPERSTART_CATALOG", "nowhere")
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert err.startswith("Error: No folder of recipes is at 'nowhere' (from ")
