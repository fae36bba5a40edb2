"""A server for a measurement: `banyan up` on a free port of this machine, with empty data of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
LOOK_SECONDS = 0.02
# Where data lies and whom a server talks to: a measurement must reach none of it. Other settings of the environment hold.
_PLACES = {
    "BANYAN_" + name
    for name in (
        "DATA_DIR",
        "DATABASE_URL",
        "USERS_DATABASE_URL",
        "TODOS_DATABASE_URL",
        "NOTIFICATIONS_DATABASE_URL",
        "USERS_URL",
        "TODOS_URL",
        "NOTIFICATIONS_URL",
        "REDIS_URL",
        "KAFKA_SERVERS",
        "AMQP_URL",
        "SMTP_HOST",
        "PUBLIC_URL",
        "SECRET_KEY",
        "FAULT",
    )
}
# All of the load comes from one address.
NO_LIMIT = "999999999/second"
LIMITS = ("USER", "ADDRESS", "LOGIN_ADDRESS", "REGISTER")
IN_MEMORY = {"tmpfs", "ramfs"}


class DidNotStart(Exception):
    """The text is what the server said."""


@dataclass(frozen=True, slots=True)
class OwnServer:
    """is_in_memory: its data lies on a file system without a disk, where a durable commit costs nothing."""

    url: str
    pid: int
    is_in_memory: bool


@contextmanager
def own_server(
    database_url: str | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[OwnServer]:
    """A server that is ready; stopped at the end, and its data deleted.

    database_url: of a PostgreSQL server, on which it gets a database of its own for that time; SQLite otherwise. settings: more of
    its environment. Raises DidNotStart, and Unavailable for a PostgreSQL server that cannot be reached.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="banyan-bench-")))
        more = dict(settings or {})
        if database_url is not None:
            more["BANYAN_DATABASE_URL"] = stack.enter_context(_scratch(database_url))
        process = stack.enter_context(_running(folder, more))
        url = _ready(process, folder)
        in_memory = database_url is None and _file_system(folder) in IN_MEMORY
        yield OwnServer(url, process.pid, in_memory)


@contextmanager
def _scratch(url: str) -> Iterator[str]:
    # Imported here: its driver is an extra.
    from banyan.infra.db.scratch import scratch_database

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        made = runner.run(stack.enter_async_context(scratch_database(url)))
        try:
            yield made
        finally:
            runner.run(stack.aclose())


@contextmanager
def _running(folder: Path, settings: Mapping[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    inherited = {name: value for name, value in os.environ.items() if name not in _PLACES}
    own = {
        "BANYAN_LOG_LEVEL": "WARNING",
        **{f"BANYAN_RATE_LIMIT_{name}": NO_LIMIT for name in LIMITS},
        **settings,
        "BANYAN_HOST": "127.0.0.1",
        "BANYAN_PORT": "0",
        "BANYAN_DATA_DIR": str(folder / "data"),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "banyan", "up"],
            env={**inherited, **own},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the measurement, which then stops the server.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(process: "subprocess.Popen[bytes]", folder: Path) -> str:
    """The server's address, which it writes into the lock file of its data when it is ready."""
    lock, log = folder / "data" / "banyan.lock", folder / "log"
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            url = json.loads(lock.read_text("utf-8"))["url"]
        except (OSError, ValueError, KeyError):
            url = None
        if url:
            return url
        time.sleep(LOOK_SECONDS)
    raise DidNotStart(log.read_text("utf-8", errors="replace").strip())


def _file_system(folder: Path) -> str | None:
    """Its type, as Linux names it."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return None
    above = {str(parent) for parent in [folder.resolve(), *folder.resolve().parents]}
    holding = [mount for mount in mounts if mount[1] in above]
    return max(holding, key=lambda mount: len(mount[1]))[2] if holding else None
