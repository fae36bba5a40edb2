"""How soon `banyan up` answers, on an existing and on an empty folder, what it needs when idle, and `banyan --help`."""

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from benchmarks.speed.options import Options
from benchmarks.speed.row import LESS, Goal, Row
from tests.support.ports import free_ports

NAME = "start"

READY_GOAL = Goal(LESS, 1.5)
MEMORY_GOAL = Goal(LESS, 120)
HELP_GOAL = Goal(LESS, 0.5)
GIVE_UP_SECONDS = 60.0
LOOK_SECONDS = 0.002
SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Start:
    """ready: seconds from the start of the process to the first 200 of /readyz. cpu: of the process by then, in seconds.
    memory: resident, in MiB, a second later and after one more request."""

    ready: float
    cpu: float
    memory: float


def measure(options: Options) -> Iterator[Row]:
    starts: dict[str, list[Start]] = {"empty folder": [], "existing folder": []}
    helps = []
    _help()  # compiled files are there from now on, as on any second start
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="banyan-start-") as folder:
            for name in starts:  # the second one finds what the first has made
                starts[name].append(_start(Path(folder) / "data"))
        helps.append(_help())
    for name, found in starts.items():
        yield Row.alone(
            f"banyan up, {name}", "until it is ready, s", [one.ready for one in found], READY_GOAL
        )
        yield Row.alone(f"banyan up, {name}", "CPU until then, s", [one.cpu for one in found])
        yield Row.alone(
            f"banyan up, {name}", "memory when idle, MiB", [one.memory for one in found], MEMORY_GOAL
        )
    yield Row.alone("banyan --help", "until it has ended, s", helps, HELP_GOAL)


def _start(data_dir: Path) -> Start:
    (port,) = free_ports(1)
    began = time.perf_counter()
    with _banyan("up", "--port", str(port), "--data-dir", str(data_dir)) as process:
        while not _is_ready(port):
            if process.poll() is not None or time.perf_counter() - began > GIVE_UP_SECONDS:
                raise AssertionError(f"banyan up has not become ready (exit code {process.poll()})")
            time.sleep(LOOK_SECONDS)
        ready = time.perf_counter() - began
        seen = psutil.Process(process.pid)
        times = seen.cpu_times()
        time.sleep(SETTLE_SECONDS)
        if not _is_ready(port):
            raise AssertionError("banyan up was ready, and is no more")
        return Start(ready, times.user + times.system, seen.memory_info().rss / 2**20)


@contextmanager
def _banyan(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BANYAN_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "banyan", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _help() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "banyan", "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began
