"""Too much, too often, too large, too slow, too broken: the gateway's own answers are problems like all others."""

import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from tests.gateway.conftest import Front
from tests.support.accounts import client_of
from tests.support.eventually import eventually
from tests.support.gateway import Gateway, everything_at, gateway
from tests.support.ports import free_ports
from tests.support.problems import assert_problem
from tests.support.replica import Replica, slow
from tests.support.server import RunningServer

from banyan.gateway import virtual_hosts
from banyan.infra.resilience.rate_limit import Rate

SAFE_ANSWER = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


def raw(made: Gateway, request: bytes) -> bytes:
    """What a server answers to bytes that no client would send."""
    with socket.create_connection(("127.0.0.1", made.plan.listen.port), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_its_own_answers_look_like_those_of_the_services(front: Front) -> None:
    answer = front.client.get("/nothing")
    assert_problem(answer, 404, "not_found")
    assert {name: answer.headers[name] for name in SAFE_ANSWER} == SAFE_ANSWER
    assert answer.headers["x-request-id"]


def test_an_address_that_asks_too_often_waits(tmp_path: Path, replica: Replica) -> None:
    rate = Rate(3, timedelta(seconds=90))
    with (
        gateway(tmp_path, everything_at(replica.port), address_rate=rate, trusted_hops=1) as made,
        client_of(made.url) as client,
    ):

        def ask(address: str, path: str = "/todos") -> httpx.Response:
            return client.get(path, headers={"x-forwarded-for": address})

        assert [ask("192.0.2.1").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
        refused = ask("192.0.2.1", "/nothing/at/all/but/counted")
        assert refused.status_code in (404, 429)
        refused = ask("192.0.2.1")
        assert_problem(refused, 429, "rate_limited")
        assert refused.headers["retry-after"] == "30"
        assert ask("192.0.2.2").status_code == 200, "another address"
        assert ask("192.0.2.1", "/health").status_code == 200, "probes are not counted"
        household = [ask(f"2001:db8::{number}").status_code for number in range(1, 6)]
        assert household == [200, 200, 200, 429, 429], "an IPv6 network is one address"
        assert ask("2001:db8:0:1::1").status_code == 200
    assert len(replica.arrived) == 9


def test_a_body_that_says_it_is_too_large_is_not_received(front: Front) -> None:
    limit = front.gateway.plan.max_body_bytes
    head = f"POST /todos HTTP/1.1\r\nhost: a\r\ncontent-length: {limit + 1}\r\nconnection: close\r\n\r\n"
    answer = raw(front.gateway, head.encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"too_large"' in answer
    assert f"larger than the {limit} bytes".encode() in answer
    assert front.arrived() == []
    assert front.client.post("/todos", content=b"x" * limit).status_code == 200


def test_a_body_that_grows_too_large_is_refused_by_the_service_and_the_client_hears_it(
    make_server, tmp_path: Path
) -> None:
    """It does not say how large it is, and is still being sent when the answer comes."""
    server: RunningServer = make_server()
    with gateway(tmp_path / "gateway", everything_at(server.port)) as made, client_of(made.url) as client:
        for _ in range(20):
            endless = (b"x" * 65536 for _ in range(64))
            assert_problem(client.post("/auth/login", content=endless), 413, "too_large")


def test_what_is_no_http_is_answered_as_a_problem(front: Front) -> None:
    answer = raw(front.gateway, b"RUBBISH\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in answer
    assert b'"code":"malformed_request"' in answer


def test_headers_have_a_limit(front: Front) -> None:
    answer = raw(front.gateway, b"GET /todos HTTP/1.1\r\nhost: a\r\nx-large: " + b"x" * 40_000 + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"headers_too_large"' in answer
    assert front.client.get("/todos", headers={"x-large": "x" * 20_000}).status_code == 200


def test_a_service_that_is_not_there_is_said_to_be_away(tmp_path: Path, replica: Replica) -> None:
    places = {**everything_at(replica.port), "todos": everything_at(free_ports(1)[0])["todos"]}
    with gateway(tmp_path, places) as made, client_of(made.url) as client:
        answer = client.get("/todos")
        assert_problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "1"
        assert answer.elapsed < timedelta(seconds=1)
        assert client.get("/users/me").status_code == 200, "the others work"


@pytest.fixture
def hasty(tmp_path: Path, replica: Replica, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """A gateway whose requests may take half a second."""
    monkeypatch.setattr(virtual_hosts, "REQUEST_TIMEOUT", "0.5s")
    monkeypatch.setattr(virtual_hosts, "STREAM_IDLE_TIMEOUT", "3s")
    with gateway(tmp_path, everything_at(replica.port)) as made:
        yield made


def test_a_service_that_takes_too_long_is_given_up(hasty: Gateway, replica: Replica) -> None:
    replica.behave = slow(3)
    with client_of(hasty.url) as client:
        answer = client.post("/todos")
    assert_problem(answer, 504, "gateway_timeout")
    assert answer.elapsed < timedelta(seconds=2)
    assert len(replica.arrived) == 1, "nobody knows whether it was done: it is not done again"


@pytest.mark.parametrize("path", ["/events", "/ws"])
def test_streams_may_take_as_long_as_they_like(hasty: Gateway, replica: Replica, path: str) -> None:
    replica.behave = slow(1)
    with client_of(hasty.url) as client:
        assert client.get(path).status_code == 200


def test_it_speaks_http_1_0(front: Front) -> None:
    assert raw(front.gateway, b"GET /todos HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200 ")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """RFC 9113, section 4.1."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(text: bytes) -> bytes:
    return bytes([len(text)]) + text


HEADERS = (
    b"\x82\x86"  # :method GET, :scheme http (RFC 7541, appendix A)
    + (b"\x04" + literal(b"/todos"))
    + (b"\x01" + literal(b"localhost"))
)
HTTP_2 = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + frame(4, 0, 0)  # SETTINGS
    + frame(1, 0x5, 1, HEADERS)  # END_HEADERS, END_STREAM
)


def http_2_answer(connection: socket.socket) -> tuple[int, bytes]:
    """How many header frames stream 1 got, and its body."""
    heads, body, received = 0, b"", b""
    while True:
        while len(received) < 9 or len(received) < 9 + int.from_bytes(received[:3], "big"):
            more = connection.recv(65536)
            assert more, "closed before the end of the answer"
            received += more
        size, kind, flags = int.from_bytes(received[:3], "big"), received[3], received[4]
        payload, received = received[9 : 9 + size], received[9 + size :]
        heads += kind == 1
        body += payload if kind == 0 else b""
        if kind in (0, 1) and flags & 0x1:
            return heads, body


def test_it_speaks_http_2_to_those_who_know(front: Front) -> None:
    port = front.gateway.plan.listen.port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(HTTP_2)
        assert http_2_answer(connection) == (1, b'{"replica": "todos"}')


def test_it_speaks_https_and_takes_a_new_certificate_up(
    tmp_path: Path, replica: Replica, new_certificate: Callable[[str], object]
) -> None:
    files = new_certificate("first")
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2"])

    def certificate(made: Gateway) -> bytes:
        address = ("127.0.0.1", made.plan.listen.port)
        with socket.create_connection(address, timeout=10) as plain, context.wrap_socket(plain) as connection:
            assert connection.selected_alpn_protocol() == "h2"
            connection.sendall(HTTP_2.replace(b"\x86", b"\x87"))  # :scheme https
            assert http_2_answer(connection)[1] == b'{"replica": "one"}'
            return connection.getpeercert(binary_form=True) or b""

    with gateway(tmp_path / "gateway", everything_at(replica.port), certificate=files) as made:
        assert b"first" in certificate(made)
        assert replica.arrived[0].headers["x-forwarded-proto"] == "https"
        with client_of(made.url) as client:
            assert client.get("/nothing").headers["strict-transport-security"].startswith("max-age=")
        new_certificate("second")
        eventually(lambda: b"second" in certificate(made) or None, "the new certificate is used")
