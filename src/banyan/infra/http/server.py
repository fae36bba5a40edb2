"""The server process: uvicorn, with a shutdown that loses nobody.

On SIGTERM or Ctrl-C:

    at once            `/readyz` turns 503; open streams are told, one after another, to come back later; each answer ends
                       its connection, so that clients connect anew, and whatever balances the load sends them elsewhere
    after the delay    nobody can connect any more, requests in flight finish, the process ends

The delay is the time in which whoever balances the load notices. A second signal ends the process without waiting.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from banyan.infra.http import open_files
from banyan.infra.http.edge import Edge
from banyan.infra.http.protocol import Protocol

# The writer's thread asks for the interpreter after every statement; with the default of 5 ms a busy event loop would
# let it wait that long each time.
SWITCH_INTERVAL_SECONDS = 0.0005


class Server(uvicorn.Server):
    """running: what must be open while requests are answered. on_ready: called when they can be. on_stopping: called
    once when a shutdown begins, on the event loop. drain_seconds: how long requests are still accepted after that."""

    def __init__(
        self,
        config: uvicorn.Config,
        running: AbstractAsyncContextManager[None],
        on_ready: Callable[[], None],
        on_stopping: Callable[[], None],
        drain_seconds: float = 0.0,
    ) -> None:
        super().__init__(config)
        self._running = running
        self._on_ready = on_ready
        self._on_stopping = on_stopping
        self._drain_seconds = drain_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining = False

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        # Not by the ASGI lifespan protocol: it knows only that a start failed, and we want to say why.
        async with self._running:
            await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Ours: uvicorn stops listening at the first signal, and takes only a second Ctrl-C for impatience.
        self._captured_signals.append(sig)
        if self._loop is None:
            self.should_exit = True
        elif self._draining:
            self.should_exit = self.force_exit = True
        else:
            self._draining = True
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        assert self._loop is not None
        self._on_stopping()
        # uvicorn's own types of an ASGI application are not Starlette's.
        last_answers: Any = _LastAnswers(cast(ASGIApp, self.config.loaded_app))
        self.config.loaded_app = last_answers
        for connection in self.server_state.connections:
            if isinstance(connection, Protocol):
                connection.app = last_answers
        self._loop.call_later(self._drain_seconds, self._stop)

    def _stop(self) -> None:
        self.should_exit = True


class _LastAnswers:
    """The application, on connections that end with the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, send_last if scope["type"] == "http" else send)


def edge_of(app: ASGIApp) -> Edge | None:
    """The edge of an application, whatever is wrapped around it: CORS looks at no request without an `Origin`."""
    layer: object = app
    while layer is not None and not isinstance(layer, Edge):
        layer = getattr(layer, "app", None)
    return layer


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError when the address is taken or not ours."""
    return listen_side_by_side(host, port, 1)[0]


def listen_side_by_side(host: str, port: int, count: int) -> list[socket.socket]:
    """Listening sockets on one address, over which the kernel spreads new connections. Raises OSError, as `listen`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made: list[socket.socket] = []
    try:
        for number in range(count):
            sock = socket.socket(family, socket.SOCK_STREAM)
            made.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if number > 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((host, port))
            port = sock.getsockname()[1]
            if number == 0 and count > 1:
                # After its bind: the first one must find the address free, of servers that would share it too.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for sock in made:
            sock.listen(2048)
            sock.set_inheritable(True)
    except OSError:
        for sock in made:
            sock.close()
        raise
    return made


def serve(
    app: ASGIApp,
    sock: socket.socket,
    *,
    running: AbstractAsyncContextManager[None],
    on_ready: Callable[[], None],
    on_stopping: Callable[[], None],
    drain_seconds: float,
    shutdown_timeout_seconds: int,
) -> None:
    """Serve until a signal; returns when everything is closed. Raises what `running` raises at its start."""
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    open_files.allow_many()
    edge = edge_of(app)
    connection = partial(Protocol, edge and edge.short_way, edge and edge.door)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=cast(Any, connection),
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        # Without it uvicorn waits for ever on a stream that its client keeps open.
        timeout_graceful_shutdown=shutdown_timeout_seconds,
        ws_max_size=65536,
        ws_ping_interval=20,
    )
    Server(config, running, on_ready, on_stopping, drain_seconds).run(sockets=[sock])
