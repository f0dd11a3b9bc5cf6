"""What does a person look at?

A study's report: one page, two pictures, and the Markdown of the parent run. Made from
storage alone: the study's own, and MLflow's runs where they can be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlflow.entities import Run
from optuna.study import Study
from optuna.trial import TrialState

from paperstart import _charts, _page
from paperstart._answers import Answer, answers
from paperstart._cost import Cost, cost_of, hours_text
from paperstart._history import draw_attr, finished_trials
from paperstart._outcome import Outcome, factor_text, outcome, short
from paperstart._page import Section
from paperstart._rounds import rounds
from paperstart._sick import SickRun, sick_runs
from paperstart._study_facts import StudyFacts, recall
from paperstart._told_apart import beyond, importances
from paperstart._tracks import Track, tracks
from paperstart._why import why


@dataclass(frozen=True)
class Report:
    """What a study's report consists of.

    Attributes:
        page: the HTML page, with all that it needs inside.
        description: the parent run's, in Markdown.
        pictures: PNG files by name.
        outcome: the result behind it, or ``None`` while no trial is complete.
        cost: what the study has cost.
    """

    page: str
    description: str
    outcome: Outcome | None
    cost: Cost
    pictures: Mapping[str, bytes] = field(default_factory=dict)


def study_report(study: Study, runs: Mapping[int, Run] | None) -> Report:
    """The report of a study as it stands now.

    Args:
        study: the study.
        runs: MLflow's run of each trial, or ``None`` if they cannot be read.
    """
    facts = recall(study)
    found, seen = outcome(study, facts), rounds(study)
    lines = tracks(study, facts, seen)
    mattered = importances(study)
    lines.sort(key=lambda track: -mattered.get(track.name, 0.0))
    sick = None if runs is None else sick_runs(study, runs)
    cost = cost_of(study, facts.price_per_gpu_hour)
    said = answers(found, mattered, seen, sick, cost)
    sections = [
        _against_the_paper(study, facts, found),
        *_search(study, found, lines),
        *_importance(study, mattered),
        _sick_section(study, sick),
        _cost_section(study, cost),
    ]
    title = study.study_name
    return Report(
        page=_page.page(title, _lead(study, facts), said, sections),
        description=_description(study, facts, found, said),
        pictures=_pictures(lines, mattered, title),
        outcome=found,
        cost=cost,
    )


def _lead(study: Study, facts: StudyFacts) -> str:
    counts = {
        word: len(study.get_trials(deepcopy=False, states=(state,)))
        for word, state in (
            ("complete", TrialState.COMPLETE),
            ("pruned", TrialState.PRUNED),
            ("failed", TrialState.FAIL),
            ("running", TrialState.RUNNING),
        )
    }
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    total = len(finished_trials(study.trials)) + counts["running"]
    start = "no recipe" if facts.recipe is None else f"the recipe {facts.recipe.id}"
    return (
        f"A search from {start}; the objective is {study.direction.name.lower()}d. "
        f"{total} trial{'s' * (total != 1)}: {said or 'none yet'}."
    )


def _against_the_paper(
    study: Study, facts: StudyFacts, found: Outcome | None
) -> Section:
    title = "The paper against the best"
    if found is None:
        return Section(title, _page.paragraph("No trial is complete yet."))
    direction = study.direction.name.lower()
    body = _page.paragraph(found.verdict()) if facts.recipe is not None else ""
    body += _page.comparison_table(found, direction)
    if draw_attr(found.best):
        told = f"Why trial {found.best.number} was tried: {why(study, found.best)}"
        body += _page.paragraph(told)
    if facts.recipe is not None:
        body += _page.reported_lines(facts.recipe)
    return Section(title, body)


def _search(study: Study, found: Outcome | None, lines: list[Track]) -> list[Section]:
    sections = []
    if found is not None:
        chart = _charts.as_json(_charts.history(study, found.published_value))
        far = beyond(study)
        body = ""
        if far:
            were = "s lie" if far > 1 else " lies"
            body = _page.paragraph(f"{far} much worse trial{were} outside the chart.")
        sections.append(Section("History", body, chart))
    if lines:
        body = _page.paragraph(
            "Each hyperparameter on its own scale; an axis is the full range that the "
            "search may use, a shaded box the region from which a round drew."
        )
        chart = _charts.as_json(_charts.coarse_to_fine(lines))
        sections.append(Section("From coarse to fine", body, chart))
    return sections


def _importance(study: Study, mattered: Mapping[str, float]) -> list[Section]:
    if not mattered:
        return []
    bars = _charts.as_json(_charts.importance(mattered, study))
    across = _charts.as_json(_charts.parallel_coordinates(study))
    return [
        Section("Importance", "", bars),
        Section("Parallel coordinates", "", across),
    ]


def _sick_section(study: Study, sick: list[SickRun] | None) -> Section:
    title = "Sick runs"
    if sick is None:
        words = "MLflow's store could not be read; these trials failed."
        failed = sick_runs(study, {})
        body = _page.paragraph(words if failed else "MLflow's store could not be read.")
        return Section(title, body + (_page.sick_table(failed) if failed else ""))
    if not sick:
        words = "No run raised an alarm, failed, or logged a NaN."
        return Section(title, _page.paragraph(words))
    return Section(title, _page.sick_table(sick))


def _cost_section(study: Study, cost: Cost) -> Section:
    facts = {
        "On the clock, while at least one trial ran": hours_text(cost.wall_hours),
        "Training, summed over the trials": hours_text(cost.hours),
    }
    if cost.gpu_hours:
        facts["GPU-hours"] = f"{cost.gpu_hours:.3g}"
        known = cost.energy_kwh is not None
        facts["Energy of the GPUs"] = (
            f"{cost.energy_kwh:.3g} kWh" if known else "the GPUs do not say"
        )
        if cost.money is not None:
            facts["Money"] = (
                f"{cost.money:.2f}, at {cost.price_per_gpu_hour:g} per GPU-hour"
            )
    body = _page.facts_table(facts)
    if not cost.gpu_hours:
        body += _page.paragraph(cost.sentence().partition(". ")[2])
    return Section("Cost", body)


def _description(
    study: Study, facts: StudyFacts, found: Outcome | None, said: list[Answer]
) -> str:
    """The answers, then the table; `report.html` among the artifacts has the rest."""
    lines = [f"{_lead(study, facts)}", ""]
    lines += [f"- **{a.question}** {a.answer}. {a.detail}".rstrip() for a in said]
    lines += ["", "The artifact `report.html` shows all of it with its charts."]
    if found is not None:
        lines += [
            "",
            f"| hyperparameter | paper | best: trial {found.best.number} | factor |",
            "| --- | --- | --- | --- |",
        ]
        for change in found.changes:
            paper = "" if change.published is None else change.published
            lines.append(
                f"| {change.name} | {paper} | {short(change.best)} "
                f"| {factor_text(change)} |"
            )
    return "\n".join(lines)


def _pictures(
    lines: list[Track], mattered: Mapping[str, float], title: str
) -> dict[str, bytes]:
    from paperstart import _pictures as pictures  # late: matplotlib costs half a second

    found = {}
    if lines:
        found["coarse_to_fine.png"] = pictures.coarse_to_fine_png(lines, title)
    if mattered:
        found["importance.png"] = pictures.importance_png(mattered)
    return found
