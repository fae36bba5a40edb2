"""One trace from a request to what was delivered because of it, in one process; and what is left unrecorded."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from tests.support.accounts import PASSWORD, unused_email
from tests.support.eventually import eventually
from tests.support.server import TEST_SETTINGS, banyan_environment, migrated_data_dir, settings_of
from tests.support.smtp import SmtpServer
from tests.support.webhooks import Receiver

from banyan.bootstrap import asgi, build
from banyan.infra.telemetry import trace
from banyan.infra.telemetry.otlp import SaysOnce, SdkTracer, resource

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
RECORDED = {"traceparent": f"00-{TRACE_ID}-{CALLER}-01"}
UNRECORDED = {"traceparent": f"00-{TRACE_ID}-{CALLER}-00"}


class Traced(NamedTuple):
    client: httpx.AsyncClient
    exporter: InMemorySpanExporter

    def spans(self, *, of: str = TRACE_ID) -> list[ReadableSpan]:
        found = self.exporter.get_finished_spans()
        return [span for span in found if span.context is not None and f"{span.context.trace_id:032x}" == of]

    def named(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self.spans() if span.name == name]
        return span


@asynccontextmanager
async def traced(
    data_dir: Path, share: float = 0.0, settings: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Traced]:
    """The whole application in this process, and what it records."""
    own = {**settings, "BANYAN_OTLP_ENDPOINT": "http://127.0.0.1:9", "BANYAN_TRACE_SAMPLE": str(share)}
    application = build(settings_of(banyan_environment(migrated_data_dir(data_dir), TEST_SETTINGS | own)))
    exporter = InMemorySpanExporter()
    tracer = SdkTracer(SimpleSpanProcessor(exporter), resource("banyan", "development"))
    transport = httpx.ASGITransport(asgi(application))
    with trace.installed(tracer):
        async with (
            application.running(),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
        ):
            yield Traced(client, exporter)
    tracer.close()


async def register(client: httpx.AsyncClient) -> str:
    """Returns the person's id; the client is theirs from then on."""
    person = {"name": "Ada", "email": unused_email(), "password": PASSWORD}
    made = await client.post("/users/", json=person)
    del person["name"]
    session = await client.post("/auth/login", json=person)
    client.headers["authorization"] = f"Bearer {session.json()['access_token']}"
    return made.json()["id"]


async def hook(client: httpx.AsyncClient, receiver: Receiver) -> None:
    made = await client.post("/notifications/channels", json={"kind": "webhook", "url": receiver.url})
    assert made.status_code == 201, made.text


async def wait(look: Any, what: str) -> Any:
    return await asyncio.to_thread(eventually, look, what)


async def test_a_request_its_events_and_the_delivery_are_one_trace(tmp_path: Path) -> None:
    with Receiver() as receiver:
        async with traced(tmp_path) as running:
            await register(running.client)
            await hook(running.client, receiver)
            changed = await running.client.post(
                "/users/me/password",
                json={"current_password": PASSWORD, "new_password": "another-lighthouse-43"},
                headers=RECORDED,
            )
            assert changed.status_code < 300, changed.text
            await wait(
                lambda: [one for one in running.spans() if one.name == "deliver webhook"] or None,
                "it is delivered",
            )

            spans = {span.context.span_id: span for span in running.spans() if span.context is not None}
            way: list[tuple[str, SpanKind]] = []
            at: ReadableSpan | None = running.named("deliver webhook")
            while at is not None:
                way.append((at.name, at.kind))
                above = at.parent
                assert above is not None
                at = spans.get(above.span_id)
                if at is None:
                    assert f"{above.span_id:016x}" == CALLER
            assert way == [
                ("deliver webhook", SpanKind.CLIENT),
                ("process users", SpanKind.CONSUMER),
                ("send users", SpanKind.PRODUCER),
                ("transact change", SpanKind.CLIENT),
                ("POST /users/me/password", SpanKind.SERVER),
            ]


async def test_a_request_is_described_by_the_conventions_and_without_personal_data(tmp_path: Path) -> None:
    async with traced(tmp_path) as running:
        user_id = await register(running.client)
        await running.client.get(f"/users/{user_id}?secret=hush", headers=RECORDED)
        await running.client.get("/todos?limit=20", headers=RECORDED)
        await running.client.get("/ada@example.org", headers=RECORDED)

        ordinary = running.named("GET /users/{user_id}")
        assert dict(ordinary.attributes or {}) == {
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "http.route": "/users/{user_id}",
            "network.protocol.version": "1.1",
            "url.path": f"/users/{user_id}",
            "url.scheme": "http",
        }
        hot = dict(running.named("GET /todos").attributes or {})
        assert hot["http.route"] == "/todos"
        assert hot["http.response.status_code"] == 200
        everything = " ".join(span.to_json() for span in running.spans())
        assert running.named("GET").status.is_ok  # an unknown path is no fault of ours
        for private in ("ada@", "hush", "Bearer"):
            assert private not in everything


async def test_what_the_caller_does_not_record_is_not_recorded(tmp_path: Path) -> None:
    async with traced(tmp_path, share=1.0) as running:
        await register(running.client)
        before = len(running.spans())
        await running.client.get("/todos", headers=UNRECORDED)
        await running.client.post("/todos", json={"title": "Water"}, headers=UNRECORDED)
        await running.client.get("/users/me", headers=UNRECORDED)
        assert len(running.spans()) == before == 0


async def test_a_share_of_the_requests_without_a_caller_is_recorded(tmp_path: Path) -> None:
    async with traced(tmp_path / "all", share=1.0) as running:
        await running.client.get("/todos")
        (span,) = running.exporter.get_finished_spans()
        assert (span.name, span.parent) == ("GET /todos", None)
    async with traced(tmp_path / "none", share=0.0) as running:
        await running.client.get("/todos")
        assert not running.exporter.get_finished_spans()


async def test_a_head_has_the_route_of_its_get(tmp_path: Path) -> None:
    async with traced(tmp_path) as running:
        user_id = await register(running.client)
        for path in (f"/users/{user_id}", "/todos"):
            answer = await running.client.head(path, headers=RECORDED)
            assert (answer.status_code, answer.content) == (200, b"")
        assert {"HEAD /users/{user_id}", "HEAD /todos"} <= {span.name for span in running.spans()}


async def test_the_mails_of_accounts_belong_to_the_request_that_asked_for_them(tmp_path: Path) -> None:
    with SmtpServer() as server:
        async with traced(tmp_path, settings=server.settings) as running:
            await _asks_for_mails(running, server)


async def _asks_for_mails(running: Traced, server: SmtpServer) -> None:
    person = {"name": "Ada", "email": unused_email(), "password": PASSWORD}
    for path, body in (("/users/", person), ("/auth/forgot", {"email": person["email"]})):
        answer = await running.client.post(path, json=body, headers=RECORDED)
        assert answer.status_code < 300, answer.text

    def sent() -> list[ReadableSpan] | None:
        found = [span for span in running.spans() if span.name == "deliver mail"]
        return found if len(found) == 2 else None

    for span in await wait(sent, "both mails are sent"):
        assert span.kind == SpanKind.CLIENT
        assert span.parent is not None
        assert span.parent.span_id in {one.context.span_id for one in running.spans() if one.context}
        assert person["email"] not in span.to_json()
    assert [mail["To"] for mail in server.mails] == [person["email"]] * 2


async def test_each_event_of_a_batch_belongs_to_its_own_request(tmp_path: Path) -> None:
    own = [f"{number:032x}" for number in range(1, 4)]
    async with traced(tmp_path) as running:
        user_id = await register(running.client)

        async def ask(trace_id: str, path: str, body: dict[str, str]) -> None:
            headers = {"traceparent": f"00-{trace_id}-{CALLER}-01"}
            assert (await running.client.post(path, json=body, headers=headers)).status_code < 300

        for path, body in (("/todos", {"title": "Water"}), (f"/notify/{user_id}", {"message": "Hello"})):
            await asyncio.gather(*(ask(trace_id, path, body) for trace_id in own))
        for trace_id in own:

            def told(trace_id: str = trace_id) -> bool | None:
                names = [span.name for span in running.spans(of=trace_id)]
                return (names.count("send todos"), names.count("send notifications")) == (1, 1) or None

            await wait(told, "each is sent in its trace")


async def test_a_reminder_belongs_to_the_change_that_set_its_time(tmp_path: Path) -> None:
    other = {"traceparent": f"00-{TRACE_ID[::-1]}-{CALLER}-01"}
    with Receiver() as receiver:
        async with traced(tmp_path) as running:
            await register(running.client)
            await hook(running.client, receiver)
            now = datetime.now(UTC)
            later = {"title": "Water", "remind_at": (now + timedelta(days=1)).isoformat()}
            made = await running.client.post("/todos", json=later, headers=other)
            change = {"remind_at": now.isoformat()}
            await running.client.patch(f"/todos/{made.json()['id']}", json=change, headers=RECORDED)
            await wait(
                lambda: [one for one in running.spans() if one.name == "deliver webhook"] or None,
                "it is delivered",
            )
            assert "deliver webhook" not in {span.name for span in running.spans(of=TRACE_ID[::-1])}


async def test_probes_are_never_recorded(tmp_path: Path) -> None:
    async with traced(tmp_path, share=1.0) as running:
        for path in ("/livez", "/readyz", "/health", "/metrics"):
            assert (await running.client.get(path)).status_code == 200
        assert not running.exporter.get_finished_spans()


def test_what_is_raised_inside_marks_a_span_by_its_type_alone() -> None:
    exporter = InMemorySpanExporter()
    tracer = SdkTracer(SimpleSpanProcessor(exporter), resource("banyan", "development"))
    with trace.installed(tracer):
        trace.continue_trace(RECORDED["traceparent"])
        with pytest.raises(ValueError), trace.span("work"):
            raise ValueError("ada@example.org is not a name")
        trace.continue_trace(None)
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ValueError"
    assert not span.status.is_ok
    assert "ada@" not in span.to_json()


def test_what_comes_after_a_message_does_not_belong_to_its_trace() -> None:
    with trace.span_of(RECORDED["traceparent"], "process users", "consumer"):
        assert trace.current_traceparent() == RECORDED["traceparent"]
    assert trace.current_traceparent() is None


def test_another_service_is_told_of_what_is_not_recorded() -> None:
    assert trace.outgoing_traceparent() is None
    tracer = SdkTracer(SimpleSpanProcessor(InMemorySpanExporter()), resource("banyan", "development"))
    with trace.installed(tracer):
        told = trace.outgoing_traceparent()
        assert trace.valid_traceparent(told) == told
        assert not trace.is_recorded(told)


def test_an_outage_of_the_receiver_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from banyan.infra.telemetry import otlp

    said: list[str] = []

    class Log:
        def warning(self, event: str, **_facts: Any) -> None:
            said.append(event)

        info = warning

    class Flaky(InMemorySpanExporter):
        result = SpanExportResult.FAILURE

        def export(self, spans: Any) -> SpanExportResult:
            return self.result

    monkeypatch.setattr(otlp, "log", Log())
    flaky = Flaky()
    exporter = SaysOnce(flaky)
    for _ in range(3):
        exporter.export([])
    flaky.result = SpanExportResult.SUCCESS
    for _ in range(2):
        exporter.export([])
    assert said == ["traces_not_sent", "traces_sent_again"]
