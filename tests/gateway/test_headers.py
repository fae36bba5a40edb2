"""What clients say of themselves is not believed; what belongs to a request goes with it, and comes back."""

import json
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.gateway.conftest import Front, Tokens
from tests.support.accounts import client_of
from tests.support.eventually import eventually
from tests.support.gateway import Gateway, everything_at, gateway
from tests.support.replica import Replica
from tests.support.server import RunningServer

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
# Those of the fields of the access log that the Elastic Common Schema knows.
ECS = {
    "@timestamp",
    "ecs.version",
    "event.action",
    "event.duration",
    "http.request.body.bytes",
    "http.request.id",
    "http.request.method",
    "http.response.body.bytes",
    "http.response.status_code",
    "log.level",
    "message",
    "service.name",
    "service.version",
    "url.path",
}
INVENTED = {
    "X-User-ID": "1",
    "X-Real-IP": "203.0.113.1",
    "X-Forwarded-For": "203.0.113.2",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "Forwarded": "for=203.0.113.3",
    "Banyan-Service-Token": "forged",
    "Banyan-Deadline-Ms": "1",
    "X-Envoy-Max-Retries": "9",
    "X-Envoy-Upstream-Rq-Timeout-Ms": "1",
    "X-Envoy-Internal": "true",
}


def test_services_hear_the_gateway_and_not_the_client(front: Front) -> None:
    assert front.client.get("/todos", headers=INVENTED).status_code == 200
    (arrived,) = front.replicas["todos"].arrived
    kept = {name.lower() for name in INVENTED} & set(arrived.headers)
    assert kept == {"x-forwarded-for", "x-forwarded-proto"}
    # For a client on the same machine Envoy tells the machine's own address.
    ip_address(arrived.headers["x-forwarded-for"])
    assert arrived.headers["x-forwarded-proto"] == "http"
    assert not [
        value for value in arrived.headers.values() if value in set(INVENTED.values()) - {"1", "true"}
    ]


def test_a_proxy_in_front_is_believed_when_there_is_one(tmp_path: Path, replica: Replica) -> None:
    with (
        gateway(tmp_path, everything_at(replica.port), trusted_hops=1) as made,
        client_of(made.url) as client,
    ):
        client.get("/todos", headers={"x-forwarded-for": "203.0.113.9, 198.51.100.7"})
    assert replica.arrived[0].headers["x-forwarded-for"].startswith("203.0.113.9, 198.51.100.7,")


def test_clients_hear_nothing_of_envoy(front: Front) -> None:
    for path in ("/todos", "/nothing"):
        headers = front.client.get(path).headers
        assert [name for name in headers if "envoy" in name or name in ("server", "via")] == []


def test_the_requests_id_goes_along_and_comes_back(front: Front) -> None:
    answer = front.client.get("/todos", headers={"x-request-id": "the-clients-own-1", "traceparent": TRACE})
    (arrived,) = front.replicas["todos"].arrived
    assert answer.headers["x-request-id"] == arrived.headers["x-request-id"] == "the-clients-own-1"
    assert arrived.headers["traceparent"] == TRACE
    made = front.client.get("/nothing").headers["x-request-id"]
    assert len(made) == 36
    assert made != front.client.get("/nothing").headers["x-request-id"]


def test_a_service_takes_the_id_only_from_a_proxy_that_it_trusts(make_server, tmp_path: Path) -> None:
    sent = {"x-request-id": "sent-1"}
    trusting: RunningServer = make_server({"BANYAN_TRUSTED_PROXIES": "127.0.0.1"})
    alone: RunningServer = make_server()
    with client_of(trusting.url) as client:
        assert client.get("/livez", headers=sent).headers["x-request-id"] == "sent-1"
        for strange in ("with space", "x" * 65, 'a"b'):
            assert client.get("/livez", headers={"x-request-id": strange}).headers["x-request-id"] != strange
    with client_of(alone.url) as client:
        assert client.get("/livez", headers=sent).headers["x-request-id"] != "sent-1"
    with gateway(tmp_path / "gateway", everything_at(trusting.port)) as made, client_of(made.url) as client:
        assert client.get("/livez", headers=sent).headers["x-request-id"] == "sent-1"


def test_the_access_log_is_json_and_tells_nothing_of_the_person(front: Front, tokens: Tokens) -> None:
    headers = {
        "x-request-id": "logged-1",
        "traceparent": TRACE,
        "user-agent": "secret-agent",
        "authorization": f"Bearer {tokens.issue()}",
    }
    front.client.get("/todos/7?ticket=secret-ticket&q=secret-words", headers=headers)
    line = eventually(lambda: _logged(front.gateway, "logged-1"), "the line is written", within_seconds=15)
    assert line["@timestamp"].endswith("Z")
    assert line["service.name"] == "banyan-gateway"
    assert line["url.path"] == "/todos/7"
    assert (line["http.request.method"], line["http.response.status_code"]) == ("GET", 200)
    assert (line["banyan.service"], line["banyan.route"]) == ("todos", "/todos/{todo_id}")
    assert (line["banyan.traceparent"], line["banyan.tries"]) == (TRACE, 1)
    assert line["banyan.replica"] == f"127.0.0.1:{front.replicas['todos'].port}"
    assert isinstance(line["event.duration"], int)
    text = json.dumps(line)
    assert "secret" not in text
    assert "Bearer" not in text
    assert "127.0.0.1" not in text.replace(line["banyan.replica"], "")
    others = [name for name in line if not name.startswith("banyan.")]
    assert set(others) <= ECS, "what ECS does not know is ours by its name"


def _logged(made: Gateway, request_id: str):
    return next((line for line in made.access_log() if line.get("http.request.id") == request_id), None)


@pytest.mark.parametrize("origin", ["https://app.example.org", "https://evil.example"])
def test_other_origins_read_what_they_may(tmp_path: Path, replica: Replica, origin: str) -> None:
    """The gateway's own answers, too: a page has to see that its token has expired."""
    allowed = ("https://app.example.org",)
    places = everything_at(replica.port)
    with gateway(tmp_path, places, allowed_origins=allowed) as made, client_of(made.url) as client:
        refused = client.get("/todos", headers={"origin": origin, "authorization": "Bearer rubbish"})
        preflight = client.options(
            "/todos", headers={"origin": origin, "access-control-request-method": "POST"}
        )
    assert refused.status_code == 401
    expected = origin if origin in allowed else None
    for answer in (refused, preflight):
        assert answer.headers.get("access-control-allow-origin") == expected
    if expected:
        assert "Idempotency-Key" in preflight.headers["access-control-allow-headers"]
        assert refused.headers["access-control-allow-credentials"] == "true"
        assert "X-Request-Id" in refused.headers["access-control-expose-headers"]
        assert replica.arrived == [], "preflights are answered here"
