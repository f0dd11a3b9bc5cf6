"""What does a trial's run say of itself in Markdown?

The first three lines say what the run is, how it did beside the paper's own point, and
where it differs from what was published; MLflow shows them on the run's page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from paperstart._alarm_text import alarms_section
from paperstart._history import draw_attr, point_of
from paperstart._scales import ratio
from paperstart._show import shown
from paperstart._sick import alarms_of
from paperstart._study_facts import StudyFacts
from paperstart._why import why
from paperstart.tracking import FAILURE_TAG

NOTE_TAG = "mlflow.note.content"
_DRAWS = {
    "published": "the paper's own point",
    "coarse": "a coarse draw",
    "region": "a draw from the round's region",
    "full": "a draw from the full range",
    "enqueued": "enqueued by hand",
}


def child_note(
    study: Study,
    trial: BaseTrial,
    facts: StudyFacts,
    result: str | None = None,
    alarms: str = "",
) -> str:
    """The description of a trial's run.

    Args:
        study: the trial's study.
        trial: running or finished.
        facts: the study's.
        result: how the trial did, if it is over: `result_line`.
        alarms: Markdown of the run's alarms, for the end of the description.
    """
    lines = [
        _what(study, trial, facts) + "  ",
        (result or "It is running.") + "  ",
        _differences(trial.params, facts),
    ]
    if draw_attr(trial):
        lines += ["", f"Why these values: {why(study, trial)}"]
    if trial.params:
        lines += ["", *_table(trial.params, facts)]
    if alarms:
        lines += ["", alarms]
    return "\n".join(lines)


def finished_note(
    study: Study, trial: FrozenTrial, facts: StudyFacts, tags: Mapping[str, str]
) -> str:
    """The description of a finished trial's run, which has the tags."""
    result = result_line(study, trial, tags.get(FAILURE_TAG))
    alarms = alarms_section("\n".join(alarms_of(tags)))
    return child_note(study, trial, facts, result, alarms)


def result_line(study: Study, trial: FrozenTrial, failure: str | None = None) -> str:
    """How a finished trial did, beside the paper's own point."""
    if trial.state == TrialState.PRUNED:
        return f"Pruned after {len(trial.intermediate_values)} reports.{_paper(study)}"
    if trial.state == TrialState.FAIL:
        return f"Failed{f' with `{failure}`' if failure else ''}.{_paper(study)}"
    if trial.value is None:
        return "It is running."
    reached = f"It reached **{trial.value:.6g}** ({study.direction.name.lower()}d)"
    paper = _paper_value(study)
    if point_of(trial) == 0:
        return f"{reached}: the paper's own point, which all others are compared with."
    if paper is None:
        return f"{reached}; the paper's own point has no result to compare with."
    if trial.value == paper:
        return f"{reached}: as good as the paper's own point."
    upward = study.direction.name == "MAXIMIZE"
    word = "better" if (trial.value > paper) == upward else "worse"
    return (
        f"{reached}: {word} than the paper's own point ({paper:.6g}) "
        f"by {abs(trial.value - paper):.4g}."
    )


def _paper(study: Study) -> str:
    paper = _paper_value(study)
    return "" if paper is None else f" The paper's own point reached {paper:.6g}."


def _paper_value(study: Study) -> float | None:
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if point_of(trial) == 0:
            return trial.value
    return None


def _what(study: Study, trial: BaseTrial, facts: StudyFacts) -> str:
    draw = draw_attr(trial)
    place = ""
    if draw:
        how = _DRAWS.get(draw.get("kind", ""), "a draw")
        place = f", round {draw.get('round', 1)}: {how}"
    start = "" if facts.recipe is None else f", from the recipe `{facts.recipe.id}`"
    return f"Trial {trial.number} of the study `{study.study_name}`{start}{place}."


def _differences(params: Mapping[str, Any], facts: StudyFacts) -> str:
    """Which values differ from the paper, and by which factor."""
    if facts.recipe is None:
        return "No recipe: there is nothing published to compare with."
    changed, same = [], 0
    for name, value in params.items():
        hp = facts.hyperparameter(name)
        if hp is None:
            continue
        if value == hp.value:
            same += 1
            continue
        factor = ratio(value, hp.value, hp.scale)
        rest = "1-x " if hp.scale == "log1m" else ""
        by = "" if factor is None else f" ({rest}x {factor:.3g})"
        changed.append(f"{name} {_short(value)}{by}")
    if not changed:
        return f"Against the paper: all {same} searched values are as published."
    as_is = f"; {same} as published" if same else ""
    return f"Against the paper: {', '.join(changed)}{as_is}."


def _table(params: Mapping[str, Any], facts: StudyFacts) -> list[str]:
    lines = [
        "| hyperparameter | used | published | published in |",
        "| --- | --- | --- | --- |",
    ]
    for name, value in params.items():
        hp = facts.hyperparameter(name)
        published, where = "", ""
        if hp is not None:
            published = shown(hp.value)
            where = f"[{hp.source.where}]({hp.source.url})"
        lines.append(f"| {name} | {_short(value)} | {published} | {where} |")
    return lines


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else shown(value)
