"""The tracking server goes away in mid-training: nothing is lost, nothing is doubled.

A real `mlflow server` is killed, hung, broken and restarted; real trainings log to it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lit import Callback, Trainer
from mlflow import MlflowClient
from optuna import Trial
from optuna.trial import TrialState
from server import Server
from tiny import BATCHES, Net, fit, history
from torch import Tensor

from paperstart import PaperStartCallback, load_recipe
from paperstart._outbox import outbox_of
from paperstart._run_log import RunLog
from paperstart._send import send
from paperstart._spool import LIMIT_VARIABLE
from paperstart._spool_folder import store_folder, waiting_runs
from paperstart._store import ensure_experiment, open_store, start_run
from paperstart.errors import TrackingError
from paperstart.search import Search
from paperstart.tracking import RUN_ATTR

EPOCHS = 10
STEPS = EPOCHS * BATCHES
TESTS = Path(__file__).parent


class Ticking(Net):
    """Logs the number of each step, so that one can count what has arrived."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.log("tick", float(self.global_step + 1))
        return super().training_step(batch, batch_idx)


class At(Callback):
    """Does something after given steps."""

    def __init__(self, **actions: Callable[[], None]) -> None:
        self.actions = {int(name[1:]): call for name, call in actions.items()}

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.actions.get(trainer.global_step, lambda: None)()


@pytest.fixture
def server(fresh_store: Path, tmp_path: Path) -> Iterator[Server]:
    """A server that runs, on a store of its own."""
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(fresh_store, folder / "mlflow.db")
    server = Server(folder / "mlflow.db")
    server.start()
    yield server
    server.go_on()
    server.kill()


@pytest.fixture
def callback(server: Server) -> PaperStartCallback:
    return PaperStartCallback(tracking_uri=server.uri, system_interval_s=0.5)


def train(callback: PaperStartCallback, at: At, epochs: int = EPOCHS) -> Trainer:
    """Train with one log per step; ``at`` disturbs it."""
    return fit(callback, at, net=Ticking(), epochs=epochs, log_every_n_steps=1)


def assert_complete(uri: str, run_id: str | None, steps: int = STEPS) -> None:
    """Each step's metric is there, once, with its own value, and the run has ended."""
    expected = [(step, float(step)) for step in range(1, steps + 1)]
    assert history(uri, run_id, "train/tick") == expected
    client = MlflowClient(uri)
    stored = client.get_metric_history(run_id, "train/tick")
    times = [m.timestamp for m in sorted(stored, key=lambda m: m.step)]
    assert times == sorted(times)
    assert client.get_run(run_id).info.status == "FINISHED"
    names = {file.path for file in client.list_artifacts(run_id)}
    assert {"batchnorm", "environment.txt"} <= names


def assert_all_sent(uri: str, run_id: str | None) -> None:
    assert run_id is not None
    assert outbox_of(MlflowClient(uri)).wait(run_id, 120)
    assert waiting_runs(store_folder(uri)) == []


@pytest.mark.outage
class TestInOneTraining:
    """The training goes on, and so does what it logs."""

    def test_it_comes_back_before_the_end(
        self, server: Server, callback: PaperStartCallback
    ) -> None:
        """Killed at step 10 and back at step 40: no warning, and nothing is missing."""
        train(callback, At(_10=server.kill, _40=server.start))

        assert_all_sent(server.uri, callback.run_id)
        assert_complete(server.uri, callback.run_id)

    def test_connection_refused(
        self, server: Server, callback: PaperStartCallback
    ) -> None:
        """Killed for good: the training ends as ever, and says what waits and where."""
        with pytest.warns(RuntimeWarning, match="does not answer") as caught:
            made = train(callback, At(_10=server.kill))
        assert made.global_step == STEPS
        assert "paperstart sync" in str(caught[-1].message)
        assert waiting_runs(store_folder(server.uri)) == [callback.run_id]

        server.start()
        assert_all_sent(server.uri, callback.run_id)
        assert_complete(server.uri, callback.run_id)

    def test_it_hangs(self, server: Server, callback: PaperStartCallback) -> None:
        """A server that takes requests and never answers holds up nobody."""
        with pytest.warns(RuntimeWarning, match="does not answer"):
            made = train(callback, At(_10=server.hang))
        assert made.global_step == STEPS

        server.go_on()
        assert_all_sent(server.uri, callback.run_id)
        assert_complete(server.uri, callback.run_id)

    def test_http_500(self, server: Server, callback: PaperStartCallback) -> None:
        """A server that answers with errors only is one that is away."""
        broken = server.broken()

        def breaks() -> None:
            server.kill()
            broken.__enter__()

        with pytest.warns(RuntimeWarning, match=r"does not answer \(it answered 500\)"):
            made = train(callback, At(_10=breaks))
        assert made.global_step == STEPS

        broken.__exit__(None, None, None)
        server.start()
        assert_all_sent(server.uri, callback.run_id)
        assert_complete(server.uri, callback.run_id)


@pytest.mark.outage
class TestAtTheStart:
    """A fit that begins while the server is away waits for it."""

    @staticmethod
    def back_in(seconds: float, server: Server) -> threading.Timer:
        """Have the server started again, while somebody waits for it."""
        timer = threading.Timer(seconds, server.start)
        timer.start()
        return timer

    def test_the_next_fit_waits(
        self, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A server that has answered before is waited for, and all of it arrives."""
        train(PaperStartCallback(tracking_uri=server.uri), At(), epochs=1)
        server.kill()
        timer = self.back_in(5, server)
        callback = PaperStartCallback(tracking_uri=server.uri)

        train(callback, At(), epochs=1)

        timer.join()
        assert "does not answer" in caplog.text
        assert "waiting" in caplog.text
        assert_all_sent(server.uri, callback.run_id)
        assert_complete(server.uri, callback.run_id, BATCHES)

    def test_a_search_waits(self, server: Server, tmp_path: Path) -> None:
        """Between two trials: none fails, and each has its run."""
        timers: list[threading.Timer] = []

        def objective(trial: Trial) -> float:
            rate = trial.suggest_float("learning_rate", 1e-3, 1, log=True)
            made = train(PaperStartCallback(trial=trial), At(), epochs=1)
            if trial.number == 0:
                server.kill()
                timers.append(self.back_in(5, server))
            return float(made.callback_metrics["val_acc"]) * rate

        search = Search(
            objective=objective,
            recipe=load_recipe("resnet20-cifar10"),
            study_name="away",
            storage=f"sqlite:///{tmp_path / 'study.db'}",
            tracking_uri=server.uri,
            pruner="none",
            seed=0,
        )
        with warnings.catch_warnings():  # of the first trial's end, that it waits
            warnings.simplefilter("ignore", RuntimeWarning)
            result = search.run(3)
        timers[0].join()

        states = [trial.state for trial in result.study.trials]
        assert states == [TrialState.COMPLETE] * 3
        for trial in result.study.trials:
            assert_all_sent(server.uri, trial.user_attrs[RUN_ATTR])
            assert_complete(server.uri, trial.user_attrs[RUN_ATTR], BATCHES)
        client = MlflowClient(server.uri)
        parent = client.get_run(result.parent_id)
        assert parent.info.status == "FINISHED"
        assert "best/objective" in parent.data.metrics
        names = {file.path for file in client.list_artifacts(result.parent_id)}
        assert "report.html" in names

    def test_a_server_that_was_never_there(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A wrong address is not waited for long, and the error says what to do."""
        monkeypatch.setattr("paperstart._probe.FIRST_S", 1.0)
        callback = PaperStartCallback(tracking_uri="http://127.0.0.1:9")

        with pytest.raises(TrackingError, match=r"does not answer .* Start the server"):
            train(callback, At(), epochs=1)


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from test_outage import At, Ticking, fit
from paperstart import PaperStartCallback
callback = PaperStartCallback(tracking_uri=sys.argv[1])
def show(trainer, *_):
    if trainer.global_step == 3:
        print(callback.run_id, flush=True)
    print(trainer.global_step, flush=True)
    time.sleep(0.02)
at = At()
at.on_train_batch_end = show
fit(callback, at, net=Ticking(), epochs=int(sys.argv[2]), log_every_n_steps=1)
"""


class Training:
    """A training in a process of its own, which can be killed."""

    def __init__(self, uri: str, epochs: int) -> None:
        code = SCRIPT.format(tests=str(TESTS))
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code, uri, str(epochs)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        )
        self.run_id = ""
        self.step = 0

    def until(self, step: int) -> None:
        """Read what it says until it has done so many steps."""
        assert self.process.stdout is not None
        while self.step < step:
            line = self.process.stdout.readline().strip()
            assert line, "the training ended"
            if line.isdecimal() and len(line) < 8:
                self.step = int(line)
            else:
                self.run_id = line

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        with self.process.stdout as rest:
            numbers = [n for n in rest.read().split() if n.isdecimal()]
        self.step = max([self.step, *map(int, numbers)])


def paperstart(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "paperstart", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        timeout=300,
    )


@pytest.mark.outage
class TestKilled:
    """The training's own process dies as well, while the server is away."""

    def test_sync_sends_what_is_left(self, server: Server) -> None:
        """`paperstart sync` says that it cannot, then that it has, then that all is."""
        training = Training(server.uri, epochs=1000)
        training.until(20)
        server.kill()
        training.until(training.step + 100)
        training.kill()

        failed = paperstart("sync")
        assert failed.returncode == 1
        assert "1 run(s) still wait" in failed.stderr
        server.start()
        done = paperstart("sync")
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{server.uri} {training.run_id}\n"
        assert "Nothing waits" in paperstart("sync").stderr

        found = history(server.uri, training.run_id, "train/tick")
        # The last step's print may have come before its log, or the other way round.
        assert abs(len(found) - training.step) <= 1
        assert found == [(n, float(n)) for n in range(1, len(found) + 1)]

    def test_the_next_training_sends_it_too(self, server: Server) -> None:
        """Whoever trains next with the same server sends what another left behind."""
        training = Training(server.uri, epochs=1000)
        training.until(20)
        server.kill()
        training.until(training.step + 60)
        training.kill()
        server.start()
        following = Training(server.uri, epochs=2)
        assert following.process.communicate(timeout=120)
        assert following.process.returncode == 0

        found = history(server.uri, training.run_id, "train/tick")
        assert abs(len(found) - training.step) <= 1
        assert found == [(n, float(n)) for n in range(1, len(found) + 1)]


@pytest.fixture
def small_disk(fresh_store: Path, tmp_path: Path) -> Iterator[Path]:
    """A file system with little room beside a store's schema."""
    folder = tmp_path / "disk"
    folder.mkdir()
    megabytes = fresh_store.stat().st_size / 1e6 + 4
    size = f"size={int(megabytes * 1024)}k"
    command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no small file system without rights to mount: {done.stderr}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"0" * 4096):
            pass
    return filler


def a_log(uri: str) -> RunLog:
    client = open_store(uri)
    experiment_id = ensure_experiment(client, uri, "an experiment")
    return RunLog(client, start_run(client, experiment_id, None, {}))


class TestDiskFull:
    """SQLite has no room for what comes; the spool may have none either."""

    @pytest.mark.parametrize("spool_too", [False, True])
    def test_all_of_it_arrives(
        self,
        small_disk: Path,
        fresh_store: Path,
        spool_too: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What found no room waits, if need be in memory, and is sent in order."""
        shutil.copy(fresh_store, small_disk / "mlflow.db")
        uri = f"sqlite:///{small_disk / 'mlflow.db'}"
        if spool_too:
            monkeypatch.setenv("PAPERSTART_SPOOL", str(small_disk / "spool"))
        log = a_log(uri)
        log.log_metrics({"train/a": 1.0}, 1)
        log.close()
        filler = fill(small_disk)
        for step in range(2, 400):
            log.log_metrics({f"train/{n}": float(step) for n in "abcdefgh"}, step)
        with pytest.warns(RuntimeWarning, match="does not answer"):
            log.close("FINISHED")
        filler.unlink()
        assert outbox_of(MlflowClient(uri)).wait(log.run_id, 60)

        expected = [(step, float(step)) for step in range(1, 400)]
        assert history(uri, log.run_id, "train/a") == expected
        assert history(uri, log.run_id, "train/h") == expected[1:]
        assert MlflowClient(uri).get_run(log.run_id).info.status == "FINISHED"


class TestSpool:
    """What waits has bounds, and nobody reads it twice."""

    def test_it_is_bounded(
        self, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Past its limit metrics are dropped and counted; what came first stays."""
        monkeypatch.setenv(LIMIT_VARIABLE, "0.01")
        log = a_log(store)
        log.log_metrics({"train/a": 0.0}, 0)
        log.close()
        (tmp_path / "mlflow.db").rename(tmp_path / "elsewhere.db")
        (tmp_path / "mlflow.db").mkdir()
        for step in range(1, 1000):
            log.log_metrics({"train/a": float(step)}, step)
        spool = store_folder(store) / log.run_id / "queue.jsonl"
        assert spool.stat().st_size <= 10_000
        with pytest.warns(RuntimeWarning, match=r"(\d+) metrics .* found no room"):
            log.close()
        (tmp_path / "mlflow.db").rmdir()
        (tmp_path / "elsewhere.db").rename(tmp_path / "mlflow.db")
        assert outbox_of(MlflowClient(store)).wait(log.run_id, 60)

        found = history(store, log.run_id, "train/a")
        assert 100 < len(found) < 999
        assert found == [(n, float(n)) for n in range(len(found))]

    def test_what_was_sent_before_a_crash_is_taken_once(self, store: str) -> None:
        """A batch that is sent again, since nobody noted that it was, adds nothing."""
        log = a_log(store)
        client = MlflowClient(store)
        log.log_metrics({"train/a": 1.0, "train/b": 2.0}, 1)
        assert log._spool is not None
        batch = log._spool.next_batch()
        assert batch is not None
        for _ in range(3):
            send(client, log._spool, batch)
        log.close()

        assert history(store, log.run_id, "train/a") == [(1, 1.0)]
        assert history(store, log.run_id, "train/b") == [(1, 2.0)]

    @pytest.mark.outage
    def test_a_live_process_keeps_its_spool(self, server: Server) -> None:
        """`paperstart sync` leaves alone what a training is about to send itself."""
        training = Training(server.uri, epochs=1000)
        training.until(20)
        server.kill()
        training.until(training.step + 40)
        server.start()
        said = paperstart("sync")
        training.until(training.step + 40)
        time.sleep(4)
        training.kill()
        paperstart("sync")

        assert said.stdout == ""
        found = history(server.uri, training.run_id, "train/tick")
        assert found == [(n, float(n)) for n in range(1, len(found) + 1)]
        assert abs(len(found) - training.step) <= 1
