"""A receiver of traces: OTLP over HTTP on a loopback port. It decodes what it gets, and keeps the spans."""

import gzip
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from tests.support.eventually import eventually


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """parent_id: empty for the first span of a trace. kind: as in OTLP (2 server, 3 client, 4 producer, 5 consumer)."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    failed: bool


class OtlpReceiver:
    """A context manager: it listens inside."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.paths: set[str] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = _body(self)
                if self.headers["content-encoding"] == "gzip":
                    body = gzip.decompress(body)
                receiver.paths.add(self.path)
                receiver.spans += spans_in(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its own name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of_trace(self, trace_id: str) -> list[ReceivedSpan]:
        return [one for one in list(self.spans) if one.trace_id == trace_id]

    def wait_for(self, trace_id: str, *names: str, within_seconds: float = 20.0) -> list[ReceivedSpan]:
        """The spans of a trace, once those of these names are there."""

        def found() -> list[ReceivedSpan] | None:
            spans = self.of_trace(trace_id)
            return spans if set(names) <= {one.name for one in spans} else None

        return eventually(
            found, f"the spans {names} of {trace_id} have arrived", within_seconds=within_seconds
        )


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers["transfer-encoding"] != "chunked":  # Envoy's are
        return request.rfile.read(int(request.headers["content-length"]))
    parts = list[bytes]()
    while length := int(request.rfile.readline(), 16):
        parts.append(request.rfile.read(length))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)


def spans_in(body: bytes) -> list[ReceivedSpan]:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    return [
        ReceivedSpan(
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            name=span.name,
            kind=span.kind,
            attributes=_plain(span.attributes),
            resource=_plain(group.resource.attributes),
            failed=span.status.code == 2,
        )
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def way_to(spans: list[ReceivedSpan], name: str) -> list[str]:
    """The names from the first span that was received of a trace down to the one of this name."""
    by_id = {one.span_id: one for one in spans}
    (last,) = [one for one in spans if one.name == name]
    way: list[str] = []
    at: ReceivedSpan | None = last
    while at is not None:
        way.insert(0, at.name)
        at = by_id.get(at.parent_id)
    return way
