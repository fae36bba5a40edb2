"""A TCP proxy that can be told to refuse, to swallow or to delay: one client's broken way to a server that is well."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

Mode = Literal["pass", "refuse", "swallow"]
Piece = Literal["request", "answer"]


class TcpProxy:
    """Listens on a port of its own for the server on `target`, inside of `with`, in a thread of its own.

    `refuse` ends what is open and each new connection at once; `swallow` accepts, and lets nothing through either way;
    `delay` holds each piece back so many seconds, in both directions. tls: what clients speak TLS with; the server does not.
    """

    def __init__(self, target: int, *, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._mode: Mode = "pass"
        self._delay = 0.0
        self._lost: Piece | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._socket.close()

    def set(self, mode: Mode, *, delay: float = 0.0) -> None:
        """Returns when it is so."""

        def change() -> None:
            self._mode, self._delay = mode, delay
            if mode == "refuse":
                self._end_all()

        self._do(change)

    def lose_next(self, piece: Piece) -> None:
        """End the connection on which the next request or answer comes, in place of passing that on."""

        def change() -> None:
            self._lost = piece

        self._do(change)

    def end_all(self) -> None:
        """End every connection that is open. What the servers have begun, they do not hear of it before they answer."""
        self._do(self._end_all)

    def _do(self, change: Callable[[], None]) -> None:
        async def done() -> None:
            change()

        asyncio.run_coroutine_threadsafe(done(), self._loop).result()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, sock=self._socket, ssl=self._tls)
        )
        self._loop.run_forever()
        server.close()
        self._end_all()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(task)
        self._loop.close()

    def _end_all(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "refuse":
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, far_writer}
        await asyncio.gather(
            self._pump("request", reader, far_writer), self._pump("answer", far_reader, writer)
        )
        self._open -= {writer, far_writer}

    async def _pump(self, piece_is: Piece, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await source.read(65536):
                if self._mode == "swallow":
                    continue
                if self._lost == piece_is:
                    self._lost = None
                    break
                if self._delay:
                    await asyncio.sleep(self._delay)
                sink.write(piece)
                await sink.drain()
        sink.close()
