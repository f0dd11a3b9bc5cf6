"""A BibTeX entry that BibTeX and LaTeX accept."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_recipe import data

from paperstart import list_recipes, load_recipe
from paperstart._cite import bibtex, latex
from paperstart.recipe import MOST_AUTHORS, Recipe

# What LaTeX sets: plain signs, escaped ones, and the commands that we write.
_PLAIN = r"[^\\{}$&#%_^~<>|\"]"
_COMMAND = (
    r"\\[$&#%_]|\\(?:text[a-z]+|ldots)\{\}|\{\\(?:[`'^~\"=.]|[ucrHvk])\{(?:\w|\\[ij])\}\}"
    r"|\$\\[a-z]+\$|\{\\(?:ss|o|O|l|L|ae|AE|i)\}"
)
SET_BY_LATEX = re.compile(f"(?:{_PLAIN}|{_COMMAND})*")
ENTRY = re.compile(
    r"@misc\{[a-z0-9-]+,\n(?:  [a-zA-Z]+ = \{.*\},\n)+\}", flags=re.DOTALL
)


def entry(**change: object) -> str:
    """The entry of a small recipe, changed."""
    return bibtex(Recipe.from_data({**data(), **change}))


def assert_accepted(text: str) -> None:
    """BibTeX counts braces, escaped or not; each line is one field."""
    assert ENTRY.fullmatch(text)
    for line in text.splitlines()[1:-1]:
        depth = 0
        for sign in line:
            depth += (sign == "{") - (sign == "}")
            assert depth >= 0
        assert depth == 0


def author_of(**change: object) -> str | None:
    """What BibTeX reads as the authors of that entry."""
    found = re.findall(r"^  author = \{(.*)\},$", entry(**change), flags=re.MULTILINE)
    assert len(found) <= 1
    return found[0] if found else None


def names_in(field: str) -> list[str]:
    """Where BibTeX ends a name: at each ``and`` between spaces, outside of braces."""
    names, depth = [""], 0
    for word in field.split(" "):
        if depth == 0 and word.lower() == "and":
            names.append("")
        else:
            names[-1] += f" {word}"
        depth += word.count("{") - word.count("}")
    return [name.strip() for name in names]


def test_a_paper() -> None:
    """The entry lacks what leads to the paper, or changes from run to run."""
    assert entry(title="A & B", authors=["Kaiming He", "Łukasz Kaiser"]) == (
        "@misc{own,\n"
        "  author = {Kaiming He and {\\L}ukasz Kaiser},\n"
        "  title = {{A \\& B}},\n"
        "  year = {2015},\n"
        "  eprint = {1512.03385},\n"
        "  archivePrefix = {arXiv},\n"
        "  url = {https://arxiv.org/abs/1512.03385},\n"
        "}"
    )


def test_without_authors() -> None:
    """An entry that BibTeX can sort by nothing."""
    text = entry(title="A & B")

    assert text.startswith("@misc{own,\n  title = {{A \\& B}},\n  year")
    assert "  key = {A \\& B},\n" in text
    assert "key =" not in entry(authors=["Kaiming He"])


@pytest.mark.parametrize(
    ("author", "written"),
    [
        ("{BigScience Workshop}", "{BigScience Workshop}"),
        ("{Barnes and Noble, Inc.}", "{Barnes and Noble, Inc.}"),
        ("{A & B_1}", r"{A \& B\_1}"),
        ("Adrià {Puigdomènech Badia}", r"Adri{\`{a}} {Puigdom{\`{e}}nech Badia}"),
        ("Laurens van der Maaten", "Laurens van der Maaten"),
        ("Peter O\u2019Connor", "Peter O'Connor"),
        ("D&D $x$ #1 50%", r"D\&D \$x\$ \#1 50\%"),
        ("a~b", r"a\textasciitilde{}b"),
    ],
)
def test_an_author(author: str, written: str) -> None:
    """A name loses its braces, splits in two, or is a command to LaTeX."""
    assert author_of(authors=[author, "Jian Sun"]) == f"{written} and Jian Sun"
    assert names_in(f"{written} and Jian Sun") == [written, "Jian Sun"]
    assert_accepted(entry(authors=[author]))


SIGNS = "aB é&#%_^~<>|$\"'`β\u2013…ß漢=@.-Łŕ"
NAME = st.text(st.sampled_from(SIGNS), min_size=1, max_size=30).map(str.split)
GROUPS = st.text(st.sampled_from(SIGNS + ","), min_size=1, max_size=30).map(str.split)


@given(st.lists(st.tuples(NAME, GROUPS), min_size=1, max_size=5))
def test_any_authors(parts: list[tuple[list[str], list[str]]]) -> None:
    """Some name breaks the entry, or is another number of names to BibTeX."""
    names = [
        " ".join([*words, *(["{" + " ".join(group) + "}"] if group else [])])
        for words, group in parts
    ]
    names = [name for name in names if name]
    if names:
        assert_accepted(entry(authors=names))
        assert len(names_in(author_of(authors=names) or "")) == len(names)


def test_a_thousand_authors() -> None:
    """A long list takes long, or is cut."""
    field = author_of(authors=["{A and B}"] * MOST_AUTHORS) or ""

    assert names_in(field) == ["{A and B}"] * MOST_AUTHORS


def test_what_is_not_on_arxiv() -> None:
    """An entry without an arXiv id names one, or has no address."""
    text = entry(arxiv=None, url="https://example.org/a_b%20c#d{e}\\f")

    assert "eprint" not in text
    assert "archivePrefix" not in text
    assert "url = {https://example.org/a_b%20c#d%7Be%7D%5Cf}" in text
    assert_accepted(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("50 % of $x_i$ & #1", r"50 \% of \$x\_i\$ \& \#1"),
        ("{a} ^ ~ \\b", None),
        ("Poincaré, Müller, Erdős", r"Poincar{\'{e}}, M{\"{u}}ller, Erd{\H{o}}s"),
        ("naïve façade", r"na{\"{\i}}ve fa{\c{c}}ade"),
        ("β-VAE, λ and Å", r"$\beta$-VAE, $\lambda$ and {\r{A}}"),
        (
            "\u201cA\u2013B\u201d \u2014 \u2018c\u2019\u2026",
            r"``A--B'' --- `c'\ldots{}",
        ),
    ],
)
def test_special_signs(text: str, written: str | None) -> None:
    """A sign that LaTeX takes for a command, or does not know, stays as it is."""
    assert written in (None, latex(text))
    assert SET_BY_LATEX.fullmatch(latex(text))
    assert_accepted(entry(title=text))


@given(st.text(st.sampled_from("aB é{}\\$&#%_^~<>|\"'`β\u2013…ß漢,=@"), min_size=1))
def test_any_title(title: str) -> None:
    """Some title breaks the entry, or a page that cites it."""
    if title.strip():
        assert_accepted(entry(title=title))
    assert SET_BY_LATEX.fullmatch(latex(title))


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe(name: str) -> None:
    """A recipe of the catalog cannot be cited."""
    assert_accepted(bibtex(load_recipe(name)))
