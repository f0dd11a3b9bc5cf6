"""A recipe file's text becomes plain values, or an error that a person can act on."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paperstart import _yaml
from paperstart._yaml import MAX_DEPTH, Document, read_yaml
from paperstart.errors import RecipeFormatError

any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
LOADERS = [yaml.SafeLoader]
if hasattr(yaml, "CSafeLoader"):
    LOADERS.append(yaml.CSafeLoader)


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of PyYAML's loaders: a machine without libyaml has the slow one alone."""
    monkeypatch.setattr(_yaml, "_LOADER", request.param)


def refusal(text: str) -> str:
    """What the error says about ``text``."""
    with pytest.raises(RecipeFormatError) as caught:
        read_yaml(text, "f.yaml")
    return str(caught.value)


@pytest.mark.usefixtures("loader")
class TestPlainValues:
    """What reads as it looks is taken as it looks."""

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("0.1", 0.1),
            ("1.0e-4", 1e-4),
            ("1.e+5", 1e5),
            (".5", 0.5),
            ("-3", -3),
            ("0", 0),
            ("600000", 600000),
            ("true", True),
            ("false", False),
            ("adam", "adam"),
            ("'1e-4'", "1e-4"),
            ('"2010.11920"', "2010.11920"),
            ('"no"', "no"),
            ("2026-01-31", datetime.date(2026, 1, 31)),
            ("[30, 60]", [30, 60]),
            ("{a: [1, {b: c}]}", {"a": [1, {"b": "c"}]}),
            ("1.2.3", "1.2.3"),
            ("._", "._"),
            ("٣", "٣"),  # a digit, but not one of YAML's
        ],
    )
    def test_a_value_keeps_its_type(self, text: str, value: object) -> None:
        """A value is read as another type than the one that it shows."""
        read = read_yaml(f"key: {text}", "f.yaml").data["key"]

        assert read == value
        assert type(read) is type(value)

    def test_the_line_of_a_key_is_known(self) -> None:
        """An error deep in a file cannot name its line."""
        document = read_yaml("a: 1\nb:\n  - c: 2\n    d: 3\n", "f.yaml")

        assert document.line(("b", 0, "d")) == 4
        assert document.line(("b", 0, "missing")) == 3

    def test_windows_line_ends_count_as_one(self) -> None:
        """A file from Windows reads otherwise, or on other lines."""
        document = read_yaml("a: 1\r\nb: 2\r\n", "f.yaml")

        assert document.data == {"a": 1, "b": 2}
        assert document.line(("b",)) == 2


TRAPS = [
    ("1e-4", "a: found 1e-4, which YAML reads as text; write 1.0e-4,"),
    ("1.0e4", "a: found 1.0e4, which YAML reads as text; write 1.0e+4,"),
    ("-1E5", "write -1.0e+5,"),
    ("+.5", "write +0.5,"),
    ("08", "write 8, or put it in quotes"),
    ("010", "a: found 010 (YAML: int); write a plain decimal number"),
    ("0x1F", "a: found 0x1F (YAML: int); write a plain decimal number"),
    ("1_000", "a: found 1_000 (YAML: int); write a plain decimal number"),
    ("12:30:45", "a: found 12:30:45 (YAML: int); write a plain decimal number"),
    ("12:30.5", "a: found 12:30.5 (YAML: float); write a finite decimal number"),
    ("9" * 19, "(YAML: int); write a plain decimal number"),
    (".nan", "a: found .nan (YAML: float); write a finite decimal number"),
    ("-.inf", "a: found -.inf (YAML: float); write a finite decimal number"),
    ("1.0e+400", "a: found 1.0e+400 (YAML: float); write a finite decimal number"),
    ("no", 'a: found no (YAML: bool); write true or false, or "no" in quotes'),
    ("Yes", 'a: found Yes (YAML: bool); write true or false, or "Yes" in quotes'),
    ("on", 'write true or false, or "on" in quotes'),
    ("", "a: found nothing (YAML: null); write a value, or leave the key out"),
    ("~", "a: found ~ (YAML: null); write a value, or leave the key out"),
    ("2026-02-30", "a: found 2026-02-30: day"),
    ("2026-01-31 10:00:00", "(YAML: timestamp); write a day such as 2026-01-31"),
    ("=", "a: found = (YAML: value); put it in quotes"),
    ("!lr 0.1", "a: found 0.1 (YAML: !lr); leave the tag out"),
    ("!!binary aGk=", "a: found aGk= (YAML: binary); leave the tag out"),
    ("!!python/name:os.system", "leave the tag out"),
    ("!!set {x, y}", "a: found the tag tag:yaml.org,2002:set; leave the tag out"),
    ("!mine [1]", "a: found the tag !mine; leave the tag out"),
    ("{1: x}", "a: found the key 1, which is not a name; write a word"),
    ("{yes: x}", "a: found the key yes, which is not a name; write a word"),
    ("{[b]: x}", "a: found the key a list or a mapping, which is not a name"),
]


@pytest.mark.usefixtures("loader")
class TestTraps:
    """What YAML reads as other than it looks is refused, with a spelling that works."""

    @pytest.mark.parametrize(("text", "words"), TRAPS)
    def test_a_trap_is_named(self, text: str, words: str) -> None:
        """A value that YAML misreads is taken, or refused without a way to write it."""
        message = refusal(f"first: 1\na: {text}\n")

        assert message.startswith("f.yaml:2: ")
        assert words in message

    def test_an_arxiv_id_needs_quotes(self) -> None:
        """An arXiv id that is read as a number loses its last zero."""
        message = refusal("arxiv: 2010.11920\n")

        assert message == (
            "f.yaml:1: arxiv: found the number 2010.11920; "
            'write it in quotes: "2010.11920".'
        )

    def test_a_key_given_twice(self) -> None:
        """The second of two equal keys silently wins."""
        message = refusal("a: 1\nb: 2\na: 3\n")

        assert message == (
            "f.yaml:3: a: found twice, first on line 1; keep one of the two."
        )

    @pytest.mark.parametrize(
        "text", ["a: &x [1]\nb: *x\n", "a: &x {b: 1}\nc: [*x, *x]\n", "a: &x [*x]\n"]
    )
    def test_an_alias(self, text: str) -> None:
        """A small file can grow without end, or hold itself."""
        assert "found a YAML alias (*name); write the value out." in refusal(text)

    def test_a_merge_key(self) -> None:
        """Keys come from elsewhere, and nobody sees from where."""
        assert "found the key <<" in refusal("a: &x {b: 1}\nc:\n  <<: *x\n")


@pytest.mark.usefixtures("loader")
class TestNotYaml:
    """A text that is not YAML is refused at its line, with a hint."""

    @pytest.mark.parametrize(
        ("text", "line", "words"),
        [
            ("a: 1\nb: [1, 2\n", 3, "not YAML: while parsing a flow sequence"),
            ("a: x: y\n", 1, 'put text that has ": " in it in quotes'),
            ("a:\n\tb: 1\n", 2, "indent with spaces"),
            ("a: 1\n  b: 2\n", 2, "not YAML"),
            ("a: 1\n---\nb: 1\n", 2, "write one recipe in each file, without ---"),
            ("a: *nothing\n", 1, "found undefined alias"),
            ("a: 1\nb: \x07\n", 2, "found the control character '\\x07'; leave it out"),
            ("a: \x00\n", 1, "found the control character '\\x00'; leave it out"),
            ("a: \ud800\n", 1, "found the control character '\\ud800'; leave it out"),
        ],
    )
    def test_broken_syntax(self, text: str, line: int, words: str) -> None:
        """Broken syntax goes without its line, or without a word on how to mend it."""
        message = refusal(text)

        assert message.startswith(f"f.yaml:{line}: ")
        assert words in message

    @pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
    def test_an_empty_file(self, text: str) -> None:
        """An empty file is taken for a recipe."""
        assert "found an empty file; write a recipe." in refusal(text)

    def test_a_key_cannot_write_on_the_terminal(self) -> None:
        """A message carries an escape sequence of the file to the terminal."""
        message = refusal('"\\e[2Jx": 1\n"\\e[2Jx": 2\n')

        assert message.isprintable()
        assert "\\x1b[2Jx: found twice" in message

    def test_a_long_value_is_cut(self) -> None:
        """A message repeats a whole file."""
        assert len(refusal(f"a: 1{'_1' * 5000}\n")) < 300

    @pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
    def test_as_many_levels_as_a_recipe_needs(self, opening: str) -> None:
        """A file of many levels is read, though no recipe has so many."""
        assert "found too many levels; write it flat." in refusal(
            opening * (MAX_DEPTH + 1)
        )


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_and_does_not_kill_python(opening: str) -> None:
    """A file of a few kilobytes ends the process: libyaml recurses on C's stack."""
    code = (
        "from paperstart._yaml import read_yaml\n"
        f"try: read_yaml({opening!r} * 60_000, 'f')\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0
    assert done.stdout == "f:1: found too many levels; write it flat.\n"


NUMBERS = st.from_regex(
    r"[-+]?([0-9]{1,4}\.?[0-9]{0,4}|\.[0-9]{1,4})([eE][-+]?[0-9]{1,2})?", fullmatch=True
)
FRAGMENTS = st.sampled_from(
    [
        *"abc:-[]{},#&*!|>'\"%@`?\n\t \\\x85",
        ": ",
        "\n  ",
        "- ",
        "1e4",
        "no",
        "~",
        "\x1b",
    ]
)


@any_speed
@given(NUMBERS)
def test_the_proposed_spelling_is_the_same_number(text: str) -> None:
    """The spelling that a message proposes is another number, or refused as well."""
    proposed = _yaml._respelled(text)

    assert float(proposed) == float(text)
    assert read_yaml(f"a: {proposed}", "f").data["a"] == float(text)


@any_speed
@given(NUMBERS, st.sampled_from(LOADERS))
def test_a_number_is_read_as_itself_or_refused(text: str, loader: type) -> None:
    """What looks like a number becomes text, or another number."""
    outcome = read_or_refusal(f"a: {text}", loader)

    if isinstance(outcome, Document):
        assert outcome.data["a"] == float(text)
    else:
        assert "a: found " in outcome


def texts() -> Iterator[st.SearchStrategy[str]]:
    """Any text, and text that is nearly YAML."""
    yield st.text(max_size=60)
    yield st.lists(FRAGMENTS, max_size=40).map("".join)


@any_speed
@given(st.one_of(*texts()), st.sampled_from(LOADERS))
def test_any_text_is_read_or_refused(text: str, loader: type) -> None:
    """A text makes the reader fail in a way that nobody catches."""
    outcome = read_or_refusal(text, loader)

    if isinstance(outcome, str):
        assert outcome.startswith("f.yaml")
        assert outcome.isprintable()


def read_or_refusal(text: str, loader: type) -> Document | str:
    """What ``text`` says, or the message that refuses it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_yaml, "_LOADER", loader)
        try:
            return read_yaml(text, "f.yaml")
        except RecipeFormatError as error:
            return str(error)
