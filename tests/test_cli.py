"""The commands ``recipe``, ``recipes`` and ``check``, as a shell sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import paperstart
from paperstart import list_recipes
from paperstart.cli import main

CHECKOUT = Path(__file__).parents[1]
ENVIRONMENT = {
    **{name: text for name, text in os.environ.items() if name != "FORCE_COLOR"},
    "PYTHONPATH": str(Path(paperstart.__file__).parents[1]),
    "PYTHONIOENCODING": "utf-8",
}
BROKEN = {
    "syntax": "id: broken\ntitle: [\n",
    "text for a number": "id: broken\nyear: 1e-4\n",
    "key given twice": "id: broken\nid: broken\n",
    "empty": "",
    "a list": "- id: broken\n",
    "deep": "[" * 60_000,
    "not UTF-8": b"\xff\xfe",
    "a control character": "id: \x1b[2J\n",
    "large": "#" * 300_000,
}


def shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``paperstart`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "paperstart", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**ENVIRONMENT, **environment},
        check=False,
    )


def run(*arguments: str, patch: pytest.MonkeyPatch) -> int:
    """The exit code of ``paperstart``, run in this process."""
    patch.setattr(sys, "argv", ["paperstart", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def own_recipe(folder: Path, old: str, new: str) -> Path:
    """A copy of a catalog's recipe, changed, as a user may have it."""
    text = (CHECKOUT / "recipes" / "resnet50.yaml").read_text().replace(old, new, 1)
    path = folder / "resnet50.yaml"
    path.write_text(text, encoding="utf-8")
    return path


class TestAnswers:
    """Data goes to stdout, and only data."""

    def test_a_recipe_for_people(self) -> None:
        """A value, its source or what is undisclosed is not on the page."""
        done = shell("recipe", "resnet50")

        assert (done.returncode, done.stderr) == (0, "")
        rows = {line.split()[0]: line for line in done.stdout.splitlines() if line}
        assert "0.1" in rows["learning_rate"]
        assert "section 3.4" in rows["learning_rate"]
        assert "lr_decay_steps" in rows["undisclosed"]
        assert "https://" in rows["source"]

    def test_a_recipe_as_json(self) -> None:
        """``--json`` prints what no program can read, or not the contract's keys."""
        done = shell("recipe", "ResNet-50", "--json")

        assert (done.returncode, done.stderr) == (0, "")
        data = json.loads(done.stdout)
        assert (data["id"], data["arxiv"], data["year"]) == (
            "resnet50",
            "1512.03385",
            2015,
        )
        rate = data["hyperparameters"]["learning_rate"]
        assert (rate["value"], rate["scale"]) == (0.1, "log")
        assert rate["low"] < 0.1 < rate["high"]
        assert rate["source"]["where"] == "section 3.4"

    def test_the_catalog(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A recipe is missing in the list for people, or in the one for programs."""
        assert run("recipes", patch=monkeypatch) == 0
        table = capsys.readouterr().out.splitlines()
        assert run("recipes", "--json", patch=monkeypatch) == 0
        data = json.loads(capsys.readouterr().out)

        assert [line.split()[0] for line in table[1:]] == list_recipes()
        assert [entry["id"] for entry in data] == list_recipes()

    def test_one_task(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """``--task`` shows recipes of other tasks."""
        arguments = ("recipes", "--json", "--task", "image-generation")
        assert run(*arguments, patch=monkeypatch) == 0
        data = json.loads(capsys.readouterr().out)

        assert {entry["task"] for entry in data} == {"image-generation"}

    def test_a_right_file_needs_no_words(self) -> None:
        """``check`` complains about the catalog, or talks where nothing is wrong."""
        done = shell("check", str(CHECKOUT / "recipes"))

        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_lines_are_whole_in_a_pipe(self, tmp_path: Path) -> None:
        """A long note is folded, or a line filled up with blanks."""
        note = "many words " * 100
        path = own_recipe(tmp_path, "\nnote: ", f"\nnote: {note}")

        lines = shell("recipe", str(path)).stdout.splitlines()

        assert any(note.strip() in line for line in lines)
        assert all(line == line.rstrip() for line in lines)

    def test_text_is_shown_as_it_is_written(self, tmp_path: Path) -> None:
        """A recipe's brackets, colons and backslashes are taken for markup."""
        title = "[red]x[/red] a.py:100: [30] :smile: C:\\"
        path = own_recipe(tmp_path, "title: ", f"title: '{title}' # ")

        assert title in shell("recipe", str(path)).stdout

    @pytest.mark.parametrize("form", [(), ("--json",)])
    def test_an_old_terminal(self, tmp_path: Path, form: tuple[str, ...]) -> None:
        """A letter that stdout's encoding lacks ends the command."""
        path = own_recipe(tmp_path, "title: ", "title: Caffè β # ")

        done = shell("recipe", str(path), *form, PYTHONIOENCODING="ascii")

        assert (done.returncode, done.stderr) == (0, "")
        assert "Caff" in done.stdout
        if form:
            assert json.loads(done.stdout)["title"] == "Caffè β"


class TestWrongUsage:
    """Exit code 2 and one message on stderr; nothing on stdout, no traceback."""

    @pytest.mark.parametrize("command", ["recipe", "check"])
    def test_a_broken_file(self, tmp_path: Path, command: str) -> None:
        """A broken file ends in a traceback, in another code, or in silence."""
        path = own_recipe(tmp_path, "2015", "1e-4")

        done = shell(command, str(path))

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert f"{path}:6: year: found 1e-4, which YAML reads as text" in done.stderr

    @pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
    @pytest.mark.parametrize("command", ["recipe", "check"])
    def test_every_kind_of_broken_file(
        self,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        command: str,
        text: str | bytes,
    ) -> None:
        """A broken file is taken, or its message is not one line that names it."""
        path = tmp_path / "broken.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

        assert run(command, str(path), patch=monkeypatch) == 2

        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert str(path) in err
        assert err.rstrip("\n").isprintable()

    @pytest.mark.parametrize("name", ["missing.yaml", ".", "a" * 300 + ".yaml"])
    def test_what_is_no_file(
        self,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        name: str,
    ) -> None:
        """What is no file, or an empty folder, passes the check."""
        assert run("check", name, patch=monkeypatch) == 2

        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"{name}: ")

    def test_an_unknown_recipe(self) -> None:
        """A wrong name gets another code, or no hint."""
        done = shell("recipe", "resnet5")

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(
            "Error: No recipe is named 'resnet5'. Did you mean resnet50"
        )
        assert done.stderr.count("\n") == 1

    def test_an_unknown_task(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A wrong task shows an empty catalog."""
        assert run("recipes", "--task", "chess", patch=monkeypatch) == 2

        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("Error: No recipe has the task 'chess'. There are: ")
        assert "image-classification" in err

    @pytest.mark.parametrize(
        "arguments", [["recipe"], ["check"], ["recip", "resnet50"]]
    )
    def test_wrong_arguments(
        self,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        arguments: list[str],
    ) -> None:
        """A command without its argument does something."""
        assert run(*arguments, patch=monkeypatch) == 2
        assert capsys.readouterr().out == ""

    def test_all_broken_files_are_named(
        self,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """``check`` stops at the first broken file."""
        for name in "ab":
            (tmp_path / f"{name}.yaml").write_text("[")

        assert run("check", "a.yaml", "b.yaml", patch=monkeypatch) == 2

        lines = capsys.readouterr().err.splitlines()
        assert [line.partition(":")[0] for line in lines] == ["a.yaml", "b.yaml"]


class TestStdout:
    """A stdout that takes no data is no reason for a traceback."""

    @pytest.mark.parametrize("form", [[], ["--json"]])
    def test_a_reader_that_went_away(self, form: list[str]) -> None:
        """``paperstart recipe resnet50 | true`` complains."""
        read_end, write_end = os.pipe()
        os.close(read_end)

        done = subprocess.run(
            [sys.executable, "-m", "paperstart", "recipe", "resnet50", *form],
            stdout=write_end,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            check=False,
        )
        os.close(write_end)

        assert (done.returncode, done.stderr) == (1, b"")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
    def test_a_full_disk(self) -> None:
        """An answer that cannot be written ends in a traceback, or in silence."""
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "paperstart", "recipe", "resnet50"],
                stdout=full,
                stderr=subprocess.PIPE,
                env=ENVIRONMENT,
                check=False,
            )

        assert done.returncode == 1
        assert done.stderr == (
            b"Error: cannot write to stdout (No space left on device).\n"
        )

    def test_no_stdout_at_all(self) -> None:
        """A stdout that is closed (``>&-``) ends the command with a traceback."""
        code = "import sys; sys.stdout = None; from paperstart.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, "recipe", "resnet50"],
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            check=False,
        )

        assert (done.returncode, done.stderr) == (0, b"")
