"""What a person sees who opens MLflow's UI on the demo's study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shown import Shown

OpenPage = Callable[..., Any]


def test_the_link_lands_on_the_studys_runs(
    shown: Shown, open_page: OpenPage, screenshots: Path
) -> None:
    """The link shows the parent with its children unfolded, and useful columns."""
    page = open_page(shown.link)
    page.get_by_role("link", name="paperstart-demo").last.wait_for()
    page.get_by_text("trial 0 (published)").wait_for()
    page.screenshot(path=screenshots / "runs.png")

    assert "machine_learning" in page.url
    assert page.get_by_text("Model training").is_visible()
    for number in range(1, len(shown.children)):
        assert page.get_by_text(f"trial {number}", exact=True).count() == 1
    assert page.get_by_text("best/objective").first.is_visible()
    assert page.get_by_text("batch_size").first.is_visible()
    page.close()


def test_the_parents_description(
    shown: Shown, open_page: OpenPage, screenshots: Path
) -> None:
    """The parent's page answers the six questions in its description."""
    page = open_page(shown.run_page(shown.parent))
    page.get_by_text("Did the paper's own setting hold up?").wait_for()
    more = page.get_by_text("Show more")
    if more.count():
        more.first.click()
    page.get_by_text("What did it cost?").scroll_into_view_if_needed()
    page.screenshot(path=screenshots / "parent.png")

    for question in ("Which hyperparameters mattered?", "Which runs are sick?"):
        assert page.get_by_text(question).count() == 1
    assert page.get_by_role("cell", name="learning_rate").count() == 1
    page.close()


def test_a_childs_description(
    shown: Shown, open_page: OpenPage, screenshots: Path
) -> None:
    """A child's first three lines say what it is, how it did, and what differs."""
    page = open_page(shown.run_page(shown.children[1]))
    page.get_by_text("Trial 1 of the study").wait_for()
    page.get_by_text("Against the paper:").wait_for()
    page.screenshot(path=screenshots / "child.png")

    assert page.get_by_text("than the paper's own point").count() >= 1
    assert page.get_by_text("paperstart.config_hash").count() == 1
    assert page.get_by_text("TensorDataset").count() >= 1
    page.close()


def test_a_batchnorm_chart(
    shown: Shown, open_page: OpenPage, screenshots: Path
) -> None:
    """The metrics stand in sections, and batch norm's has its charts."""
    page = open_page(shown.run_page(shown.children[0], "/model-metrics"))
    page.get_by_text("batchnorm", exact=True).first.wait_for()
    page.locator(".js-plotly-plot").first.wait_for()
    page.wait_for_timeout(1000)
    page.screenshot(path=screenshots / "batchnorm.png")

    for name in ("best", "train", "val"):
        assert page.get_by_text(name, exact=True).count() >= 1
    page.close()


@pytest.mark.parametrize("name", ["coarse_to_fine.png", "importance.png"])
def test_a_picture(
    shown: Shown, open_page: OpenPage, screenshots: Path, name: str
) -> None:
    """A PNG shows in the list of artifacts, in its full width."""
    page = open_page(shown.run_page(shown.parent, f"/artifacts/{name}"))
    picture = page.locator("img[src^='blob:'], img[src*='get-artifact']").first
    picture.wait_for()
    page.wait_for_function(
        "picture => picture.complete && picture.naturalWidth > 500",
        arg=picture.element_handle(),
    )
    page.screenshot(path=screenshots / f"artifact-{name}")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_inside_the_frame(
    shown: Shown, open_page: OpenPage, screenshots: Path, scheme: str
) -> None:
    """The report's script runs in MLflow's sandboxed frame, and draws every chart."""
    address = shown.run_page(shown.parent, "/artifacts/report.html")
    page = open_page(address, scheme)
    frame = page.frame_locator("iframe").first
    frame.locator("html[data-drawn=true]").wait_for(state="attached")
    charts = frame.locator(".chart .main-svg")
    charts.first.wait_for()
    page.screenshot(path=screenshots / f"report-in-frame-{scheme}.png")

    assert frame.locator(".chart").count() == 4
    assert frame.locator("h1").inner_text() == "paperstart-demo"
    assert frame.get_by_text("Did the paper's own setting hold up?").count() == 1
    page.close()
