"""What is made from other files is in step with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from paperstart._ship import MADE


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.name)
def test_it_is_in_step(path: Path) -> None:
    """Run `python -m paperstart._ship`: a file is older than what it is made from."""
    assert path.read_text(encoding="utf-8") == MADE[path](), path.name
