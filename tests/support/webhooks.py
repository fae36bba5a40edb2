"""A receiver of webhooks on a loopback port: it keeps what it gets, and answers as it is told to."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.support.eventually import eventually
from tests.support.ports import free_ports
from tests.support.programs import missing


@dataclass(frozen=True, slots=True)
class Received:
    """headers: their names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """The message, as the library of Standard Webhooks reads it with this secret; None when it is not signed by it."""
        return verified(secret, self.headers, self.body)


def verified(secret: str, headers: dict[str, str], body: bytes) -> Any:
    """See Received.verified."""
    try:
        from standardwebhooks import Webhook, WebhookVerificationError
    except ImportError:
        missing("the package standardwebhooks is not installed")
    try:
        return Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return None


class Receiver:
    """A context manager: it listens inside. It can stop and start again at the same port.

    answers: statuses for the next requests; 204 when it is empty. A function in their place is called with the handler,
    and answers by itself.
    """

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.received: list[Received] = []
        self.answers: list[int | Callable[[BaseHTTPRequestHandler], None]] = []
        # While it is not set, whoever comes waits.
        self.answering = threading.Event()
        self.answering.set()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=abc"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answering.set()
        self.stop()

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def wait_for(self, count: int, *, within_seconds: float = 20.0) -> list[Received]:
        """All that it has got, once there are so many."""
        return eventually(
            lambda: list(self.received) if len(self.received) >= count else None,
            f"{count} webhooks have arrived",
            within_seconds=within_seconds,
        )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append(Received(self.path, headers, body))
                receiver.answering.wait(60)
                answer = receiver.answers.pop(0) if receiver.answers else 204
                with suppress(OSError):  # whoever asked has gone
                    if callable(answer):
                        answer(self)
                    else:
                        self.send_response(answer)
                        self.send_header("content-length", "0")
                        self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its own name
                pass

        return Handler
