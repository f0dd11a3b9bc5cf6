"""How does somebody come to the page that shows a study's runs?

MLflow opens on a page for language models, with the study's children folded. The link
made here lands on the runs of one study, the children unfolded, with the columns that a
search has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException

from paperstart._children import children_of
from paperstart._probe import probe
from paperstart._store import PARENT_TAG
from paperstart.errors import TrackingError

# MLflow's own way to share a view: a tag of the experiment, named in the link.
_VIEW_KEY = "paperstart"
_VIEW_TAG = f"mlflow.sharedViewState.{_VIEW_KEY}"
# The runs table opens unfolded where a child has this tag (mlflow 3.17); no other
# page of MLflow's training views looks at it.
_UNFOLD_TAG = ("mlflow.runType", "evaluation")
_MOST_COLUMNS = 6
_START_S = 120.0


@dataclass(frozen=True)
class StudyPage:
    """The page of one study: its experiment, and its parent run."""

    experiment_id: str
    study: str
    parent_id: str

    def link(self, address: str) -> str:
        """The address of the page on a server."""
        view = f"workflowType=machine_learning&viewStateShareKey={quote(_VIEW_KEY)}"
        return f"{address.rstrip('/')}/#/experiments/{self.experiment_id}/runs?{view}"


def study_page(client: MlflowClient, study: str | None) -> StudyPage:
    """The page of a study, by default the one that was written last; prepares it.

    Raises:
        TrackingError: the store has no such study.
    """
    pages = _pages(client)
    if study is not None:
        found = [page for page in pages if page.study == study]
    else:
        found = pages
    if not found:
        names = ", ".join(page.study for page in pages) or "none"
        what = "no study" if study is None else f"no study {study!r}"
        raise TrackingError(
            f"MLflow's store {client.tracking_uri} has {what}. It has: {names}. "
            f"Name the store with --tracking-uri."
        )
    prepare_view(client, found[0])
    return found[0]


def prepare_view(client: MlflowClient, page: StudyPage) -> None:
    """Write down which columns the page has, and that the children are unfolded.

    A store that may only be read keeps MLflow's own view.
    """
    children = children_of(client, page.experiment_id, page.parent_id)
    runs = [children[number] for number in sorted(children)]
    state = {"selectedColumns": _columns(runs), "runsHiddenMode": "FIRST_10_RUNS"}
    try:
        client.set_experiment_tag(page.experiment_id, _VIEW_TAG, json.dumps(state))
        if runs:
            client.set_tag(runs[0].info.run_id, *_UNFOLD_TAG)
    except MlflowException:
        return


class UiServer:
    """MLflow's server for a store that is not a server itself, on this machine only.

    Attributes:
        address: where it answers.
    """

    def __init__(self, uri: str, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        if probe(self.address) is None:
            raise TrackingError(
                f"Something answers on port {port} already. Choose another --port, or "
                f"end what runs there."
            )
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--backend-store-uri", uri, "--port", str(port), "--workers", "1"]
        quiet = {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # half the memory
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **quiet},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait_until_it_answers(self) -> None:
        """Returns when a browser can be opened.

        Raises:
            TrackingError: it ended, or took too long.
        """
        end = time.monotonic() + _START_S
        while probe(self.address) is not None:
            if self.process.poll() is not None:
                raise TrackingError(
                    "MLflow's server ended at once. `mlflow server --backend-store-uri "
                    "URI` says why."
                )
            if time.monotonic() > end:
                self.stop()
                raise TrackingError(
                    f"MLflow's server did not answer within {_START_S:.0f} s."
                )
            time.sleep(0.2)

    def stop(self) -> None:
        """End the server, and wait for it."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


def _pages(client: MlflowClient) -> list[StudyPage]:
    """Each study that the store has, the last written first."""
    pages = []
    experiments: Sequence[Experiment] = client.search_experiments()
    ids = [experiment.experiment_id for experiment in experiments]
    for run in client.search_runs(ids, f"tags.`{PARENT_TAG}` != ''", max_results=500):
        study = run.data.tags["paperstart.study"]
        at = (run.info.end_time or run.info.start_time or 0, run.info.start_time or 0)
        page = StudyPage(run.info.experiment_id, study, run.info.run_id)
        pages.append((at, page))
    return [page for _, page in sorted(pages, key=lambda one: one[0], reverse=True)]


def _columns(runs: Sequence[Run]) -> list[str]:
    """The result, what was searched, the round."""
    published = [
        name.removeprefix("published/")
        for run in runs[:1]
        for name in run.data.params
        if name.startswith("published/")
    ]
    values = {name: {run.data.params.get(name) for run in runs} for name in published}
    varied = [name for name in published if len(values[name]) > 1] or published
    if not varied and runs:
        varied = list(runs[0].data.params)
    columns = ["metrics.`best/objective`"]
    columns += [f"params.`{name}`" for name in varied[:_MOST_COLUMNS]]
    return [*columns, "tags.`paperstart.round`"]
