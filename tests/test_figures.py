"""The report: made from storage alone, true in its words, safe with any text."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial
from PIL import Image

from paperstart import load_recipe
from paperstart._axis import Axis
from paperstart._cost import COST_ATTR
from paperstart._history import DRAW_ATTR
from paperstart._rounds import rounds
from paperstart._study_facts import PRICE_ATTR, recall, remember
from paperstart._ticks import _NEAREST, ticks
from paperstart._tracks import tracks
from paperstart.figures import Report, study_report

RECIPE = "resnet20-cifar10"
SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-3, 1.0, log=True),
    "momentum": FloatDistribution(0.5, 0.99),
    "batch_size": CategoricalDistribution([32, 64, 128, 256]),
    "hidden_layers": IntDistribution(1, 6),
}


def add(study: optuna.Study, value: float | None, **given: Any) -> None:
    """One finished trial of the study, drawn as the sampler says that it draws."""
    number = len(study.trials)
    params = {
        "learning_rate": 0.1 * 0.8**number,
        "momentum": 0.9,
        "batch_size": 128,
        "hidden_layers": 3,
    }
    draw = {"kind": "region", "round": 1 + number // 3, "point": None}
    width = 0.8 ** (number // 3)
    region = {"learning_rate": [0.1 * (1 - width / 2), 0.1 * (1 + width / 2)]}
    region["batch_size"] = [64, 128]
    if number == 0:
        draw |= {"kind": "published", "point": 0}
    attrs = {DRAW_ATTR: {**draw, "region": region}, **given.pop("attrs", {})}
    study.add_trial(
        create_trial(
            state=given.pop("state", TrialState.COMPLETE),
            value=value,
            params={**params, **given},
            distributions=SPACE,
            user_attrs=attrs,
        )
    )


@pytest.fixture
def study() -> optuna.Study:
    """Nine complete trials, one pruned and one failed; the fifth is the best."""
    study = optuna.create_study(study_name="a <b>study</b> & more")
    remember(study, load_recipe(RECIPE))
    for value in (0.5, 0.6, 0.4, 0.45, 0.3, 0.35, 0.7, 0.55, 0.65):
        add(study, value)
    add(study, None, state=TrialState.PRUNED)
    add(study, None, state=TrialState.FAIL)
    return study


@pytest.fixture
def report(study: optuna.Study) -> Report:
    return study_report(study, {})


def charts(page: str) -> list[dict[str, Any]]:
    """The figures inside a page."""
    found = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page)
    return [json.loads(text) for text in found]


class TestPage:
    """One page that needs nothing else."""

    def test_it_asks_nobody(self, report: Report) -> None:
        """Nothing in the page is fetched from elsewhere."""
        own = re.sub(r"<script>.*?</script>", "", report.page, flags=re.DOTALL)

        assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", own)
        assert "@import" not in own
        assert report.page.count("Plotly.react") == 1
        assert 4e6 < len(report.page) < 7e6  # plotly's script is inside, once

    def test_the_users_text_is_text(self, report: Report) -> None:
        """A study's name with markup in it shows as it is."""
        assert "<b>study</b>" not in report.page
        assert "a &lt;b&gt;study&lt;/b&gt; &amp; more" in report.page

    def test_a_value_cannot_end_the_script(self) -> None:
        """A choice that looks like the end of a script is a choice."""
        study = optuna.create_study(study_name="s")
        hostile = "</script><script>alert(1)</script>"
        space = {"x": CategoricalDistribution([hostile, "plain"])}
        for number in range(5):
            x = [hostile, "plain"][number % 2]
            study.add_trial(
                create_trial(value=number, params={"x": x}, distributions=space)
            )
        page = study_report(study, {}).page

        assert "<script>alert(1)" not in page
        assert len(charts(page)) == 4

    def test_the_paper_against_the_best(self, report: Report) -> None:
        """Values, factors, results and sources stand side by side."""
        recipe = load_recipe(RECIPE)
        source = recipe.hyperparameters["learning_rate"].source

        assert "Trial 4 is better than the paper&#x27;s own point" in report.page
        assert f'href="{source.url}"' in report.page
        assert "x 0.41" in report.page  # 0.8 ** 4
        assert "0.5" in report.page
        assert recipe.title in report.page

    def test_why(self, study: optuna.Study) -> None:
        """The page says why the best trial was tried, with no sign left raw."""
        draw = {"kind": "coarse", "round": 1, "region": {"<b>": [0.0, 1.0]}}
        add(study, 0.1, attrs={"paperstart.draw": draw})

        page = study_report(study, {}).page
        assert "Why trial 11 was tried: A random draw around the best so far" in page
        assert "in round 1: &lt;b&gt; 0 to 1." in page


class TestAnswers:
    """The six questions."""

    @pytest.mark.parametrize(
        ("paper", "answer"),
        [
            (0.1, "Yes: nothing was better"),
            (0.32, "Nearly: in the best quarter"),
            (0.42, "Only in part"),
            (0.9, "No: in the lower half"),
        ],
    )
    def test_did_it_hold_up(self, paper: float, answer: str) -> None:
        """The answer follows from the paper's rank among the complete trials."""
        study = optuna.create_study(study_name="s")
        remember(study, load_recipe(RECIPE))
        for value in (paper, 0.6, 0.4, 0.45, 0.3, 0.35, 0.7, 0.55, 0.65):
            add(study, value)

        assert f"hold up?** {answer}." in study_report(study, {}).description

    def test_all_are_answered(self, report: Report) -> None:
        """The description answers each, and the page shows the same words."""
        questions = re.findall(r"- \*\*(.*?)\*\* (.*?)\. ", report.description)

        assert len(questions) == 6
        assert dict(questions)["Which runs are sick?"] == "1 run"
        for _, answer in questions:
            assert answer.replace("'", "&#x27;") in report.page

    def test_no_trial_yet(self) -> None:
        """A study without a trial has a report that says so."""
        study = optuna.create_study(study_name="s")
        found = study_report(study, {})

        assert found.outcome is None
        assert "No trial is complete" in found.page
        assert found.pictures == {}

    def test_no_recipe(self) -> None:
        """A study of another sampler's has a report without a paper."""
        study = optuna.create_study(study_name="s")
        for number in range(6):
            study.add_trial(
                create_trial(
                    value=number,
                    params={"x": number / 10},
                    distributions={"x": FloatDistribution(0, 1)},
                )
            )
        found = study_report(study, None)

        assert "from no recipe" in found.page
        assert "MLflow&#x27;s store could not be read" in found.page
        assert len(charts(found.page)) == 4

    def test_cost(self, study: optuna.Study) -> None:
        """GPU-hours, energy and money are sums over the trials."""
        for _ in range(2):
            cost = {"gpus": 2, "gpu_hours": 1.5, "energy_kwh": 0.25}
            add(study, 0.9, attrs={COST_ATTR: cost})
        study.set_user_attr(PRICE_ATTR, 2.5)
        found = study_report(study, {})

        assert found.cost.gpu_hours == 3
        assert found.cost.energy_kwh == 0.5
        assert found.cost.money == 7.5
        assert "3 GPU-hours, 0.5 kWh, 7.50 at 2.5 per GPU-hour" in found.description

    def test_no_gpu(self, report: Report) -> None:
        """Without a GPU one line says so."""
        assert report.description.count("No GPU was used") == 1
        assert report.page.count("No GPU was used") == 2  # the answer and the section


class TestCharts:
    """What the charts show."""

    def test_coarse_to_fine(self, study: optuna.Study, report: Report) -> None:
        """Each hyperparameter has its trials, its regions and the published value."""
        found = {t.name: t for t in tracks(study, recall(study), rounds(study))}

        assert set(found) == set(SPACE)
        rate = found["learning_rate"]
        assert [dot.number for dot in rate.dots] == list(range(11))
        assert [dot.how for dot in rate.dots if dot.number in (4, 9, 10)] == [
            "best",
            "pruned",
            "failed",
        ]
        assert rate.published is not None
        assert rate.published[0] == pytest.approx(2 / 3)  # 0.1 on [0.001, 1]
        assert [span.round for span in rate.spans] == [1, 2, 3, 4]
        assert [(s.first, s.last) for s in rate.spans] == [
            (0, 2),
            (3, 5),
            (6, 8),
            (9, 10),
        ]
        lengths = [span.high - span.low for span in rate.spans]
        assert lengths == sorted(lengths, reverse=True)
        assert found["batch_size"].spans[0].low == 0.25  # 64 to 128, of four sizes
        assert found["batch_size"].spans[0].high == 0.75
        assert found["momentum"].scale == "log scale of 1 - x"
        assert found["momentum"].spans == ()  # nobody wrote a region down
        figure = charts(report.page)[1]
        assert sum(shape["type"] == "rect" for shape in figure["layout"]["shapes"]) == 8

    def test_a_published_value_outside(self, study: optuna.Study) -> None:
        """A published value that the range has not is said, not drawn."""
        study.set_user_attr("paperstart.names", {"hidden_layers": "epochs"})
        found = {t.name: t for t in tracks(study, recall(study), rounds(study))}
        epochs = load_recipe(RECIPE).hyperparameters.get("epochs")

        if epochs is not None:
            assert found["hidden_layers"].published is None
            assert "is outside" in found["hidden_layers"].scale

    def test_a_diverged_trial(self, study: optuna.Study) -> None:
        """One result a thousand times worse does not press the others flat."""
        add(study, 1e6)
        history = charts(study_report(study, {}).page)[0]

        low, high = history["layout"]["yaxis"]["range"]
        assert low < 0.3
        assert 0.7 < high < 5
        assert "1 much worse trial lies outside" in study_report(study, {}).page

    def test_pictures(self, report: Report) -> None:
        """The PNG files are pictures of a size that one can read."""
        assert set(report.pictures) == {"coarse_to_fine.png", "importance.png"}
        for data in report.pictures.values():
            with Image.open(io.BytesIO(data)) as picture:
                assert picture.format == "PNG"
                assert picture.width > 600
                assert len(picture.convert("L").getcolors() or [0] * 300) > 20

    def test_repeated_it_is_the_same(self, study: optuna.Study) -> None:
        """The same study has the same report, to the last figure."""
        assert charts(study_report(study, {}).page) == charts(
            study_report(study, {}).page
        )


@given(
    low=st.floats(1e-8, 0.9),
    share=st.floats(1e-3, 1),
    scale=st.sampled_from(["linear", "log", "log1m"]),
)
def test_ticks_can_be_read(low: float, share: float, scale: str) -> None:
    """Whatever the range, at least two ticks lie on the axis, none over another."""
    axis = Axis(low, low + (0.999999 - low) * share, scale)
    found = ticks(axis)
    places = [place for place, _ in found]

    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
    assert all(b - a >= _NEAREST for a, b in pairwise(places))
    assert 1 <= len(found) <= 10
    if not math.isclose(axis.low, axis.high, rel_tol=0.05):
        assert len(found) >= 2
    assert all(len(text) <= 12 for _, text in found)


def test_the_command(
    study_file: Callable[[], str], tmp_path: Path, capsys: Any
) -> None:
    """`paperstart report` writes the page and prints its path; errors say what is."""
    from click.testing import CliRunner

    from paperstart.cli import app
    from paperstart.errors import SearchError

    storage = study_file()
    out = tmp_path / "new" / "page.html"
    run = CliRunner().invoke(
        app, ["report", "s", "--storage", storage, "--out", str(out)]
    )
    assert run.exit_code == 0, run.output
    assert run.stdout == f"{out}\n"
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")

    wrong = CliRunner().invoke(app, ["report", "t", "--storage", storage])
    assert isinstance(wrong.exception, SearchError)
    assert "has no study 't'. It has: s." in str(wrong.exception)
    nowhere = CliRunner().invoke(app, ["report", "s", "--storage", "sqlite:////no/db"])
    assert isinstance(nowhere.exception, SearchError)
    assert "Check --storage" in str(nowhere.exception)


@pytest.fixture
def study_file(tmp_path: Path) -> Callable[[], str]:
    """A study in a file."""

    def make() -> str:
        storage = f"sqlite:///{tmp_path / 'study.db'}"
        study = optuna.create_study(study_name="s", storage=storage)
        remember(study, load_recipe(RECIPE))
        for value in (0.5, 0.6, 0.4, 0.45):
            add(study, value)
        return storage

    return make
