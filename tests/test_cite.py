"""A BibTeX entry that BibTeX and LaTeX accept."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_recipe import data

from paperstart import list_recipes, load_recipe
from paperstart._cite import bibtex, latex
from paperstart.recipe import Recipe

# What LaTeX sets: plain signs, escaped ones, and the commands that we write.
_PLAIN = r"[^\\{}$&#%_^~<>|\"]"
_COMMAND = (
    r"\\[$&#%_]|\\(?:text[a-z]+|ldots)\{\}|\{\\(?:[`'^~\"=.]|[ucrHvk])\{(?:\w|\\[ij])\}\}"
    r"|\$\\[a-z]+\$|\{\\(?:ss|o|O|l)\}"
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


def test_a_paper() -> None:
    """The entry lacks what leads to the paper, or changes from run to run."""
    assert bibtex(load_recipe("resnet50")) == (
        "@misc{resnet50,\n"
        "  title = {{Deep Residual Learning for Image Recognition}},\n"
        "  year = {2015},\n"
        "  key = {Deep Residual Learning for Image Recognition},\n"
        "  eprint = {1512.03385},\n"
        "  archivePrefix = {arXiv},\n"
        "  url = {https://arxiv.org/abs/1512.03385},\n"
        "}"
    )


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
