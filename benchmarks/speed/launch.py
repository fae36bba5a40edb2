"""Servers of peers as processes."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS = 60.0
STOP_SECONDS = 15.0
LOOK_SECONDS = 0.05


class PeerFailed(Exception):
    """A peer that could not be installed or did not start; the text says why."""


@contextmanager
def process(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str], log: Path, port: int
) -> Iterator[int]:
    """A server that listens on the port; yields its pid. Raises PeerFailed with its log."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BANYAN_")}
    with log.open("wb") as output:
        started = subprocess.Popen(
            list(command),
            cwd=cwd,
            env={**inherited, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _listens(port):
            if started.poll() is not None or time.monotonic() > deadline:
                raise PeerFailed(f"{command[0]} did not start:\n{log.read_text(errors='replace')}")
            time.sleep(LOOK_SECONDS)
        yield started.pid
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
