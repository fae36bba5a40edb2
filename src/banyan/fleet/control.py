"""How other commands reach the supervisor: a Unix socket in the fleet's folder, open to its owner alone.

One connection, one request: a line of JSON, `{"command": …}`. The answer is any number of lines `{"event": …}` while it is
being done, and then one `{"result": …}` or `{"error": …, "next_step": …}`.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from banyan.fleet.folder import socket_address
from banyan.fleet.process import StartFailed
from banyan.fleet.report import Event, Report
from banyan.fleet.supervisor import FleetError

MAX_REQUEST_BYTES = 64 * 1024

Handler = Callable[[dict[str, Any], Report], Awaitable[Any]]


class NoSupervisor(Exception):
    """No fleet runs in this folder."""


@asynccontextmanager
async def served(path: Path, handle: Handler) -> AsyncIterator[None]:
    """Answer requests while inside. handle: does what is asked, tells events meanwhile, returns the result."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await _answer(reader, writer, handle)
        finally:
            connections.discard(task)

    server = await asyncio.start_unix_server(connected, sock=_listen(path), limit=MAX_REQUEST_BYTES)
    try:
        yield
    finally:
        server.close()
        # Whoever asked for the end is told that it has come.
        if connections:
            await asyncio.wait(connections, timeout=1)
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - takes no time


def ask(path: Path, request: dict[str, Any], report: Report) -> Any:
    """Ask the supervisor, and wait for its result. Raises NoSupervisor, and FleetError with what it answered."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            with socket_address(path) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            raise NoSupervisor from None
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as lines:
            for line in lines:
                answer = json.loads(line)
                if "event" in answer:
                    report(Event(**answer["event"]))
                elif "error" in answer:
                    raise FleetError(answer["error"], answer["next_step"])
                else:
                    return answer["result"]
    raise FleetError("the supervisor has ended before it answered.")


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    # Not chmod afterwards: it must never have been open to others.
    mask = os.umask(0o177)
    try:
        with socket_address(path) as address:
            listening.bind(address)
    finally:
        os.umask(mask)
    return listening


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handle: Handler) -> None:
    def send(answer: dict[str, Any]) -> None:
        if not writer.is_closing():
            writer.write(json.dumps(answer).encode() + b"\n")

    try:
        request = json.loads(await reader.readline())
        send({"result": await handle(request, lambda event: send({"event": asdict(event)}))})
    except FleetError as error:
        send({"error": str(error), "next_step": error.next_step})
    except StartFailed as error:
        send({"error": f"{error}.", "next_step": error.log})
    except (ValueError, TypeError, KeyError) as error:
        send({"error": f"this is no request: {error!r}.", "next_step": ""})
    with suppress(OSError):
        await writer.drain()
        writer.close()
        await writer.wait_closed()
