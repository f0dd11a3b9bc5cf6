"""A broken recipe file is refused at its line: what was found, what to write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from recipe_text import GOOD

from paperstart.catalog import MAX_BYTES, check_recipes, read_recipe
from paperstart.errors import RecipeFormatError


def write(folder: Path, text: str | bytes, name: str = "own.yaml") -> Path:
    """A file with this text."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path: Path) -> str:
    """What the error says about the file at ``path``, after its name."""
    with pytest.raises(RecipeFormatError) as caught:
        read_recipe(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


CHANGES = [
    # (what is there, what is written instead, line, what the message says)
    (" 0.1", " 1e-4", 10, "learning_rate.value: found 1e-4, which YAML reads as text;"),
    (" 0.1", " 1e-4", 10, "write 1.0e-4,"),
    (" 0.1", " fast", 10, "found 'fast', which is not a number; write 1.0e-4."),
    (" 0.1", " yes", 10, 'found yes (YAML: bool); write true or false, or "yes"'),
    (" 0.1", " 010", 10, "found 010 (YAML: int); write a plain decimal number"),
    (" 0.1", " 1:30", 10, "found 1:30 (YAML: int); write a plain decimal number"),
    (" 0.1", " .nan", 10, "found .nan (YAML: float); write a finite decimal number"),
    (" 0.1", " .inf", 10, "found .inf (YAML: float); write a finite decimal number"),
    (" 0.1", " 1.0e+999", 10, "write a finite decimal number such as 1.0e-4."),
    (" 0.1", " !mine 0.1", 10, "found 0.1 (YAML: !mine); leave the tag out."),
    (
        " 0.1",
        " &a 0.1\n    unit: *a",
        11,
        "found a YAML alias (*name); write the value",
    ),
    (" 0.1", ' "a\\u202Eb"', 10, "found 'a\\u202eb'; write one line of visible text."),
    (" 0.1", " 0.1\n    low: 0.2", 10, "found 0.1 outside its own range 0.2 to 1.0;"),
    (" 0.1", " 0.1\n    low: 1e-2", 11, "low: found 1e-2, which YAML reads as text"),
    (" 0.1", " 0.1\n    low: 'x'", 11, "low: found 'x'; write a finite number such as"),
    (" 0.1", " 0.1\n    value: 0.2", 11, "value: found twice, first on line 10;"),
    (
        " 0.1",
        " 0.1\n    lr: 0.2",
        11,
        "lr: found an unknown key; leave it out, or mend",
    ),
    (" 0.1", " 0.1\n    int: 0.2", 11, "learning_rate.int: found an unknown key"),
    (" 0.1", " 0.1\n    scale: logarithmic", 11, "found 'logarithmic'; write 'log', "),
    (" 0.1", " 0.1\n    alternatives: 5", 11, "alternatives: found 5; write a list"),
    (" 0.1", " 0.1\n    alternatives: [x]", 11, "found 'x'; write keys with values"),
    ("learning_rate:", "rate:", 9, "rate.scale: found nothing, and rate is not a"),
    (
        "learning_rate:",
        "Rate-1:",
        9,
        "found 'Rate-1'; write lower-case words, joined by",
    ),
    ("source: {", "origin: {", 9, "source: found nothing; write source: {kind: paper,"),
    ("source: {", "origin: {", 11, "origin: found an unknown key"),
    ("source: {", "source: x #", 11, "source: found 'x'; write source: {kind: paper,"),
    ("where: table 2, ", "", 11, "source.where: found nothing; write where:."),
    ("where: table 2", "where: ' '", 11, "found ' '; write one line of visible text"),
    ("where: table 2", "where: 2", 11, "where: found 2; write text, in quotes if"),
    (
        "kind: paper",
        "kind: blog",
        11,
        "found 'blog'; write 'paper', 'official-code' or",
    ),
    ('"https://', '"file://', 11, "write a web address: https://arxiv.org/abs/"),
    (
        '"2010.11920"',
        "2010.11920",
        4,
        "arxiv: found the number 2010.11920; write it in",
    ),
    ('"2010.11920"', '"2010.11920v2"', 4, "write an arXiv id without its version:"),
    ("2020", '"2020"', 5, "year: found '2020'; write a whole number."),
    ("2020", "202", 5, "year: found 202; write a number of at least 1950."),
    ("2020", "20200", 5, "year: found 20200; write a number of at most 2100."),
    ("A title", "1984", 2, "title: found 1984; write text, in quotes if YAML takes"),
    (
        "A title",
        "a: b",
        2,
        "not YAML: mapping values are not allowed in this context; put",
    ),
    (
        "A title",
        "no",
        2,
        'title: found no (YAML: bool); write true or false, or "no" in',
    ),
    ("A title", "", 2, "title: found nothing (YAML: null); write a value, or leave"),
    ("A title", "a\x07b", 2, "found the control character '\\x07'; leave it out."),
    ("A title", '"a\\nb"', 2, "found 'a\\nb'; write one line of visible text."),
    ("title:", "\ttitle:", 2, "not YAML: "),
    (
        "id: own",
        "id: Own",
        1,
        "found 'Own'; write lower-case letters and digits, joined",
    ),
    ("id: own", f"id: {'a' * 81}", 1, "write at most 80 characters."),
    (
        "id: own",
        "id: other",
        1,
        "found 'other' in a file named own.yaml; write id: own",
    ),
    ("id: own\n", "", 1, "id: found nothing; write id:."),
    ("2026-01-31", "2026-02-31", 12, "found 2026-02-31: day"),
    (
        "2026-01-31",
        "yesterday",
        12,
        "checked: found 'yesterday'; write a day: 2026-01-31",
    ),
    ("2026-01-31", "5", 12, "checked: found 5; write a day: 2026-01-31."),
    (
        "checked:",
        "aliases: [A]\nchecked:",
        12,
        "aliases.0: found 'A'; write lower-case",
    ),
    ("checked:", "aliases: a\nchecked:", 12, "aliases: found 'a'; write a list: [one,"),
]


NAMES = [f"a{i}" for i in range(15_000)]
COSTLY = {
    "digits": (
        GOOD.replace(" 0.1", " 0" + "8" * 5000),
        f"which YAML reads as text; write {'8' * 57}..., or put it in quotes",
    ),
    "undisclosed": (
        f"{GOOD}undisclosed: [{','.join(NAMES)}, {NAMES[-1]}]\n",
        "found a14999, which is named above",
    ),
    "choices": (
        GOOD.replace(" 0.1", f" sgd\n    choices: [{','.join(NAMES)}]"),
        "found 'sgd', which is not a number",
    ),
    "alternatives": (
        GOOD.replace(
            "learning_rate:\n    value: 0.1",
            "optimizer:\n    value: sgd\n    alternatives: ["
            + ",".join(f"{{value: {name}}}" for name in NAMES[:6000])
            + "]",
        ),
        "alternatives.0.source: found nothing",
    ),
    "problems": (
        f"{GOOD}aliases: [{'A,' * 15_000}]\n",
        "aliases.0: found 'A'; write lower-case letters",
    ),
    "values": ("- a: b\n" * 35_000, "found more than 20,000 values; split the file."),
    "directives": (
        "".join(f"%TAG !a{i}! b\n" for i in range(16_000)) + "---\n" + GOOD,
        ":1: found a directive (%); leave the line out.",
    ),
    "bomb": (
        "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(1000)),
        ":1: b0.0: found a YAML alias (*name); write the value out.",
    ),
}


class TestBrokenFiles:
    """A broken file is refused at its line: what was found, what to write."""

    @pytest.mark.parametrize(
        ("old", "new", "line", "words"), CHANGES, ids=[repr(c[1])[:40] for c in CHANGES]
    )
    def test_one_mistake(
        self, tmp_path: Path, old: str, new: str, line: int, words: str
    ) -> None:
        """A mistake is taken, or its message lacks its line, or how to mend it."""
        text = GOOD.replace(old, new, 1)
        assert text != GOOD

        lines = refusal(write(tmp_path, text)).splitlines()

        assert any(words in said for said in lines)
        assert all(said.endswith(".") for said in lines)
        assert f":{line}: " in "".join(said for said in lines if words in said)

    def test_every_mistake_has_its_line(self, tmp_path: Path) -> None:
        """Whoever mends a file learns of its mistakes one after the other."""
        text = GOOD.replace("2020", "1066").replace("value: 0.1", "value: -1.0")
        path = write(tmp_path, text.replace("CIFAR-10", "''").replace("paper", "blog"))

        with pytest.raises(RecipeFormatError) as caught:
            read_recipe(path)

        lines = str(caught.value).splitlines()
        assert [said.split(":")[1] for said in lines] == ["5", "7", "11"]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", ": found an empty file; write a recipe."),
            ("# nothing\n", ": found an empty file; write a recipe."),
            ("- id: own\n", ":1: found no keys; write id:, title:, and so on."),
            ("own\n", ":1: found no keys; write id:, title:, and so on."),
            ("[" * 60_000, ":1: found too many levels; write it flat."),
            (GOOD + "---\n" + GOOD, "write one recipe in each file, without ---."),
            (b"title: caf\xe9\n", ":1: is not UTF-8 text (byte e9); save it as UTF-8."),
            (
                GOOD.encode("utf-16"),
                ":1: is not UTF-8 text (byte ff); save it as UTF-8.",
            ),
            (
                GOOD + "#" * MAX_BYTES,
                ": has more than the 262,144 bytes of a recipe; shorten it.",
            ),
        ],
    )
    def test_a_file_that_is_no_recipe(
        self, tmp_path: Path, text: str | bytes, words: str
    ) -> None:
        """A file of something else is read, or refused without saying why."""
        assert words in refusal(write(tmp_path, text))

    @pytest.mark.parametrize(("text", "words"), COSTLY.values(), ids=COSTLY)
    def test_a_file_that_would_take_minutes(
        self, tmp_path: Path, text: str, words: str
    ) -> None:
        """A small file keeps the reader busy, or ends it with another error."""
        assert len(text) <= MAX_BYTES

        lines = refusal(write(tmp_path, text)).splitlines()

        assert words in lines[0]
        assert len(lines) <= 101

    def test_long_but_right(self, tmp_path: Path) -> None:
        """A long text of digits is taken for a number again and again."""
        text = GOOD.replace("A title", "1" * 200_000 + "x")

        assert len(read_recipe(write(tmp_path, text)).title) == 200_001

    def test_as_many_bytes_as_are_allowed(self, tmp_path: Path) -> None:
        """A file of just the right size is refused."""
        path = write(tmp_path, (GOOD + "#" * MAX_BYTES)[:MAX_BYTES])

        assert read_recipe(path).id == "own"

    def test_a_byte_order_mark_and_windows_line_ends(self, tmp_path: Path) -> None:
        """A file that was saved on Windows is refused."""
        text = "\ufeff" + GOOD.replace("\n", "\r\n")

        assert read_recipe(write(tmp_path, text)).title == "A title"


class TestUnreadable:
    """What cannot be read is refused with its name and the reason."""

    def test_a_missing_file(self, tmp_path: Path) -> None:
        """A missing file ends in another error than ours."""
        assert refusal(tmp_path / "no.yaml") == (
            ": cannot be read (No such file or directory); "
            "check the path and its permissions."
        )

    def test_a_folder(self, tmp_path: Path) -> None:
        """A folder is read as a file."""
        assert refusal(tmp_path) == ": is a folder; name a recipe file."

    def test_a_pipe(self, tmp_path: Path) -> None:
        """Reading waits for ever for somebody to write."""
        os.mkfifo(tmp_path / "own.yaml")

        assert refusal(tmp_path / "own.yaml") == ": is not a file; name a recipe file."

    def test_a_link_to_itself(self, tmp_path: Path) -> None:
        """A loop of links ends in another error than ours."""
        loop = tmp_path / "own.yaml"
        loop.symlink_to(loop)

        assert "cannot be read (Too many levels of symbolic links)" in refusal(loop)
        assert "cannot be read" in check_recipes([loop])[0]

    @pytest.mark.parametrize("name", ["a" * 300 + ".yaml", "a\0b.yaml"])
    def test_an_impossible_name(self, name: str) -> None:
        """A name that no file can have ends in another error than ours."""
        (message,) = check_recipes([Path(name)])

        assert "cannot be read (" in message
        assert message.isprintable()

    def test_a_file_without_permission(self, closed: Path) -> None:
        """A file that one may not read ends in another error than ours."""
        assert refusal(closed) == (
            ": cannot be read (Permission denied); check the path and its permissions."
        )

    @pytest.fixture
    def closed(self) -> Iterator[Path]:
        """A file that this process may not read, also where root runs the tests."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            path = write(Path(folder), GOOD)
            path.chmod(0)
            is_root = os.geteuid() == 0
            if is_root:
                try:
                    os.seteuid(65534)
                except OSError:
                    pytest.skip("root cannot become another user here")
            try:
                yield path
            finally:
                if is_root:
                    os.seteuid(0)


class TestCheck:
    """Files and folders of recipes, checked together."""

    def test_good_files_need_no_words(self, tmp_path: Path) -> None:
        """A file that is right is complained about, also if it is named twice."""
        path = write(tmp_path, GOOD)

        assert check_recipes([path, tmp_path, path]) == []

    def test_each_broken_file_is_named(self, tmp_path: Path) -> None:
        """The first broken file hides the others."""
        write(tmp_path, GOOD)
        bad = [write(tmp_path, "[", f"{name}.yaml") for name in "ab"]

        problems = check_recipes([tmp_path])

        assert [p.startswith(str(b)) for p, b in zip(problems, bad, strict=True)] == [
            True,
            True,
        ]

    def test_a_name_that_two_recipes_have(self, tmp_path: Path) -> None:
        """Two recipes have one name, spelled in two ways, and only one can be found."""
        for name, alias in (("a", "my-net"), ("b", "my_net")):
            text = GOOD.replace("id: own", f"id: {name}\naliases: [{alias}]")
            write(tmp_path, text, f"{name}.yaml")

        assert check_recipes([tmp_path]) == [
            f"{tmp_path / 'b.yaml'}: found the name 'my-net', which "
            f"{tmp_path / 'a.yaml'} has too; leave it out of one of the two."
        ]

    def test_a_folder_without_recipes(self, tmp_path: Path) -> None:
        """A mistyped folder passes the check."""
        write(tmp_path, "[", ".hidden.yaml")

        (message,) = check_recipes([tmp_path])

        assert "found no recipe file (*.yaml) in this folder" in message
