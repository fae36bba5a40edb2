"""A fleet of its own for a test: a real supervisor with real processes, in a temporary folder, on free ports."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from tests.support.command_line import Finished, banyan
from tests.support.eventually import eventually
from tests.support.server import banyan_environment

from banyan.fleet import remains
from banyan.fleet.folder import FleetFolder

UP_TIMEOUT_SECONDS = 90.0
STOP_TIMEOUT_SECONDS = 45.0
REAL = ("-m", "banyan", "fleet", "up")
# Small programs in place of services and servers, under the real supervisor.
STANDINS = ("-m", "tests.support.standin_fleet")
ROOT = Path(__file__).resolve().parents[2]


class FleetDied(AssertionError):
    """The supervisor ended, or the fleet did not come up; the text holds what it printed."""


class RunningFleet:
    """A context manager: the fleet is up inside, and nothing of it is left outside. It can be ended and started again on
    the same data.

    settings: `BANYAN_…` variables on top of the test ones. arguments: more of them for `banyan fleet up`. program: what to
    give to the interpreter.
    """

    def __init__(
        self,
        data_dir: Path,
        settings: Mapping[str, str] | None = None,
        *,
        arguments: Sequence[str] = (),
        program: Sequence[str] = REAL,
    ) -> None:
        self.data_dir = data_dir
        self.folder = FleetFolder(data_dir)
        self.settings = {"BANYAN_PORT": "0", **(settings or {})}
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.url = ""
        self._arguments = [*program, *arguments]
        self._output = data_dir.with_name(f"{data_dir.name}-output.txt")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            self.clear()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.clear()

    def start(self) -> float:
        """Start it and wait until all of it is ready; returns how many seconds that took."""
        began = time.monotonic()
        self.launch()
        self.wait_up()
        return time.monotonic() - began

    def launch(self, *, terminal: int | None = None) -> None:
        """Start the supervisor without waiting. terminal: the descriptor of one that it shall belong to."""
        environment = banyan_environment(self.data_dir, self.settings)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (environment.get("PYTHONPATH"), str(ROOT))))
        with self._output.open("ab") as output:
            self.supervisor = subprocess.Popen(
                [sys.executable, *self._arguments],
                env=environment,
                cwd=self.data_dir.parent,
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=output if terminal is None else terminal,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=None if terminal is None else _take_terminal,
            )

    def wait_up(self) -> None:
        """Return when every process is ready. Raises FleetDied."""

        def look() -> bool | None:
            if self.supervisor is not None and self.supervisor.poll() is not None:
                raise FleetDied(f"the supervisor ended with {self.supervisor.returncode}\n{self.output()}")
            found = self.try_status()
            return True if found is not None and found["is_whole"] else None

        try:
            eventually(look, "the fleet is up", within_seconds=UP_TIMEOUT_SECONDS)
        except AssertionError as error:
            raise FleetDied(f"{error}\n{self.output()}\n{self.logs()}") from error
        found = self.try_status()
        assert found is not None, self.output()
        self.url = found["url"]

    def stop(self) -> int | None:
        """End it as Ctrl-C does, and make sure that nothing is left; returns the supervisor's exit code."""
        supervisor = self.supervisor
        if supervisor is None:
            return None
        if supervisor.poll() is None:
            supervisor.send_signal(signal.SIGINT)
            try:
                supervisor.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                supervisor.kill()
                supervisor.wait()
                eventually(
                    lambda: not self.alive() or None, "the guardian has ended the fleet", within_seconds=30
                )
                raise FleetDied(f"the supervisor ignored SIGINT\n{self.output()}") from None
        return supervisor.returncode

    def clear(self) -> None:
        """SIGKILL to whatever a failed test has left: other tests must not meet it."""
        remains.kill(self.alive())

    def command(self, *arguments: str, timeout_seconds: float = 60) -> Finished:
        """Run `banyan fleet …` beside it."""
        return banyan(["fleet", *arguments], self.data_dir, self.settings, timeout_seconds=timeout_seconds)

    def status(self) -> dict[str, Any]:
        """What `banyan fleet status --json` prints."""
        return self.command("status", "--json").json()

    def try_status(self) -> dict[str, Any] | None:
        """The same from the supervisor itself, which is quick, and whether it `is_whole`; None when nobody answers."""
        from banyan.fleet import control
        from banyan.fleet.status import from_json
        from banyan.fleet.supervisor import FleetError

        try:
            fields = control.ask(self.folder.control_socket, {"command": "status"}, lambda _event: None)
        except (control.NoSupervisor, FleetError, OSError):
            return None
        return {**fields, "is_whole": from_json(fields).is_whole}

    def process(self, name: str) -> dict[str, Any]:
        """One process as the supervisor sees it now."""
        status = self.try_status()
        assert status is not None, f"no supervisor answers\n{self.output()}"
        return next(process for process in status["processes"] if process["name"] == name)

    def kill(self, name: str) -> int:
        """SIGKILL to one process, past the supervisor; returns the pid that it had."""
        pid = self.process(name)["pid"]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_back(self, name: str, old_pid: int, *, within_seconds: float = 20.0) -> dict[str, Any]:
        """The process when it is ready again, as another one than `old_pid`."""

        def look() -> dict[str, Any] | None:
            found = self.process(name)
            return found if found["state"] == "ready" and found["pid"] != old_pid else None

        return eventually(look, f"{name} is back", within_seconds=within_seconds)

    def environment(self) -> dict[str, str]:
        """What a command needs to work on this fleet, as `banyan fleet env` prints it."""
        lines = self.command("env").out.splitlines()
        script = "\n".join(["set -a", *lines, "env -0"])
        printed = subprocess.run(["sh", "-c", script], capture_output=True, check=True, env={}).stdout
        pairs = (entry.split("=", 1) for entry in printed.decode().split("\0") if "=" in entry)
        return {name: value for name, value in pairs if name.startswith("BANYAN_")}

    def tree(self) -> list[psutil.Process]:
        """The supervisor and everything that it, or what it has started, has started."""
        assert self.supervisor is not None
        supervisor = psutil.Process(self.supervisor.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def alive(self) -> list[psutil.Process]:
        """What runs of the run that is written down in the folder."""
        run = remains.read_run(self.folder.run_file)
        return remains.alive(run) if run is not None else []

    def output(self) -> str:
        """All that every supervisor of this fleet has printed."""
        return self._output.read_text("utf-8", errors="replace") if self._output.exists() else ""

    def logs(self) -> str:
        """The end of the log of each process."""
        texts = []
        for path in sorted(self.folder.logs.glob("*.log")):
            with contextlib.suppress(OSError):
                texts.append(f"== {path.name}\n{path.read_text('utf-8', errors='replace')[-2000:]}")
        return "\n".join(texts)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def still_running(processes: Sequence[psutil.Process]) -> list[str]:
    """Those that have not ended. One that is dead, and was not collected by its parent, has ended."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
    return found


def wait_gone(processes: Sequence[psutil.Process], *, within_seconds: float = 15.0) -> None:
    """Return when all have ended. Raises AssertionError that names those which have not."""
    deadline = time.monotonic() + within_seconds
    while left := still_running(processes):
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.02)
