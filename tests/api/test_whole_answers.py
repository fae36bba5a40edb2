"""Answers of hot routes are written at once; on the wire they are as any other's."""

import socket
from collections.abc import Callable

import httpx
from tests.support.accounts import Account
from tests.support.server import RunningServer

NewUser = Callable[..., Account]
MakeServer = Callable[..., RunningServer]


def exchange(server: RunningServer, requests: bytes) -> bytes:
    """All that the server sends until it closes the connection."""
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port or 80), timeout=10) as made:
        made.sendall(requests)
        return made.makefile("rb").read()


def head(user: Account, version: str = "1.1", *more: str) -> bytes:
    lines = [f"GET /todos HTTP/{version}", "Host: a", f"Authorization: Bearer {user.access_token}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def test_requests_that_come_together_are_answered_in_their_order(
    make_server: MakeServer, new_user: NewUser
) -> None:
    server = make_server()
    user = new_user(server=server)
    user.client.post("/todos", json={"title": "Water the banyan"}).raise_for_status()
    livez = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    told = exchange(server, head(user) + livez + head(user) + head(user, "1.1", "Connection: close"))
    answers = told.split(b"HTTP/1.1 200 OK\r\n")[1:]
    bodies = [answer.partition(b"\r\n\r\n")[2] for answer in answers]
    assert len(bodies) == 4
    assert bodies[1] == b"ok\n"
    assert b"Water the banyan" in bodies[0]
    assert bodies[0] == bodies[2] == bodies[3]
    assert [b"connection: close" in answer for answer in answers] == [False, False, False, True]


def test_the_connection_of_an_old_client_ends_with_the_answer(
    make_server: MakeServer, new_user: NewUser
) -> None:
    server = make_server()
    told = exchange(server, head(new_user(server=server), "1.0"))
    assert told.count(b"connection: close\r\n") == 1
    assert told.endswith(b"\r\n\r\n[]")


def test_other_origins_are_told_what_they_may(make_server: MakeServer, new_user: NewUser) -> None:
    server = make_server({"BANYAN_ALLOWED_ORIGINS": "https://app.example.org"})
    answer = new_user(server=server).client.get("/todos", headers={"origin": "https://app.example.org"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example.org"


def test_every_answer_has_the_headers_that_all_have(make_server: MakeServer, new_user: NewUser) -> None:
    user = new_user(server=make_server())
    hot, ordinary = user.client.get("/todos"), user.client.get("/lists")
    needed = {"date", "x-request-id", "content-security-policy", "x-content-type-options", "referrer-policy"}
    for answer in (hot, ordinary, user.client.get("/todos?limit=0"), user.client.head("/todos")):
        assert needed <= set(answer.headers)
        assert "server" not in answer.headers
        for name in needed:
            assert len(answer.headers.get_list(name)) == 1
    assert user.client.head("/todos").content == b""
