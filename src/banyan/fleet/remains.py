"""What a fleet has started, written down so that it can be ended by others than its supervisor.

Two marks make sure that nothing else is ever ended. A process that the supervisor started is known by its pid together with
the moment of its birth. What such a process has started in turn, even as a daemon, carries the name of the run in its
environment.
"""

import json
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

KILL_SECONDS = 5.0
LOOK_SECONDS = 0.01
RUN_VARIABLE = "FLEET_RUN"
PROCESS_VARIABLE = "FLEET_PROCESS"


@dataclass(frozen=True, slots=True)
class Started:
    """A process that runs. stage: higher ones are ended first. stop_signal: what ends it in good order."""

    name: str
    pid: int
    birth: str
    stage: int
    stop_signal: int


@dataclass(frozen=True, slots=True)
class Run:
    """One life of a fleet, from `up` to its end. id: no other run has it."""

    id: str
    supervisor: int
    processes: tuple[Started, ...] = field(default=())


def birth_of(pid: int) -> str | None:
    """When a process was born, in a form that no other process of this pid ever has; None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        # Ticks since the machine was started: unlike the time of day nobody sets it.
        return f"{boot}/{text.rpartition(')')[2].split()[19]}"
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return None
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return None


def write_run(path: Path, run: Run) -> None:
    """Whole or not at all: the supervisor may be killed at any moment."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(asdict(run), indent=1), "utf-8")
    beside.replace(path)


def read_run(path: Path) -> Run | None:
    """What was written last; None when there is nothing to read."""
    try:
        text: dict[str, Any] = json.loads(path.read_text("utf-8"))
        started = tuple(Started(**fields) for fields in text["processes"])
        return Run(text["id"], text["supervisor"], started)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def marked(run_id: str, name: str | None = None) -> list[psutil.Process]:
    """The processes that carry this run in their environment; name: only those of one process of the fleet.

    A process may overwrite its environment, as those do that write a title into the list of processes.
    """
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            environment = process.environ()
            if environment.get(RUN_VARIABLE) == run_id and name in (None, environment.get(PROCESS_VARIABLE)):
                found.append(process)
    return [process for process in found if process.pid != os.getpid() and _is_alive(process)]


def alive(run: Run) -> list[psutil.Process]:
    """All that still runs of a run, descendants included."""
    found: dict[int, psutil.Process] = {}
    for started in run.processes:
        with suppress(psutil.Error):
            process = psutil.Process(started.pid)
            if birth_of(started.pid) == started.birth:
                found |= {each.pid: each for each in (process, *process.children(recursive=True))}
    found |= {process.pid: process for process in marked(run.id)}
    return [process for process in found.values() if _is_alive(process)]


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL, and wait until they are gone."""
    processes = list(processes)
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    _wait(processes, KILL_SECONDS)


def kill_tree(pid: int) -> None:
    """SIGKILL to a process of ours and to all that descends from it; does not wait."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (*process.children(recursive=True), process):
            with suppress(psutil.Error):
                each.kill()


def end(run: Run, seconds: float) -> int:
    """End what still runs of a run: in good order, the last stage first, then by force; returns how many processes it was.

    seconds: what each stage is given to end by itself.
    """
    count = len(alive(run))
    for stage in sorted({started.stage for started in run.processes}, reverse=True):
        leaders = []
        for started in run.processes:
            if started.stage == stage and birth_of(started.pid) == started.birth:
                with suppress(psutil.Error):
                    process = psutil.Process(started.pid)
                    process.send_signal(signal.Signals(started.stop_signal))
                    leaders.append(process)
        _wait(leaders, seconds)
    kill(alive(run))
    return count


def _wait(processes: list[psutil.Process], seconds: float) -> None:
    """Until they have ended. Whether somebody has collected them is not our business: not all of them are our children."""
    deadline = time.monotonic() + seconds
    while any(_is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
