"""A replica that tells what reached it and behaves as badly as a test wants: in place of a service behind the gateway."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

PROBES = ("/readyz", "/.well-known/jwks.json")


@dataclass(frozen=True, slots=True)
class Arrived:
    method: str
    path: str
    headers: Mapping[str, str]


class Replica:
    """A context manager: it listens inside. It answers 200 and its name, after it has done what `behave` does.

    behave: called with each request but probes; a number it returns is the status. To break the connection it raises
    ConnectionError. keys: what it serves as its JWKS; 503 without.
    """

    def __init__(self, name: str = "replica", keys: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.arrived: list[Arrived] = []
        self.behave: Callable[[Arrived], int | None] = lambda _: None
        self.ready = True
        self.keys = keys
        replica = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object, **more: object) -> None:
                """Say nothing."""

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            setattr(Handler, f"do_{method}", lambda handler: replica._answer(handler))

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request: object, client_address: object) -> None:
                """A broken connection is what the test asked for."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        # Asked so often whether it is to stop, that stopping takes no time.
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = urlsplit(handler.path).path
        handler.rfile.read(int(handler.headers.get("content-length") or 0))
        if path in PROBES:
            is_well = self.ready if path == PROBES[0] else self.keys is not None
            self._send(handler, 200 if is_well else 503, self.keys or {})
            return
        arrived = Arrived(
            handler.command, path, {name.lower(): value for name, value in handler.headers.items()}
        )
        self.arrived.append(arrived)
        status = self.behave(arrived) or 200
        self._send(handler, status, {"replica": self.name})

    def _send(self, handler: BaseHTTPRequestHandler, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        handler.send_header("x-envoy-upstream-service-time", "1")
        handler.end_headers()
        handler.wfile.write(body)


def breaks(_: Arrived) -> int | None:
    """Close the connection without an answer."""
    raise ConnectionError


def slow(seconds: float) -> Callable[[Arrived], int | None]:
    def wait(_: Arrived) -> int | None:
        time.sleep(seconds)
        return None

    return wait
