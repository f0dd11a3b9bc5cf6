"""Whatever bytes a recipe file has, reading it ends soon: in a recipe or our error.

At least 10,000 files in all; a file that takes over 1 s is a failure (the deadline).
"""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from recipe_text import GOOD

from paperstart import Recipe
from paperstart._show import recipe_data
from paperstart.catalog import MAX_BYTES, read_recipe
from paperstart.errors import RecipeFormatError

SHIPPED = sorted((Path(__file__).parents[1] / "recipes").iterdir())
# A whole published recipe now and then, else a small one: small files find as much.
WHOLE = st.sampled_from(
    [*[GOOD.encode()] * 9, *(path.read_bytes() for path in SHIPPED[:2])]
)
within_a_second = settings(
    max_examples=2000,
    deadline=1000,  # milliseconds for each file
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
NAMES = ",".join(f"a{i}" for i in range(19_000))


@functools.cache
def place() -> Path:
    """Where the file is written: in memory, or on the disk, but always the same."""
    return Path(tempfile.mkdtemp()) / "own.yaml"


@pytest.fixture(autouse=True, scope="module")
def _clean() -> Any:
    yield
    place().unlink(missing_ok=True)
    place().parent.rmdir()


def read_or_refuse(text: bytes) -> None:
    """Read ``text`` as a recipe file: it gives a recipe, or our error."""
    path = place()
    path.write_bytes(text)
    try:
        recipe = read_recipe(path)
    except RecipeFormatError as error:
        message = str(error)
        assert message.startswith(str(path))
        assert message.replace("\n", "").isprintable()
    else:
        assert isinstance(recipe, Recipe)
        json.dumps(recipe_data(recipe), allow_nan=False)


@within_a_second
@given(WHOLE, st.data())
def test_a_file_that_ends_early(text: bytes, data: st.DataObject) -> None:
    """A file that was cut off ends in another error than ours."""
    read_or_refuse(text[: data.draw(st.integers(0, len(text)))])


@within_a_second
@given(WHOLE, st.data())
def test_a_file_with_other_bytes_in_it(text: bytes, data: st.DataObject) -> None:
    """A file that was overwritten in part ends in another error than ours."""
    signs = [b"- ", b": ", b"[", b"{", b"'", b"&a ", b"*a", b"!!set ", b"\n", b"%"]
    signs += [b"? ", b"---\n", b"!!python/name:os.system ", b"<<: ", b"\xe2\x80\xae"]
    snippet = st.one_of(st.binary(max_size=4), st.sampled_from(signs))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 20)))
        text = text[:start] + data.draw(snippet) + text[end:]
    read_or_refuse(text)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["sgd", "log", "categorical", "fixed", "1e-4", "\x9b", "", "a/b"]),
    st.dates(),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("avle", max_size=5), inner)
    ),
    max_leaves=5,
)


@within_a_second
@given(st.integers(0, 3), st.integers(0, 20), TREES)
def test_a_file_with_another_value_in_it(part: int, key: int, junk: object) -> None:
    """A value of the wrong kind ends in another error than ours."""
    tree = yaml.safe_load(GOOD)
    rate = tree["hyperparameters"]["learning_rate"]
    parts = [tree, tree["hyperparameters"], rate, rate["source"]]
    keys = ["aliases", "alternatives", "scale", "low", "high", "choices", "weights"]
    keys = [*parts[part], *keys, "reported", "undisclosed", "compute", "unit"]
    keys += ["authors", "searched"]
    parts[part][keys[key % len(keys)]] = junk
    read_or_refuse(yaml.safe_dump(tree, allow_unicode=True).encode())


@within_a_second
@given(st.text(st.sampled_from("a1.-_:,[]{}&*!|>'\"%@`#?e+~ \n\t"), max_size=80))
def test_any_text_of_yamls_own_signs(text: str) -> None:
    """What means something to YAML ends in another error than ours."""
    read_or_refuse(text.encode())


@within_a_second
@given(
    st.sampled_from(
        [
            *("1", "1_", "1:", "a ", "[", "[]", "{a: ", "- ", "? ", "a,", "&a ", "*a "),
            *(
                "!",
                "'",
                '"',
                "\\x41",
                "%",
                "#",
                "\n",
                "a: b\n",
                "- a\n",
                "  - x\n",
                "\u2028",
            ),
        ]
    ),
    st.integers(1, 30_000),
    st.sampled_from(
        [" 0.1", "A title", "id: own", "table 2", "2020", "2026-01-31", "{"]
    ),
    st.sampled_from(["", "x", "]", ": x", "\n"]),
)
@example("1", MAX_BYTES - 1000, "A title", "x")
@example("", 0, "table 2", f"x\nundisclosed: [{NAMES}]")
@example("", 0, " 0.1", f" sgd\n    choices: [{NAMES}]")
@example("A,", 18_000, "checked:", "")
@example("", 0, "A title", f"x\nauthors: [{NAMES}]")
@example("", 0, "A title", "x\nauthors: ['" + "{a " * 60_000 + "']")
@example("", 0, "A title", "x\nauthors: ['" + "and " * 60_000 + "']")
def test_one_sign_many_times(sign: str, times: int, old: str, end: str) -> None:
    """A long row of one sign keeps the reader busy."""
    space = " " if old.startswith(" ") else ""
    text = GOOD.replace(old, space + sign * times + end, 1).encode()
    read_or_refuse(text[:MAX_BYTES])
