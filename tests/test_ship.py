"""What is made from other files is in step with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from paperstart._ship import MADE
from paperstart._stats import statistics_data
from paperstart.catalog import list_summaries

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.name)
def test_it_is_in_step(path: Path) -> None:
    """Run `python -m paperstart._ship`: a file is older than what it is made from."""
    assert path.read_text(encoding="utf-8") == MADE[path](), path.name


def test_the_readme_counts_right() -> None:
    """The README says other counts than `paperstart stats`."""
    total = statistics_data(list_summaries())["total"]
    text = " ".join(README.split())

    assert f"{total['recipes']:,} recipes with {total['values']:,} values" in text
    for count in total["sources"].values():
        assert f" {count:,} in " in text
