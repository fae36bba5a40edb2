"""The gateway has a span of each recorded request, between its client's and the service's, and tells nothing private in it."""

import secrets
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest
from tests.gateway.conftest import Tokens
from tests.support.accounts import client_of
from tests.support.eventually import eventually
from tests.support.gateway import Gateway, everything_at, gateway
from tests.support.otlp import OtlpReceiver
from tests.support.replica import Replica

from banyan.gateway.plan import Traces

CALLER = "b7ad6b7169203331"


class Front(NamedTuple):
    gateway: Gateway
    replica: Replica
    receiver: OtlpReceiver
    client: httpx.Client

    def arrived(self, **headers: str) -> str:
        """The `traceparent` that reaches the service when a client sends these."""
        self.replica.arrived.clear()
        self.client.get("/todos/7?ticket=secret", headers={"user-agent": "secret-agent", **headers})
        (request,) = self.replica.arrived
        return request.headers["traceparent"]


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, tokens: Tokens) -> Iterator[Front]:
    """A gateway that records nothing unless it is asked to."""
    folder = tmp_path_factory.mktemp("traces")
    with Replica("one", tokens.jwks) as replica, OtlpReceiver() as receiver:
        to = Traces(receiver.url, 0.0, "development")
        with (
            gateway(folder, everything_at(replica.port), traces=to) as made,
            client_of(made.url) as client,
        ):
            yield Front(made, replica, receiver, client)


def test_its_span_is_between_the_clients_and_the_services(front: Front) -> None:
    trace_id = secrets.token_hex(16)
    arrived = front.arrived(traceparent=f"00-{trace_id}-{CALLER}-01")
    (span,) = front.receiver.wait_for(trace_id, "GET /todos/{todo_id}")
    assert arrived == f"00-{trace_id}-{span.span_id}-01"
    assert (span.parent_id, span.kind) == (CALLER, 2)
    assert span.resource["service.name"] == "banyan-gateway"
    assert span.attributes["http.route"] == "/todos/{todo_id}"
    assert span.attributes["http.status_code"] == "200"
    assert span.attributes["upstream_cluster"] == "todos"
    assert "secret" not in str(span)
    assert "127.0.0.1" not in str(span)
    assert front.receiver.paths == {"/v1/traces"}

    def logged() -> bool | None:
        return any(line.get("trace.id") == trace_id for line in front.gateway.access_log()) or None

    eventually(logged, "the access log names the trace", within_seconds=15)


def test_what_the_client_or_the_gateway_does_not_record_the_service_is_told_not_to(front: Front) -> None:
    trace_id = secrets.token_hex(16)
    assert front.arrived(traceparent=f"00-{trace_id}-{CALLER}-00").startswith(f"00-{trace_id}-")
    for sent in ({"traceparent": f"00-{trace_id}-{CALLER}-00"}, {}, {"x-client-trace-id": "1"}):
        assert front.arrived(**sent).endswith("-00")
    # Whatever was recorded before this arrives before it.
    last = secrets.token_hex(16)
    front.arrived(traceparent=f"00-{last}-{CALLER}-01")
    front.receiver.wait_for(last, "GET /todos/{todo_id}")
    assert front.receiver.of_trace(trace_id) == []
    assert all(span.parent_id for span in front.receiver.spans)


def test_its_share_is_recorded_whatever_the_requests_id(front: Front) -> None:
    assert front.gateway.plan.traces is not None
    front.gateway.change(traces=front.gateway.plan.traces._replace(share=1.0))
    chosen = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
    eventually(lambda: front.arrived().endswith("-01") or None, "the change is taken up")
    assert front.arrived(**{"x-request-id": "not-a-uuid"}).endswith("-01")
    assert front.arrived(**{"x-request-id": chosen}).endswith("-01")
    assert front.replica.arrived[0].headers["x-request-id"] == chosen
