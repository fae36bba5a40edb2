"""A real server of the test run's own, started from the description that `banyan fleet` uses too."""

import os
import signal
import subprocess
import time
from types import TracebackType
from typing import Self

from banyan.fleet.servers.server import Server

START_TIMEOUT_SECONDS = 40.0


class Running:
    """A context manager: the server runs inside and is gone outside. It can be killed, paused and started again."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.process: subprocess.Popen[bytes] | None = None
        self._log = server.folder / f"{server.name}.log"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it is ready. Again: on the data and the ports that it had."""
        self.server.prepare()
        self.server.folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.server.argv),
                cwd=self.server.folder,
                env={**os.environ, **self.server.environment},
                user=self.server.runs_as,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self.server.is_ready():
            assert self.process.poll() is None, f"{self.server.name} ended at its start\n{self.log_text()}"
            assert time.monotonic() < deadline, f"{self.server.name} is not ready\n{self.log_text()}"
            time.sleep(0.02)

    def kill9(self) -> None:
        """SIGKILL to it and all its children; returns when it is gone."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def pause(self) -> None:
        """SIGSTOP: its sockets stay open, and nothing answers."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Make sure that it is gone."""
        if self.process is None or self.process.poll() is not None:
            return
        self.go_on()
        self.server.before_stop()
        self.process.send_signal(self.server.stop_signal)
        try:
            self.process.wait(self.server.stop_seconds)
        except subprocess.TimeoutExpired:
            self.kill9()

    def log_text(self) -> str:
        return self._log.read_text("utf-8", errors="replace") if self._log.exists() else ""
