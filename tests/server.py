"""A real MLflow server on this machine that a test starts, stops, hangs and kills."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_START_S = 180


class Server:
    """`mlflow server` on one port and one SQLite file, however often it is started."""

    def __init__(self, database: Path) -> None:
        self.database = database
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.database}"]
        command += ["--artifacts-destination", str(self.database.parent / "artifacts")]
        env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        log = (self.database.parent / "server.log").open("ab")
        self._process = subprocess.Popen(
            command, env=env, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        end = time.monotonic() + _START_S
        while not self.answers():
            assert self._process.poll() is None, "the server ended at once"
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.1)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """At once, as a machine that goes down; whoever connects is refused."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        """It takes connections, and says nothing any more."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    @contextmanager
    def broken(self) -> Iterator[None]:
        """In its place something answers every request with HTTP 500."""
        broken = self._broken_server()
        thread = threading.Thread(target=broken.serve_forever)
        thread.start()
        try:
            yield
        finally:
            broken.shutdown()
            thread.join()
            broken.server_close()

    def _broken_server(self) -> ThreadingHTTPServer:
        end = time.monotonic() + 10
        while True:
            try:
                return ThreadingHTTPServer(("127.0.0.1", self.port), _Broken)
            except OSError:  # the killed server's workers still have the port
                assert time.monotonic() < end
                time.sleep(0.05)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, number)  # its workers too; a group of its own


class _Broken(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(500)
        self.end_headers()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing on stderr."""
