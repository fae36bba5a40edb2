"""Valkey servers of the test run's own."""

import socket
from pathlib import Path

from tests.support.programs import missing
from tests.support.running import Running

from banyan.fleet.ports import free_port
from banyan.fleet.servers import valkey
from banyan.fleet.servers.server import MissingProgram


def new_valkey(folder: Path) -> Running:
    """A Valkey that is not started yet, on a free port: `with new_valkey(tmp_path) as server:`. Skips without one."""
    try:
        return Running(valkey.describe(folder / "valkey", free_port()))
    except MissingProgram as error:
        missing(str(error))


def url_of(server: Running, database: int = 0) -> str:
    return f"redis://127.0.0.1:{port_of(server)}/{database}"


def port_of(server: Running) -> int:
    argv = list(server.server.argv)
    return int(argv[argv.index("--port") + 1])


def command(server: Running, *words: str) -> bytes:
    """The beginning of the raw answer to a command, past everybody's client."""
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=5) as connection:
        parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        connection.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
        return connection.recv(65536)
