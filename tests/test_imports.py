"""Imports point down, none comes back up, and the light doors stay light."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import paperstart

PACKAGE = Path(paperstart.__file__).parent
FILES = sorted(path.stem for path in PACKAGE.glob("*.py"))
HEAVY = {"torch", "optuna", "mlflow", "lightning", "pytorch_lightning", "numpy"}
HEAVY |= {"sklearn", "pandas", "matplotlib", "plotly", "ray", "psutil"}

# From the ground floor up; a file may import those before it. A file that is not here
# still must not close a circle.
FLOORS = (
    *("errors", "_fields", "_shape", "_scales", "_searched", "_spread", "_sense"),
    *("_yaml", "_parts", "_alarm_text"),
    *("_axis", "_refine", "_natural", "space", "_length", "_rules", "adapt"),
    *("recipe", "_recipe_file", "_index", "catalog", "_show", "_show_adapted"),
    *("_schema", "_ship", "_query", "_compare", "_cite", "_stats"),
    *("_history", "_rounds", "_why", "_draw", "_published", "_cube", "_column"),
    *("_surrogate", "_evidence", "_propose", "_joint", "sampler", "pruner"),
    *("_spool", "_spool_folder", "_send", "_probe", "_outbox", "_run_log"),
    *("_bn_columns", "_bn_layers", "_bn_layout", "_bn_slot", "_bn_snapshot"),
    *("_bn_capture", "_bn_drift", "_bn_statistics", "_bn_summary", "_bn_rules"),
    *("_bn_alarms", "_bn_recompute", "batchnorm", "_bn_record", "_bn_facts"),
    *("_bn_pictures", "_bn_pipeline", "_store", "tracking", "_bn_sinks"),
    *("_bn_files", "_due", "_bn_watch", "_lightning", "batchnorm_monitor", "_logged"),
    *("_study_facts", "_worker", "_cost", "_outcome", "_sick", "_child_note"),
    *("_children", "_ticks", "_tracks", "_answers", "_told_apart", "_marks"),
    *("_charts", "_pictures", "_page", "figures", "_parent_report", "_keeper"),
    *("_adopt", "_provenance", "_datasets", "_gpu", "_system"),
    *("_fit_params", "_fit_run", "_fit_record", "_trial_report", "callback", "demo"),
    *("_study_log",),
    *("_interrupt", "_objective", "_ranks", "_failures", "_search_result", "search"),
    *(
        "_progress",
        "_report",
        "_search_cli",
        "_ui",
        "_report_cli",
        "_print",
        "_catalog_cli",
        "cli",
    ),
    *("__init__", "__main__"),
)
LIGHT = ("errors", "_fields", "_shape", "_scales", "_sense", "_yaml", "_parts")
LIGHT += ("_searched", "recipe")
LIGHT += ("_length", "_rules", "adapt", "_show_adapted")
LIGHT += ("_recipe_file", "_index", "_query", "_compare", "_cite", "_stats")
LIGHT += ("_print", "_catalog_cli", "_schema", "_spread")
LIGHT += ("catalog", "_show", "cli", "__init__", "__main__")
SEARCH_WING = (*LIGHT[:-3], "_axis", "_refine", "_natural", "space", "_history")
SEARCH_WING += ("_rounds", "_why", "_draw", "_published", "_cube", "_column")
SEARCH_WING += ("_surrogate", "_evidence", "_propose", "_joint", "sampler", "pruner")
TRAINING_WING = (*FLOORS[FLOORS.index("_bn_columns") : FLOORS.index("_store")],)
TRAINING_WING += ("tracking", "_bn_sinks", "_bn_files", "_due", "_bn_watch")
TRAINING_WING += ("_lightning", "batchnorm_monitor", "_logged")
TRAINING_WING += ("_system", "_fit_record", "_fit_run", "_trial_report", "callback")


def imports(tree: ast.AST, *, only_when_loaded: bool = False) -> Iterator[str]:
    """The modules that a file imports: all, or only what loading the file loads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            files = [n.name for n in node.names if n.name in FILES]
            if node.module == "paperstart" and files:  # from paperstart import demo
                yield from (f"paperstart.{name}" for name in files)
            else:
                yield node.module or ""
        elif only_when_loaded and (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        ):
            continue
        else:
            yield from imports(node, only_when_loaded=only_when_loaded)


def tree_of(stem: str) -> ast.AST:
    """The syntax tree of one file of the package."""
    return ast.parse((PACKAGE / f"{stem}.py").read_text(encoding="utf-8"))


def own_imports(stem: str, *, only_when_loaded: bool = False) -> set[str]:
    """The files of the package that a file imports, also late or for types only."""
    found = imports(tree_of(stem), only_when_loaded=only_when_loaded)
    names = {name for name in found if name.partition(".")[0] == "paperstart"}
    return {name.partition(".")[2] or "__init__" for name in names}


def roots(stem: str, *, only_when_loaded: bool = False) -> set[str]:
    """The packages that a file imports."""
    found = imports(tree_of(stem), only_when_loaded=only_when_loaded)
    return {name.partition(".")[0] for name in found}


def loaded(*arguments: str) -> set[str]:
    """The packages that a fresh Python has loaded when it ends."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        check=True,
    )
    lines = [
        line for line in done.stderr.splitlines() if line.startswith("import time:")
    ]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


class TestDirection:
    """Which file may import which."""

    def test_there_is_no_circle(self) -> None:
        """Two files import each other, be it late or by way of others."""
        try:
            TopologicalSorter({stem: own_imports(stem) for stem in FILES}).prepare()
        except CycleError as error:
            pytest.fail(" -> ".join(error.args[1]))

    @pytest.mark.parametrize("stem", FILES)
    def test_imports_point_down(self, stem: str) -> None:
        """A file imports one that stands above it, or itself."""
        below = FLOORS[: FLOORS.index(stem)] if stem in FLOORS else FLOORS
        above = set(FLOORS) - set(below)

        assert own_imports(stem) & above == set()

    @pytest.mark.parametrize("stem", FILES)
    def test_inside_nobody_comes_through_the_door(self, stem: str) -> None:
        """A file imports from ``paperstart`` or the command line, which import it."""
        doors = {"__init__"} if stem == "__main__" else {"__init__", "cli"}

        assert own_imports(stem) & doors == set()

    def test_the_floors_exist(self) -> None:
        """A file has gone, and the rules above speak of nothing."""
        assert set(FLOORS) <= set(FILES)


class TestWings:
    """The wings meet in the recipe, and nowhere else."""

    @pytest.mark.parametrize("stem", SEARCH_WING)
    def test_the_search_knows_no_training(self, stem: str) -> None:
        """A sampler needs torch, Lightning or MLflow."""
        training = {"torch", "lightning", "pytorch_lightning", "mlflow"}

        assert roots(stem) & training == set()
        assert own_imports(stem) & set(TRAINING_WING) == set()

    @pytest.mark.parametrize("stem", TRAINING_WING)
    def test_the_training_knows_no_catalog(self, stem: str) -> None:
        """A callback that is given no recipe's name loads what reads recipe files."""
        search = {"catalog", "_yaml", "sampler", "space"}

        assert own_imports(stem, only_when_loaded=True) & search == set()

    @pytest.mark.parametrize("stem", ["_axis", "_refine", "_scales"])
    def test_arithmetic_knows_no_framework(self, stem: str) -> None:
        """Plain arithmetic needs a framework."""
        assert roots(stem) & (HEAVY - {"numpy"}) == set()
        assert own_imports(stem) <= {"errors"}

    @pytest.mark.parametrize("stem", LIGHT)
    def test_the_catalog_is_light(self, stem: str) -> None:
        """A file on the way to a recipe loads what costs time."""
        assert roots(stem, only_when_loaded=True) & HEAVY == set()


class TestDoors:
    """What a fresh Python loads."""

    def test_the_package_alone_loads_nothing(self) -> None:
        """``import paperstart`` costs more than a moment."""
        found = loaded("-c", "import paperstart")

        assert "paperstart" in found
        assert found & (HEAVY | {"yaml", "click", "rich"}) == set()

    def test_a_search_and_a_report_need_no_training(self) -> None:
        """Whoever searches without torch, or makes a report, loads it all the same."""
        found = loaded("-c", "import paperstart._report_cli, paperstart.search")

        assert "mlflow" in found
        assert found & {"torch", "lightning", "pytorch_lightning"} == set()

    @pytest.mark.parametrize(
        "arguments",
        [
            ("-m", "paperstart", "recipe", "resnet50"),
            ("-m", "paperstart", "recipe", "resnet-50", "--json"),
            ("-m", "paperstart", "recipe", "densenet121", "--batch-size", "64"),
            ("-m", "paperstart", "recipes"),
            ("-m", "paperstart", "--help"),
            ("-c", "import paperstart as p; p.load_recipe('resnet50'), p.Recipe"),
        ],
    )
    def test_the_catalog_loads_no_framework(self, arguments: tuple[str, ...]) -> None:
        """Whoever asks for a recipe waits for torch, Optuna, MLflow or NumPy."""
        found = loaded(*arguments)

        assert "paperstart" in found
        assert found & HEAVY == set()

    def test_the_promise_is_a_sorted_list(self) -> None:
        """A public name is missing in ``dir``, or stands out of order."""
        assert sorted(paperstart.__all__) == paperstart.__all__
        assert set(paperstart.__all__) <= set(dir(paperstart))
        assert set(paperstart.__all__).isdisjoint(FILES)

    @pytest.mark.parametrize("name", paperstart.__all__)
    def test_every_public_name_is_there(self, name: str) -> None:
        """A public name cannot be imported."""
        assert getattr(paperstart, name).__name__ == name

    def test_another_name_is_an_attribute_error(self) -> None:
        """A misspelled name ends in another error than Python's own."""
        with pytest.raises(AttributeError, match="has no attribute 'Recipes'"):
            _ = paperstart.Recipes  # type: ignore[attr-defined]
