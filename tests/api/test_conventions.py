"""What holds for every operation: problems, headers, methods, slashes, sizes and limits."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from tests.support.accounts import Account, client_of, register
from tests.support.problems import assert_problem, pointers
from tests.support.server import RunningServer
from tests.support.todos import all_of, create, titles

NewUser = Callable[..., Account]
MakeServer = Callable[..., RunningServer]

MIB = 1024 * 1024
LIMIT = MIB
API_CSP = "default-src 'none'; frame-ancestors 'none'"


@pytest.fixture(scope="module", params=["edge", "no edge"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """The same with hot routes at the edge and, for what must not make a difference, without."""
    if request.param == "edge":
        yield request.getfixturevalue("server")
        return
    with RunningServer(tmp_path_factory.mktemp("no-edge") / "data", {"BANYAN_EDGE": "false"}) as running:
        yield running


@pytest.fixture(scope="module")
def account(served: RunningServer) -> Iterator[Account]:
    account = register(served.url)
    yield account
    account.client.close()


def assert_protected(answer: httpx.Response, *, csp: str | None = API_CSP) -> None:
    """The headers of every answer, each once."""
    for name, value in {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
    }.items():
        assert answer.headers.get_list(name) == [value], name
    assert len(answer.headers.get_list("content-security-policy")) == 1
    if csp is not None:
        assert answer.headers["content-security-policy"] == csp
    assert len(answer.headers.get_list("cache-control")) == 1
    assert len(answer.headers.get_list("x-request-id")) == 1
    assert "strict-transport-security" not in answer.headers
    assert "server" not in answer.headers


# Of no to-do and no list. A constant, since it stands in the names of tests.
NOBODYS = "54916096-a4e7-4d0b-916a-f9e28604c78d"
ANSWERS: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", "/todos", {}, 200),
    ("GET", "/todos", {"headers": {"if-none-match": "*"}}, 304),
    ("GET", "/todos", {"headers": {"authorization": "Bearer x"}}, 401),
    ("GET", "/todos?limit=0", {}, 422),
    ("POST", "/todos", {"json": {"title": "x"}}, 201),
    ("POST", "/todos", {"json": {"title": "x"}, "headers": {"authorization": ""}}, 401),
    ("POST", "/todos", {"content": b"{", "headers": {"content-type": "application/json"}}, 400),
    ("POST", "/todos", {"content": b"x", "headers": {"content-type": "text/plain"}}, 415),
    ("POST", "/todos", {"json": {"title": ""}}, 422),
    ("POST", "/todos", {"content": b" " * (LIMIT + 1)}, 413),
    ("PUT", "/todos", {}, 405),
    ("GET", "/lists", {}, 200),
    ("GET", "/lists", {"headers": {"authorization": "Basic eDp5"}}, 401),
    ("POST", "/lists", {"json": {"name": "x"}}, 201),
    ("POST", "/lists", {"json": {"name": ""}}, 422),
    ("POST", "/lists", {"content": b"{", "headers": {"content-type": "application/json"}}, 400),
    ("POST", "/lists", {"content": b"x", "headers": {"content-type": "text/plain"}}, 415),
    ("POST", "/lists", {"content": b" " * (LIMIT + 1)}, 413),
    ("PATCH", "/lists", {}, 405),
    ("GET", f"/todos/{NOBODYS}", {}, 404),
    ("DELETE", f"/todos/{NOBODYS}", {}, 404),
    ("DELETE", "/todos?completed=true", {}, 204),
    ("GET", "/notifications", {}, 200),
    ("GET", "/notifications", {"headers": {"if-none-match": "*"}}, 304),
    ("GET", "/users/me", {}, 200),
    ("GET", "/no/such/address", {}, 404),
    ("POST", "/no/such/address", {}, 404),
    ("GET", "/static/no-such-file.js", {}, 404),
    ("POST", "/static/no-such-file.js", {}, 405),
    ("DELETE", "/", {}, 405),
    ("POST", "/livez", {}, 405),
    ("GET", "/livez", {}, 200),
    ("GET", "/health", {}, 200),
    ("GET", "/metrics", {}, 200),
    ("GET", "/openapi.json", {}, 200),
]


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    ANSWERS,
    ids=[f"{n}-{m} {p} {s}" for n, (m, p, _, s) in enumerate(ANSWERS)],
)
def test_every_answer_is_protected_and_every_error_is_a_problem(
    account: Account, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    answer = account.client.request(method, path, **options)
    assert answer.status_code == status, answer.text
    assert_protected(answer)
    if status >= 400:
        assert_problem(answer, status)
        assert answer.headers["cache-control"] == "no-store"
    if status == 304:
        assert answer.content == b""
        assert answer.headers["etag"]


def test_private_answers_are_not_kept_by_caches_in_between(account: Account) -> None:
    todo = create(account.client)
    for path in ("/todos", f"/todos/{todo['id']}", "/todos/stats", "/lists", "/users/me", "/notifications"):
        assert account.client.get(path).headers["cache-control"] in ("no-store", "private, no-cache")


PAGES = ["/", "/docs", "/sw.js", "/manifest.webmanifest", "/favicon.svg"]


@pytest.mark.parametrize("path", PAGES)
def test_pages_run_nothing_inline(server: RunningServer, path: str) -> None:
    answer = httpx.get(server.url + path, trust_env=False)
    assert answer.status_code == 200
    assert_protected(answer, csp=None)
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "object-src 'none'" in policy or "default-src 'none'" in policy


# --- methods and slashes

ALLOWED = {
    "/todos": "DELETE, GET, HEAD, POST",
    "/todos/batch": None,  # also an address of one to-do, by its name
    f"/todos/{NOBODYS}": "DELETE, GET, HEAD, PATCH, PUT",
    f"/todos/{NOBODYS}/history": "GET, HEAD",
    "/lists": "GET, HEAD, POST",
    f"/lists/{NOBODYS}": "DELETE, GET, HEAD, PATCH",
    "/notifications": "DELETE, GET, HEAD",
    "/auth/login": "POST",
    "/livez": "GET, HEAD",
    "/openapi.json": "GET, HEAD",
    "/static/js/main.js": "GET, HEAD",
}


@pytest.mark.parametrize(("path", "allowed"), [(p, a) for p, a in ALLOWED.items() if a], ids=str)
def test_another_method_is_told_which_methods_there_are(account: Account, path: str, allowed: str) -> None:
    for method in ("TRACE", "PROPFIND", "OPTIONS"):
        answer = account.client.request(method, path)
        assert_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path",
    [
        "/todos",
        "/todos?limit=1",
        "/lists",
        "/todos/stats",
        "/users/me",
        "/livez",
        "/openapi.json",
        "/",
        "/nothing",
    ],
)
def test_head_is_get_without_its_body(account: Account, path: str) -> None:
    get, head = account.client.get(path), account.client.head(path)
    varying = {"date", "x-request-id"}
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in get.headers.items() if k not in varying
    }


def test_head_of_a_stream_does_not_open_one(account: Account) -> None:
    assert account.client.head("/events").status_code == 405


def test_a_path_answers_with_and_without_its_slash(account: Account) -> None:
    def same(method: str, path: str, status: int, body: Any = None) -> httpx.Response:
        answers = [account.client.request(method, path + slash, json=body) for slash in ("", "/")]
        assert [answer.status_code for answer in answers] == [status] * 2, path
        assert not any(answer.history for answer in answers)
        return answers[1]

    todo = same("POST", "/todos", 201, {"title": "x"}).json()
    garden = same("POST", "/lists", 201, {"name": "x"}).json()
    same("POST", "/todos/batch", 200, {"operations": [{"op": "create", "todo": {"title": "x"}}]})
    for path in (
        "/todos",
        "/todos/stats",
        "/lists",
        "/users/me",
        "/notifications",
        "/notifications/unread_count",
        "/livez",
    ):
        same("GET", path, 200)
    for path in (f"/todos/{todo['id']}", f"/lists/{garden['id']}"):
        same("GET", path, 200)
        same("PATCH", path, 200, {})
    same("PUT", f"/todos/{todo['id']}", 200, {"title": "y"})
    same("GET", f"/todos/{todo['id']}/history", 200)
    same("GET", f"/todos/{NOBODYS}", 404)
    same("DELETE", "/todos", 204)
    # One slash too many is another address.
    assert account.client.get("/todos//").status_code == 404


def test_an_address_never_carries_the_slash_further(account: Account) -> None:
    account.client.delete("/todos")
    create(account.client, "a")
    answer = account.client.post("/todos/", json={"title": "b"})
    assert (
        answer.headers["location"]
        == answer.json()["url"]
        == f"{account.client.base_url}/todos/{answer.json()['id']}"
    )
    link = account.client.get("/todos/", params={"limit": 1}).links["next"]["url"]
    assert titles(account.client.get(link).json()) == ["a"]


# --- the same with and without the edge


def test_a_working_day_gives_the_same_with_and_without_the_edge(account: Account) -> None:
    """The operations that are hot, in all their turns; parametrized over both ways of serving them."""
    client = account.client
    client.delete("/todos")
    own_id = str(uuid4())
    first = client.post("/todos", json={"title": "first", "id": own_id}, headers={"idempotency-key": own_id})
    assert (first.status_code, first.headers["etag"]) == (201, '"1"')
    assert first.headers["location"] == first.json()["url"]
    again = client.post("/todos", json={"title": "first", "id": own_id}, headers={"idempotency-key": own_id})
    assert (again.status_code, again.content) == (201, first.content)
    assert client.post("/todos", json={"title": "x", "id": own_id}).status_code == 200
    create(client, "second", order=1)
    listed = client.get("/todos")
    assert titles(listed.json()) == ["first", "second"]
    unchanged = client.get("/todos", headers={"if-none-match": listed.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert "content-length" not in unchanged.headers
    page = client.get("/todos", params={"limit": 1})
    assert titles(client.get(page.links["next"]["url"]).json()) == ["second"]
    assert_problem(client.get("/todos", params={"limit": 1, "cursor": "x"}), 422, "invalid_cursor")
    assert_problem(client.get("/todos", params={"what": 1}), 422, "invalid_input")
    assert pointers(assert_problem(client.post("/todos", json={"title": 1}), 422)) == ["/title"]
    assert_problem(client.post("/todos", json={"title": "x"}, headers={"authorization": "Bearer no"}), 401)
    assert client.get("/notifications/unread_count").json()["unread"] >= 0


def test_a_body_that_says_nothing_of_its_type_is_json(account: Account) -> None:
    for path, body in (("/todos", b'{"title": "x"}'), ("/lists", b'{"name": "x"}')):
        assert account.client.post(path, content=body).status_code == 201


# --- sizes


def exchange(
    server: RunningServer, sent: bytes, *, more: Callable[[socket.socket], None] | None = None
) -> bytes:
    """All that the server answers on one connection before it is idle for a while or closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(sent)
        if more is not None:
            more(connection)
        received = b""
        while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < _length_of(received):
            part = connection.recv(65536)
            if not part:
                break
            received += part
        return received


def _length_of(received: bytes) -> int:
    for line in received.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


def head_of(account: Account, path: str, *fields: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: here", f"Authorization: Bearer {account.access_token}"]
    return "\r\n".join([*lines, "Content-Type: application/json", *fields, "", ""]).encode()


@pytest.mark.parametrize(
    "path", ["/todos", "/lists", "/todos/batch", "/users/", "/auth/login", "/auth/token"]
)
def test_a_huge_body_is_refused_before_it_is_sent(served: RunningServer, account: Account, path: str) -> None:
    began = time.monotonic()
    received = exchange(served, head_of(account, path, "Content-Length: 1000000000000"))
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"too_large"' in received
    assert time.monotonic() - began < 5


def test_a_client_that_waits_for_100_continue_is_told_at_once(
    served: RunningServer, account: Account
) -> None:
    received = exchange(
        served, head_of(account, "/todos", "Content-Length: 1000000000", "Expect: 100-continue")
    )
    assert received.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("path", ["/todos", "/lists", "/users/"])
def test_a_chunked_body_is_refused_when_it_grows_too_large(account: Account, path: str) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(18):
            yield b" " * 65536  # 1.125 MiB in all

    answer = account.client.post(path, content=parts(), headers={"content-type": "application/json"})
    assert_problem(answer, 413, "too_large")


def test_the_largest_body_that_is_allowed_is_read(account: Account) -> None:
    body = b'{"title": "large"}'
    answer = account.client.post("/todos", content=body + b" " * (LIMIT - len(body)))
    assert answer.status_code == 201


def test_memory_stays_bounded_while_200_mb_arrive(make_server: MakeServer) -> None:
    server = make_server()
    account = register(server.url)
    process = psutil.Process(server.pid)
    create(account.client)
    before = process.memory_info().rss
    highest = before

    def flood(connection: socket.socket) -> None:
        nonlocal highest
        block = b"10000\r\n" + b" " * 65536 + b"\r\n"
        for _ in range(50):
            try:
                for _ in range(64):
                    connection.sendall(block)
            except (BrokenPipeError, ConnectionResetError):
                return  # it has had enough and hung up
            highest = max(highest, process.memory_info().rss)

    for path in ("/todos", "/lists"):
        received = exchange(server, head_of(account, path, "Transfer-Encoding: chunked"), more=flood)
        assert not received or received.startswith(b"HTTP/1.1 413 ")
    assert highest - before < 20 * MIB
    assert account.client.get("/todos").status_code == 200


def test_slow_and_broken_off_uploads_harm_nobody(served: RunningServer, account: Account) -> None:
    before = len(all_of(account.client))
    slow: list[socket.socket] = []
    for number in range(60):
        connection = socket.create_connection(("127.0.0.1", served.port), timeout=10)
        connection.sendall(
            head_of(account, "/todos" if number % 2 else "/lists", "Content-Length: 500") + b'{"title": "ha'
        )
        slow.append(connection)
    # While they dawdle, others are served.
    create(account.client, "in between")
    for number, connection in enumerate(slow):
        if number % 3 == 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.close()
    create(account.client, "afterwards")
    assert len(all_of(account.client)) == before + 2
    assert "request_failed" not in served.log_text()


NO_HTTP = [
    b"GARBAGE\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /todos HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    b"POST /todos HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"POST /todos HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    b"GET /todos HTTP/1.1\r\nbad header\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS, to a port that speaks plain HTTP
]


# Envoy answers some of these, such as another version of HTTP, in its own way.
@pytest.mark.single_process
@pytest.mark.parametrize("sent", NO_HTTP, ids=lambda sent: repr(sent[:25]))
def test_what_is_no_http_is_a_problem_too(server: RunningServer, sent: bytes) -> None:
    received = exchange(server, sent)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head.lower()
    assert b'"code":"malformed_request"' in body


# --- rate limits


@pytest.mark.parametrize("edge", ["true", "false"])
def test_a_user_who_asks_too_often_waits_and_others_do_not(make_server: MakeServer, edge: str) -> None:
    server = make_server({"BANYAN_RATE_LIMIT_USER": "5/hour", "BANYAN_EDGE": edge})
    busy, calm = register(server.url), register(server.url)
    answers = [busy.client.get(path) for path in ("/todos", "/lists", "/todos", "/users/me", "/todos/stats")]
    assert [answer.status_code for answer in answers] == [200] * 5
    for method, path in (("GET", "/todos"), ("POST", "/todos"), ("GET", "/lists"), ("GET", "/notifications")):
        refused = busy.client.request(method, path, json={"title": "x"} if method == "POST" else None)
        assert_problem(refused, 429, "rate_limited")
        assert_protected(refused)
        assert 1 <= int(refused.headers["retry-after"]) <= 720
    assert calm.client.get("/todos").status_code == 200
    with client_of(server.url) as anonymous:
        assert anonymous.get("/livez").status_code == 200


def test_an_address_that_asks_too_often_waits(make_server: MakeServer) -> None:
    server = make_server({"BANYAN_RATE_LIMIT_ADDRESS": "3/hour"})
    with client_of(server.url) as client:
        statuses = [
            client.get(path).status_code
            for path in ("/todos", "/docs", "/nothing", "/todos", "/docs", "/nothing")
        ]
        assert statuses == [401, 200, 404, 429, 429, 429]
        assert [client.get("/livez").status_code for _ in range(5)] == [200] * 5


def test_no_descriptor_is_left_open_by_refused_requests(make_server: MakeServer) -> None:
    server = make_server()
    account = register(server.url)
    descriptors = Path(f"/proc/{server.pid}/fd")
    if not descriptors.exists():
        pytest.skip("needs /proc")
    create(account.client)
    before = len(list(descriptors.iterdir()))
    for _ in range(50):
        exchange(server, head_of(account, "/todos", "Content-Length: 1000000000000"))
        exchange(server, b"GARBAGE\r\n\r\n")
    account.client.get("/todos")
    assert len(list(descriptors.iterdir())) <= before + 3
