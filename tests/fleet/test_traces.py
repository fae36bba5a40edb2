"""One trace through a whole fleet: gateway, services, their calls to each other, Kafka, RabbitMQ, a worker, and out."""

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from tests.support.accounts import PASSWORD, Account, client_of, unused_email
from tests.support.eventually import eventually
from tests.support.fleet import RunningFleet
from tests.support.mailbox import Mailbox, token_in
from tests.support.otlp import OtlpReceiver, ReceivedSpan
from tests.support.webhooks import Receiver
from websockets.sync.client import connect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CALLER = "b7ad6b7169203331"
SERVER, CLIENT = 2, 3
# Spans are sent each second, by each process.
PATIENCE = 60.0


@pytest.fixture(scope="module")
def ada(fleet: RunningFleet, account: Account) -> Account:
    """Somebody who is told of everything by mail."""
    token = token_in(Mailbox(fleet.data_dir).wait_for(account.email))
    assert account.client.post("/auth/verify", json={"token": token}).status_code == 204
    assert account.client.post("/notifications/channels", json={"kind": "email"}).status_code == 201
    return account


@pytest.fixture(scope="module")
def hook(ada: Account) -> Iterator[Receiver]:
    """… and by a webhook."""
    with Receiver() as receiver:
        made = ada.client.post("/notifications/channels", json={"kind": "webhook", "url": receiver.url})
        assert made.status_code == 201, made.text
        yield receiver


def recorded(trace_id: str) -> dict[str, str]:
    """What a client sends that has its request recorded."""
    return {"traceparent": f"00-{trace_id}-{CALLER}-01"}


def way(traces: OtlpReceiver, trace_id: str, name: str, kind: int) -> list[str]:
    """Who did what, from the gateway down to the span of this name and kind, as soon as all of them have arrived: each one's
    parent is there, the first one's is the client's."""

    def look() -> list[str] | None:
        spans = traces.of_trace(trace_id)
        by_id = {span.span_id: span for span in spans}
        at = next((span for span in spans if (span.name, span.kind) == (name, kind)), None)
        found: list[str] = []
        while at is not None:
            found.insert(0, _told(at))
            if at.parent_id == CALLER:
                return found
            at = by_id.get(at.parent_id)
        return None

    return eventually(look, f"{name} and all above it have arrived", within_seconds=PATIENCE)


def _told(span: ReceivedSpan) -> str:
    return f"{span.resource['service.name'].removeprefix('banyan-')}: {span.name}"


def test_a_reminder_is_one_trace_from_the_client_to_the_delivery(
    traces: OtlpReceiver, ada: Account, hook: Receiver
) -> None:
    trace_id, title = secrets.token_hex(16), f"Water {secrets.token_hex(6)}"
    todo = {"title": title, "remind_at": datetime.now(UTC).isoformat()}
    assert ada.client.post("/todos", json=todo, headers=recorded(trace_id)).status_code == 201
    told = [
        "gateway: POST /todos",
        "todos: POST /todos",
        "relay: send todos",
        "notifications: process todos",
        "worker: process tasks",
    ]
    assert way(traces, trace_id, "deliver webhook", CLIENT) == [*told, "worker: deliver webhook"]
    assert way(traces, trace_id, "deliver mail", CLIENT) == [
        *told,
        "worker: deliver email",
        "worker: deliver mail",
    ]
    # To where it is mailed a worker asks the service of notifications, and that one the service of users.
    asked = "POST /internal/users/mail-address"
    assert way(traces, trace_id, asked, SERVER) == [
        *told,
        "worker: POST /internal/notifications/begin-delivery",
        "notifications: POST /internal/notifications/begin-delivery",
        f"notifications: {asked}",
        f"users: {asked}",
    ]

    def whole() -> bool | None:
        spans = traces.of_trace(trace_id)
        return {span.parent_id for span in spans} <= {CALLER, *(span.span_id for span in spans)} or None

    eventually(whole, "no span's parent is missing", within_seconds=PATIENCE)
    everything = str(traces.spans)
    assert not [private for private in (title, ada.email, ada.name, hook.url) if private in everything]
    assert not any("traceparent" in one.headers for one in hook.received)


def test_the_mail_of_a_registration_is_in_its_trace(fleet: RunningFleet, traces: OtlpReceiver) -> None:
    trace_id, email = secrets.token_hex(16), unused_email()
    person = {"name": "Bea", "email": email, "password": PASSWORD}
    with client_of(fleet.url) as client:
        assert client.post("/users/", json=person, headers=recorded(trace_id)).status_code == 201
    found = way(traces, trace_id, "deliver mail", CLIENT)
    assert (found[:2], found[-2:]) == (
        ["gateway: POST /users", "users: POST /users/"],
        ["worker: process tasks", "worker: deliver mail"],
    )


def test_a_socket_is_a_span_of_the_gateway_and_of_the_service(
    fleet: RunningFleet, traces: OtlpReceiver, ada: Account
) -> None:
    trace_id = secrets.token_hex(16)
    headers = {**recorded(trace_id), "authorization": f"Bearer {ada.access_token}"}
    with connect(f"{fleet.url.replace('http', 'ws', 1)}/ws", additional_headers=headers):
        # The service tells of it at once; the gateway when it has ended.
        traces.wait_for(trace_id, "GET /ws", within_seconds=PATIENCE)

    def ended() -> list[ReceivedSpan] | None:
        spans = [span for span in traces.of_trace(trace_id) if span.name == "GET /ws"]
        return spans if len(spans) == 2 else None

    spans = eventually(ended, "both have told of it", within_seconds=PATIENCE)
    (gateway,) = [span for span in spans if span.parent_id == CALLER]
    (service,) = [span for span in spans if span.parent_id == gateway.span_id]
    assert [_told(gateway), _told(service)] == ["gateway: GET /ws", "notifications: GET /ws"]


def test_the_gateways_log_names_the_trace(fleet: RunningFleet, ada: Account) -> None:
    trace_id = secrets.token_hex(16)
    ada.client.get("/todos", headers=recorded(trace_id))

    def logged() -> dict[str, object] | None:
        for path in fleet.folder.logs.glob("envoy*.log"):
            for line in path.read_text("utf-8").splitlines():
                if trace_id in line:
                    return json.loads(line)
        return None

    line = eventually(logged, "the request is logged", within_seconds=PATIENCE)
    assert (line["trace.id"], line["service.name"]) == (trace_id, "banyan-gateway")
