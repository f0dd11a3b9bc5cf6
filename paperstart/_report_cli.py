"""What do the commands do that show and send what a search has left?"""

from __future__ import annotations

import signal
import webbrowser
from pathlib import Path

import click
import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from optuna.study import Study

from paperstart._children import close_lost, close_lost_parent, runs_of
from paperstart._outbox import outbox_of
from paperstart._parent_report import write_results, write_to_run
from paperstart._search_cli import quiet
from paperstart._spool_folder import (
    spool_folder,
    store_folder,
    waiting_runs,
    waiting_stores,
)
from paperstart._store import open_store, resolve_uri
from paperstart._study_facts import PRICE_ATTR
from paperstart._ui import UiServer, study_page
from paperstart.errors import PaperstartError, SearchError
from paperstart.figures import study_report
from paperstart.tracking import TRACKING_URI_ATTR


def run_report(
    study_name: str, storage: str, out: Path | None, price: float | None
) -> None:
    """Write the report of a study to a file, and to its parent run if there is one."""
    quiet()
    study = _load(study_name, storage)
    if price is not None:
        study.set_user_attr(PRICE_ATTR, price)
    found = _runs(study)
    report = study_report(study, None if found is None else found[2])
    path = out or Path(f"{_file_name(study_name)}-report.html")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.page, encoding="utf-8")
    except OSError as error:
        raise SearchError(
            f"The report cannot be written to {path} ({error.strerror}). "
            f"Name another file with --out."
        ) from None
    if found is not None:
        client, parent_id, runs = found
        write_to_run(report, client, parent_id, runs)
        write_results(study, client, runs)
    print(path)


def run_ui(study: str | None, tracking_uri: str | None, port: int, opens: bool) -> None:
    """Start MLflow's UI for the store in use, and say where the study is to be seen."""
    quiet()
    uri = resolve_uri(tracking_uri)
    page = study_page(open_store(uri), study)
    if uri.startswith(("http://", "https://")):
        _show(page.link(uri), opens)
        return
    click.echo(f"Starting MLflow's UI for {uri} ...", err=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no server behind
    server = UiServer(uri, port)
    try:
        server.wait_until_it_answers()
        _show(page.link(server.address), opens)
        click.echo("Ctrl-C ends it.", err=True)
        server.process.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()


def run_sync() -> None:
    """Send what trainings have left behind; says what is still waiting."""
    quiet()
    stores = waiting_stores()
    if not stores:
        click.echo(f"Nothing waits in {spool_folder()}.", err=True)
        return
    left = 0
    for uri in stores:
        left += _sync_store(uri)
    if left:
        raise click.exceptions.Exit(1)


def _sync_store(uri: str) -> int:
    """Send one store's; how many runs are left."""
    folder = store_folder(uri)
    waiting = {name.partition("~")[0] for name in waiting_runs(folder)}
    said = ""
    try:
        outbox = outbox_of(open_store(uri))
        for run_id in sorted(waiting):
            outbox.wait(run_id)
            refused, words = outbox.refusals(run_id)
            if refused:
                click.echo(f"{run_id}: MLflow refused {refused}: {words}", err=True)
        said = outbox.away or ""
    except (PaperstartError, MlflowException) as error:
        said = str(error)
    left = {name.partition("~")[0] for name in waiting_runs(folder)}
    for run_id in sorted(waiting - left):
        print(f"{uri} {run_id}")
    if left:
        why = said or "another process is at work on them"
        click.echo(f"{len(left)} run(s) still wait for {uri}: {why}", err=True)
    return len(left)


def _show(link: str, opens: bool) -> None:
    print(link, flush=True)
    if opens:
        webbrowser.open(link)


def _load(name: str, storage: str) -> Study:
    try:
        known = optuna.get_all_study_names(storage)
    except Exception as error:  # whatever the storage's driver raises
        said = str(error).strip().partition("\n")[0]
        raise SearchError(
            f"Optuna's storage {storage} cannot be opened: {said}. "
            f"Check --storage, and that the file exists."
        ) from error
    if name not in known:
        raise SearchError(
            f"The storage {storage} has no study {name!r}. "
            f"It has: {', '.join(sorted(known)) or 'none'}."
        )
    return optuna.load_study(study_name=name, storage=storage)


def _runs(study: Study) -> tuple[MlflowClient, str, dict[int, Run]] | None:
    """MLflow's side of a study, its lost runs closed; ``None`` if it has none."""
    uri = study.user_attrs.get(TRACKING_URI_ATTR)
    if uri is None:
        return None
    try:
        client: MlflowClient = open_store(uri)
        found = runs_of(study, client)
        if found is None:
            return None
        parent_id, runs = found
        if close_lost(study, client, runs):
            parent_id, runs = runs_of(study, client) or found
        close_lost_parent(client, parent_id, runs)
    except (PaperstartError, MlflowException) as error:
        click.echo(f"MLflow's runs are left out: {error}", err=True)
        return None
    return client, parent_id, runs


def _file_name(study: str) -> str:
    """The study's name without what a file's name cannot have."""
    kept = "".join(c if c.isalnum() or c in "-_." else "-" for c in study)
    return kept.strip("-.")[:100] or "study"
