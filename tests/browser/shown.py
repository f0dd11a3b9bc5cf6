"""A study in MLflow's UI, as `paperstart ui` shows it."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

SIZE = {"width": 1280, "height": 900}


@dataclass
class Shown:
    """A study in MLflow's UI.

    Attributes:
        folder: of both stores.
        link: what `paperstart ui` printed.
        address: the server's.
        parent: the study's parent run.
        children: the trials' runs, by trial.
    """

    folder: Path
    link: str
    address: str
    experiment_id: str
    parent: Run
    children: list[Run]

    def run_page(self, run: Run, tab: str = "") -> str:
        """The address of a run's page."""
        place = f"experiments/{self.experiment_id}/runs/{run.info.run_id}{tab}"
        return f"{self.address}/#/{place}?workflowType=machine_learning"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def start_ui(folder: Path, experiment: str) -> tuple[subprocess.Popen[str], Shown]:
    """`paperstart ui` on a folder's MLflow store, until it says where to look."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    port = free_port()
    command = [sys.executable, "-m", "paperstart", "ui"]
    process = subprocess.Popen(
        [*command, "--tracking-uri", uri, "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    assert process.stdout is not None
    link = process.stdout.readline().strip()
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = list(client.search_runs([found.experiment_id]))
    (parent,) = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    children = [r for r in runs if "mlflow.parentRunId" in r.data.tags]
    children.sort(key=lambda run: int(run.data.tags["paperstart.trial"]))
    address = f"http://127.0.0.1:{port}"
    shown = Shown(folder, link, address, found.experiment_id, parent, children)
    return process, shown


def stop_ui(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(60)
    assert process.stdout is not None
    process.stdout.close()
