"""Spans by OpenTelemetry's SDK, sent by OTLP over HTTP. The only place that knows OpenTelemetry; imported when traces are on.

    span ends ─▶ queue (bounded; a full one drops) ─▶ a thread: a batch every second ─▶ POST …/v1/traces

The request path puts into the queue and never waits. What cannot be sent is dropped after a few tries, and said once.
"""

import asyncio
import logging
import os
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from banyan import __version__
from banyan.infra.telemetry.log import get_logger
from banyan.infra.telemetry.trace import Kind, Value, installed

log = get_logger(__name__)

# Of ended spans that wait: some 4 MB. More than that means that the receiver is away, or too slow for the share that is recorded.
MOST_WAITING = 4096
BATCH = 512
BATCH_EVERY_MILLISECONDS = 1000.0
# Of one batch, all tries together. The end of the process waits for the last one.
SEND_SECONDS = 3.0
KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}


class OneResource(Resource):
    """There is one in a process: it need not be written as JSON and hashed for each span that is sent, a tenth of what that costs."""

    __hash__ = object.__hash__


def resource(service: str, environment: str) -> Resource:
    """What every span says of its process. Source: OpenTelemetry semantic conventions, resource, service."""
    return OneResource(
        {
            "service.name": service,
            "service.namespace": "banyan",
            "service.version": __version__,
            "service.instance.id": str(uuid.uuid4()),
            "deployment.environment.name": environment,
            "process.pid": os.getpid(),
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
        }
    )


@asynccontextmanager
async def sending(endpoint: str, service: str, environment: str) -> AsyncIterator[None]:
    """Spans are recorded inside, and sent to `endpoint` + /v1/traces; at the end what waits is sent.

    To be entered in the process that records: its thread does not survive a fork.
    """
    for name in ("opentelemetry", "urllib3"):
        # They say it at each batch; we say it once an outage.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=SEND_SECONDS, compression=Compression.Gzip)
    processor = BatchSpanProcessor(
        SaysOnce(exporter),
        max_queue_size=MOST_WAITING,
        schedule_delay_millis=BATCH_EVERY_MILLISECONDS,
        max_export_batch_size=BATCH,
    )
    tracer = SdkTracer(processor, resource(service, environment))
    try:
        with installed(tracer):
            yield
    finally:
        await asyncio.to_thread(tracer.close)


class SdkTracer:
    """trace.Tracer. processor: gets each span that has ended."""

    def __init__(self, processor: SpanProcessor, of: Resource) -> None:
        # Whether a trace is recorded is decided before anything of it is made (http/traced.py).
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=of, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("banyan", __version__)

    def start(
        self,
        name: str,
        kind: Kind,
        attributes: Mapping[str, Value],
        parent: str | None,
        *,
        seconds_ago: float = 0.0,
    ) -> "RecordedSpan":
        context = Context()
        if parent is not None:
            caller = SpanContext(int(parent[3:35], 16), int(parent[36:52], 16), True, TraceFlags(1))
            context = set_span_in_context(NonRecordingSpan(caller), context)
        began = time.time_ns() - int(seconds_ago * 1e9)
        made = self._tracer.start_span(name, context, KINDS[kind], dict(attributes), start_time=began)
        assert isinstance(made, SdkSpan), "the sampler takes every span"
        return RecordedSpan(made)

    def close(self) -> None:
        """Send what waits, within SEND_SECONDS or so."""
        self._provider.shutdown()


class RecordedSpan:
    """trace.Span."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: SdkSpan) -> None:
        self._span = span
        own = span.get_span_context()
        self.traceparent = f"00-{own.trace_id:032x}-{own.span_id:016x}-01"

    def name(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, attributes: Mapping[str, Value]) -> None:
        self._span.set_attributes(dict(attributes))

    def failed(self, error_type: str) -> None:
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        if self._span.is_recording():
            self._span.end()


class SaysOnce(SpanExporter):
    """An exporter whose failure is logged once an outage, and its recovery too."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._fails = False
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed:
            self._lost += len(spans)
            if not self._fails:
                log.warning("traces_not_sent", spans=len(spans))
        elif self._fails:
            log.info("traces_sent_again", lost=self._lost)
            self._lost = 0
        self._fails = failed
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
