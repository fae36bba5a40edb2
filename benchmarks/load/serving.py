"""A Banyan server for a load test: `banyan up` on a free port of the loopback interface, with an empty data folder."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from banyan.fleet.ports import free_port

READY_SECONDS = 60
LOOK_SECONDS = 0.05

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Served:
    url: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """CPU time so far of the server and all that it has started; the load generator's is not in it."""
        return sum(times.user + times.system for times in (one.cpu_times() for one in self._processes()))

    def memory_mib(self) -> float:
        return sum(one.memory_info().rss for one in self._processes()) / 2**20

    def _processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def server(settings: Mapping[str, str] | None = None, *, fleet: bool = False) -> Iterator[Served]:
    """A server that is ready, with the default settings but for `settings`; stopped and its data deleted at the end.

    fleet: a whole one, behind its gateway, with its default replicas.
    """
    command = [sys.executable, "-m", "banyan", *(["fleet", "up"] if fleet else ["up"])]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BANYAN_")}
    with tempfile.TemporaryDirectory(prefix="banyan-load-") as folder:
        port = free_port()
        place = {"BANYAN_HOST": "127.0.0.1", "BANYAN_PORT": str(port), "BANYAN_DATA_DIR": f"{folder}/data"}
        log = Path(folder) / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env={**inherited, "BANYAN_LOG_LEVEL": "WARNING", **(settings or {}), **place},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, process, log)
            if fleet:
                _wait_until_whole(Path(folder) / "data")
            yield Served(url, psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def _wait_until_whole(data_dir: Path) -> None:
    """The gateway answers before every service does; the fleet's status says when all of it is ready."""
    status = [sys.executable, "-m", "banyan", "--data-dir", str(data_dir), "fleet", "status"]
    deadline = time.monotonic() + READY_SECONDS
    while subprocess.run(status, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        if time.monotonic() > deadline:
            raise SystemExit(f"The fleet was not ready after {READY_SECONDS} s.")


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"The server stopped while starting:\n{log.read_text()}")
        try:
            _opener.open(f"{url}/readyz", timeout=5).close()
            return
        except OSError:  # refused, or a 503 until it is ready
            time.sleep(LOOK_SECONDS)
    raise SystemExit(f"The server was not ready after {READY_SECONDS} s:\n{log.read_text()}")
