"""Each request goes to the service that declares its path, and nowhere else."""

import re
import socket

import pytest
from tests.gateway.conftest import Front
from tests.support.problems import assert_problem
from tests.support.replica import Arrived


def test_every_operation_reaches_its_service(front: Front) -> None:
    asked = 0
    for path in front.gateway.table.paths:
        if path.template == "/.well-known/jwks.json" or path.template == "/readyz":
            continue  # the replicas answer these without telling
        address = re.sub(r"\{\w+\}", "01a1", path.template) + ("/app.js" if path.below else "")
        for operation in path.operations:
            front.forget()
            answer = front.client.request(operation.method, address)
            assert answer.json() == {"replica": path.service}, (operation.method, address)
            assert front.arrived() == [path.service]
            assert front.replicas[path.service].arrived[0].path == address
            asked += 1
    assert asked > 50


def test_a_path_answers_with_and_without_its_slash(front: Front) -> None:
    for address in ("/todos", "/todos/", "/lists/7", "/lists/7/", "/events/"):
        assert front.client.get(address).status_code == 200, address


def test_the_service_says_which_methods_a_path_has(front: Front) -> None:
    """The gateway passes on what nobody declares, so that the answer is a 405 with `Allow`."""
    assert front.client.put("/todos").json() == {"replica": "todos"}
    assert front.client.options("/users/me").json() == {"replica": "users"}


@pytest.mark.parametrize(
    "address",
    [
        "/nothing",
        "/todos/7/nothing",
        "/todos//",
        "/internal",
        "/internal/",
        "/internal/users/existing",
        "/internal/todos/stream?since=0",
        "/todos/../internal/users/existing",
        "/todos/%2e%2e/internal/users/existing",
        "/%69nternal/users/existing",
        "//internal/users/existing",
        "/static/../internal/x",
        "/INTERNAL/users/existing",
    ],
)
def test_what_nobody_declares_reaches_nobody(front: Front, address: str) -> None:
    # By hand: a client would make the address plain by itself.
    with socket.create_connection(("127.0.0.1", front.gateway.plan.listen.port), timeout=10) as connection:
        connection.sendall(f"GET {address} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404 "), answer
    assert b'"code":"not_found"' in answer
    assert front.arrived() == []


def test_an_escaped_slash_leads_nowhere_else(front: Front) -> None:
    """It is part of a name, so only the service of that name's place may see it."""
    front.client.get("/todos/..%2Finternal%2Fx")
    assert front.arrived() == ["todos"]
    front.forget()
    assert_problem(front.client.get("/%2Finternal/users/existing"), 404, "not_found")
    assert front.arrived() == []


def test_services_call_each_other_by_ports_of_their_own(front: Front) -> None:
    """No token, no limit, no route table: what a service sends to another arrives as it was sent."""
    import httpx

    for service in front.replicas:
        front.forget()
        headers = {"banyan-service-token": "t", "x-request-id": "one", "authorization": "Bearer x.y.z"}
        answer = httpx.post(
            front.gateway.internal_url(service) + "/internal/users/existing", headers=headers, trust_env=False
        )
        assert answer.json() == {"replica": service}
        (arrived,) = front.replicas[service].arrived
        assert arrived.path == "/internal/users/existing"
        assert {name: arrived.headers[name] for name in headers} == headers
        assert "x-forwarded-for" not in arrived.headers
    assert front.client.get("/users/me").status_code == 200, "the answer is not kept from people"


def test_a_call_between_services_is_never_repeated(front: Front) -> None:
    """The caller has a retry budget; retries at two layers multiply."""
    import httpx

    def breaks(_: Arrived) -> int | None:
        raise ConnectionError

    front.replicas["users"].behave = breaks
    answer = httpx.get(front.gateway.internal_url("users") + "/internal/users/x", trust_env=False)
    assert answer.status_code == 503
    assert front.arrived() == ["users"]
