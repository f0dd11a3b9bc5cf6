"""How does a study's report come to its parent run, and to a file?"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.study import Study

from paperstart._child_note import NOTE_TAG, finished_note
from paperstart._children import children_of, close_lost, true_status
from paperstart._study_facts import recall
from paperstart.figures import Report, study_report
from paperstart.tracking import VALUE_METRIC

PAGE = "report.html"


def refresh_report(
    study: Study, client: MlflowClient, experiment_id: str, parent_id: str
) -> Report:
    """Make the report as things stand, and write it to the parent run.

    Closes the runs of processes that are gone first, so that no status lies.
    """
    runs = children_of(client, experiment_id, parent_id)
    if close_lost(study, client, runs):
        runs = children_of(client, experiment_id, parent_id)
    report = study_report(study, runs)
    write_to_run(report, client, parent_id, runs)
    write_results(study, client, runs)
    return report


def write_results(study: Study, client: MlflowClient, runs: Mapping[int, Run]) -> None:
    """What each finished trial reached, beside the paper's, on its own run.

    When its fit ended nobody knew: the value comes later, and so may the paper's. A
    trial may also have failed after its fit.
    """
    facts = recall(study)
    for trial in study.get_trials(deepcopy=False):
        run = runs.get(trial.number)
        if run is None or not trial.state.is_finished():
            continue
        run_id, tags = run.info.run_id, run.data.tags
        note = finished_note(study, trial, facts, tags)
        if note != tags.get(NOTE_TAG):
            client.set_tag(run_id, NOTE_TAG, note)
        status = true_status(trial)
        if run.info.status == "FINISHED" != status:
            client.set_terminated(run_id, status, run.info.end_time)
        if trial.value is not None and VALUE_METRIC not in run.data.metrics:
            client.log_metric(run_id, VALUE_METRIC, trial.value, step=0)


def write_to_run(
    report: Report, client: MlflowClient, parent_id: str, runs: Mapping[int, Run]
) -> None:
    """The page, the pictures, the description, and the sums, on the parent run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / PAGE).write_text(report.page, encoding="utf-8")
        for picture, data in report.pictures.items():
            (folder / picture).write_bytes(data)
        client.log_artifacts(parent_id, str(folder))
    client.set_tag(parent_id, "mlflow.note.content", report.description)
    found, cost = report.outcome, report.cost
    sums = {"cost/hours": cost.hours, "cost/gpu_hours": cost.gpu_hours}
    if cost.energy_kwh is not None:
        sums["cost/energy_kwh"] = cost.energy_kwh
    if cost.money is not None:
        sums["cost/money"] = cost.money
    step = len(runs)
    if found is not None:
        step = found.trials
        client.set_tag(parent_id, "paperstart.best_trial", str(found.best.number))
        sums |= {
            "best/objective": found.best_value,
            "best/rounds": float(found.rounds),
        }
        if found.published_value is not None:
            sums["best/published_objective"] = found.published_value
    for key, value in sums.items():
        client.log_metric(parent_id, key, value, step=step)
