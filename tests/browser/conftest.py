"""A real Chromium, a real MLflow server, and a study that `paperstart demo` made.

These tests run with ``pytest tests/browser``; they need Debian's ``chromium`` and the
extra ``browser``, and are left out where either is missing. Screenshots go to the
folder that ``PAPERSTART_SCREENSHOTS`` names, or below pytest's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from shown import SIZE, Shown, start_ui, stop_ui

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
WAIT_MS = 60_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:  # pytest hands over those of all folders
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of what was seen are kept."""
    named = os.environ.get("PAPERSTART_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def open_page(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Any]]:
    """Opens a page in Chromium, light or dark."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip("Debian's package chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        contexts: dict[str, Any] = {}

        def open_page(address: str, scheme: str = "light") -> Any:
            if scheme not in contexts:
                contexts[scheme] = playwright.chromium.launch_persistent_context(
                    tmp_path_factory.mktemp("chromium"),
                    executable_path=CHROMIUM,
                    args=list(FLAGS),
                    viewport=SIZE,
                    color_scheme=scheme,
                )
                contexts[scheme].set_default_timeout(WAIT_MS)
            page = contexts[scheme].new_page()
            page.goto(address)
            return page

        yield open_page
        for context in contexts.values():
            context.close()


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """The demo's study, with as many trials as a round and the next have."""
    folder = tmp_path_factory.mktemp("demo")
    given = os.environ.get("PAPERSTART_DEMO")  # a demo that CI has run already
    if given:
        folder = Path(given)
    else:
        command = [sys.executable, "-m", "paperstart", "demo", "--dir", str(folder)]
        subprocess.run(command, check=True, capture_output=True, timeout=900)
    process, shown = start_ui(folder, "paperstart-demo")
    yield shown
    stop_ui(process)
