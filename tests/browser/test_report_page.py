"""The report's page, from disk, without a network, light and dark, at 1280 px."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shown import Shown

OpenPage = Callable[..., Any]


@pytest.fixture(scope="module")
def report(shown: Shown, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `paperstart report` writes of the demo's study."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    storage = f"sqlite:///{shown.folder / 'study.db'}"
    command = [sys.executable, "-m", "paperstart", "report", "paperstart-demo"]
    done = subprocess.run(
        [*command, "--storage", storage, "--out", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{path}\n"
    return path


@pytest.fixture
def failures() -> list[str]:
    """What a page complained of, or asked a network for."""
    return []


def opened(open_page: OpenPage, report: Path, scheme: str, failures: list[str]) -> Any:
    """The report, drawn, with every complaint written down."""
    page = open_page("about:blank", scheme)
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("requestfailed", lambda request: failures.append(request.url))
    page.on("console", lambda m: failures.append(m.text) if m.type == "error" else None)
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("file:", "data:", "blob:"))
            else failures.append(request.url)
        ),
    )
    page.goto(report.as_uri())
    page.locator("html[data-drawn=true]").wait_for(state="attached")
    page.locator(".chart .main-svg").first.wait_for()
    return page


OVERLAPS = """() => {
  const found = [];
  for (const chart of document.querySelectorAll('.chart')) {
    for (const kind of ['.xtick > text', '.ytick > text', '.x2tick > text',
        '.y2tick > text', '.x3tick > text', '.y3tick > text',
        '.x4tick > text', '.y4tick > text']) {
      const boxes = Array.from(chart.querySelectorAll(kind))
        .filter((text) => text.textContent.trim())
        .map((text) => [text.textContent, text.getBoundingClientRect()]);
      for (const [text, box] of boxes) {
        if (box.left < 0 || box.right > window.innerWidth + window.scrollX) {
          found.push(`${text} is cut off`);
        }
        if (box.height < 8) found.push(`${text} is ${box.height} px high`);
      }
      for (let i = 0; i < boxes.length; i++) {
        for (let j = i + 1; j < boxes.length; j++) {
          const [a, b] = [boxes[i][1], boxes[j][1]];
          const across = a.left < b.right && b.left < a.right;
          if (across && a.top < b.bottom && b.top < a.bottom)
            found.push(`${boxes[i][0]} over ${boxes[j][0]}`);
        }
      }
    }
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_needs_nothing_and_can_be_read(
    report: Path,
    open_page: OpenPage,
    screenshots: Path,
    failures: list[str],
    scheme: str,
) -> None:
    """No request leaves the page, no script fails, and no tick lies over another."""
    page = opened(open_page, report, scheme, failures)
    page.screenshot(path=screenshots / f"report-{scheme}.png", full_page=True)

    assert failures == []
    assert page.evaluate(OVERLAPS) == []
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 1280
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_text_stands_out(
    report: Path, open_page: OpenPage, failures: list[str], scheme: str
) -> None:
    """Text and background differ by 4.5 to 1, as WCAG 2.1 asks for (AA)."""
    page = opened(open_page, report, scheme, failures)
    pairs = page.evaluate("""() => {
      const style = (query, name) =>
        getComputedStyle(document.querySelector(query))[name];
      return [[style('h1', 'color'), style('body', 'backgroundColor')],
        [style('p.soft', 'color'), style('body', 'backgroundColor')],
        [style('.answers dt', 'color'), style('.answers > div', 'backgroundColor')],
        [style('a', 'color'), style('body', 'backgroundColor')],
        [style('.xtick > text', 'fill'), style('body', 'backgroundColor')]];
    }""")
    page.close()

    for ink, paper in pairs:
        assert contrast(ink, paper) >= 4.5, (ink, paper)


def test_the_button_changes_the_theme(
    report: Path, open_page: OpenPage, failures: list[str]
) -> None:
    """Where the system says nothing of the reader's wish, a button does."""
    page = opened(open_page, report, "light", failures)
    color = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(color)
    page.locator("#theme").click()

    assert page.evaluate(color) != before
    ink = "getComputedStyle(document.querySelector('.xtick > text')).fill"
    assert contrast(page.evaluate(ink), page.evaluate(color)) >= 4.5
    page.close()


def contrast(one: str, other: str) -> float:
    """The ratio of two colors' luminances, after WCAG 2.1."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    parts = [float(part) / 255 for part in color[4:-1].split(",")]
    red, green, blue = map(linear, parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def linear(part: float) -> float:
    return part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
