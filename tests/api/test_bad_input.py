"""Bad input: whatever is sent to whatever operation, the answer is a precise 4xx problem, and nothing is stored.

Schemathesis (test_openapi.py) tries what a schema can describe; here is what it cannot.
"""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.support.accounts import Account, register
from tests.support.eventually import eventually
from tests.support.operations import Operation, operations
from tests.support.problems import assert_problem, pointers
from tests.support.server import RunningServer

WATCHED = (
    "events",
    "users",
    "emails",
    "sessions",
    "todos",
    "lists",
    "notifications",
    "idempotency_keys",
    "one_time_tokens",
    "reset_requests",
)
WITH_JSON = [operation for operation in operations() if operation.media_type == "application/json"]
UNKNOWN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"

# Bodies that no operation can take, and the status of each.
CORPUS: dict[str, tuple[bytes, int]] = {
    "cut off": (b'{"title": "x"', 400),
    "not JSON": (b"title=x", 400),
    "trailing comma": (b'{"title": "x",}', 400),
    "something behind it": (b'{"title": "x"} {}', 400),
    "single quotes": (b"{'title': 'x'}", 400),
    "not UTF-8": (b'{"title": "\xff\xfe"}', 400),
    "UTF-16": ('{"title": "x"}'.encode("utf-16"), 400),
    "raw NUL": (b'{"title": "a\x00b"}', 400),
    "escaped NUL": (b'{"title": "a\\u0000b"}', 400),
    "NUL in a name": (b'{"ti\\u0000tle": "x"}', 400),
    "lone surrogate": (b'{"title": "\\ud800"}', 400),
    "reversed surrogates": (b'{"title": "\\udc00\\ud800"}', 400),
    "deep arrays": (b"[" * 100_000, 400),
    "deep objects": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 400),
    "NaN": (b'{"priority": NaN}', 400),
    "Infinity": (b'{"priority": -Infinity}', 400),
    "a name twice": (b'{"title": "a", "title": "b"}', 400),
    "an array": (b"[]", 422),
    "a number": (b"1", 422),
    "a text": (b'"x"', 422),
}


@dataclass(frozen=True, slots=True)
class Place:
    server: RunningServer
    user: Account

    def stored(self) -> dict[str, int]:
        """How many rows each watched table has."""
        return {table: self.server.rows(f"SELECT count(*) FROM {table}")[0][0] for table in WATCHED}

    def path(self, operation: Operation) -> str:
        """Where everything exists that a path can name, as far as this caller may know of it."""
        return operation.template.format_map(dict.fromkeys(operation.path_parameters, self.user.id))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server of its own, with one user whose welcome has been delivered: from then on nothing is stored by itself."""
    with RunningServer(tmp_path_factory.mktemp("bad-input") / "data") as server:
        user = register(server.url)
        eventually(lambda: user.client.get("/notifications").json() or None, "the welcome")
        yield Place(server, user)
        user.client.close()


@pytest.fixture(autouse=True)
def nothing_is_stored(place: Place) -> Iterator[None]:
    before = place.stored()
    yield
    assert place.stored() == before
    assert '"log.level": "error"' not in place.server.log_text()


def named(cases: list[Operation]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operation", cases, ids=[operation.name for operation in cases])


def send(place: Place, operation: Operation, **request: Any) -> httpx.Response:
    return place.user.client.request(operation.method, place.path(operation), **request)


@named(WITH_JSON)
def test_bodies_that_no_operation_can_take(place: Place, operation: Operation) -> None:
    for name, (body, status) in CORPUS.items():
        answer = send(place, operation, content=body, headers={"content-type": "application/json"})
        problem = assert_problem(answer, status)
        assert problem["code"] in {"malformed_request", "invalid_input"}, name


@named(WITH_JSON)
def test_unknown_fields_are_refused_by_name(place: Place, operation: Operation) -> None:
    body = operation.example or {}
    answer = send(place, operation, json={**body, "surprise": 1})
    assert "/surprise" in pointers(assert_problem(answer, 422))


@named(WITH_JSON)
def test_fields_of_a_wrong_type_are_refused_by_name(place: Place, operation: Operation) -> None:
    example = operation.example or {}
    for name in example:
        for wrong in ([[["x"]]], {"surprise": {"x": 1}}, 10**400, 1.5e300):
            if (name, wrong) == ("data", {"surprise": {"x": 1}}):
                continue  # the one field that takes any object
            body = json.dumps({**example, name: wrong})
            answer = send(place, operation, content=body, headers={"content-type": "application/json"})
            problem = assert_problem(answer, answer.status_code)
            assert answer.status_code in {400, 422}, (name, wrong)
            if answer.status_code == 422:
                assert any(pointer.startswith(f"/{name}") for pointer in pointers(problem)), (
                    name,
                    wrong,
                    problem,
                )


@named(WITH_JSON)
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "x",
    ],
)
def test_other_types_than_json_are_refused(place: Place, operation: Operation, content_type: str) -> None:
    body = json.dumps(operation.example or {})
    answer = send(place, operation, content=body, headers={"content-type": content_type})
    assert_problem(answer, 415, "unsupported_media_type")


@named(WITH_JSON)
def test_large_bodies_are_refused_whether_announced_or_not(place: Place, operation: Operation) -> None:
    headers = {"content-type": "application/json"}
    megabyte = b" " * (1024 * 1024)
    announced = send(place, operation, content=b"{" + megabyte, headers=headers)
    assert_problem(announced, 413, "too_large")

    def chunks() -> Iterator[bytes]:
        yield b"{"
        for _ in range(3):
            yield megabyte

    try:
        unannounced = send(place, operation, content=chunks(), headers=headers)
    except httpx.TransportError:
        return  # it answered and closed the connection while we were still sending
    assert_problem(unannounced, 413, "too_large")


def test_a_large_body_is_refused_before_it_is_sent(place: Place) -> None:
    """By its announced length alone: the answer comes although not one byte of the body does."""
    url = httpx.URL(place.server.url)
    with socket.create_connection((url.host, url.port or 80), timeout=5) as connection:
        connection.sendall(
            b"POST /todos HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n"
            b"Authorization: Bearer " + place.user.access_token.encode() + b"\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "text",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header\r\n\r\n",
    ],
    ids=["TLS", "no address", "no such version", "no header"],
)
def test_what_is_no_http_is_refused(place: Place, text: bytes) -> None:
    url = httpx.URL(place.server.url)
    with socket.create_connection((url.host, url.port or 80), timeout=5) as connection:
        connection.sendall(text)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


def test_methods_that_an_address_does_not_answer(place: Place) -> None:
    templates = {operation.template for operation in operations()}
    for template in sorted(templates):
        documented = {operation.method for operation in operations() if operation.template == template}
        path = place.path(next(operation for operation in operations() if operation.template == template))
        for method in sorted({"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - documented):
            answer = place.user.client.request(method, path)
            # An address such as /todos/stats is a wrong id to the operations of /todos/{todo_id}.
            assert answer.status_code in {404, 405, 415, 422}, f"{method} {path}: {answer.status_code}"
            assert_problem(answer, answer.status_code)
            if answer.status_code == 405:
                allowed = {name.strip() for name in answer.headers["allow"].split(",")}
                assert documented <= allowed, f"{method} {path}"
                assert method not in allowed


@pytest.mark.parametrize(
    "wrong",
    [
        "x",
        "1",
        "%2e%2e%2fusers",
        "%00",
        "%ff",
        "null",
        UNKNOWN_ID + "0",
        UNKNOWN_ID.replace("-", ""),
        "a" * 5000,
    ],
)
def test_identifiers_that_are_none(place: Place, wrong: str) -> None:
    for operation in operations():
        if not operation.path_parameters or operation.media_type is not None:
            continue
        path = operation.template.format_map(dict.fromkeys(operation.path_parameters, wrong))
        answer = place.user.client.request(operation.method, path)
        assert answer.status_code in {403, 404, 405, 414, 422}, (
            f"{operation.method} {path}: {answer.status_code}"
        )
        assert_problem(answer, answer.status_code)


@pytest.mark.parametrize("path", ["/todos", "/notifications"])
@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=201",
        "limit=many",
        "limit=",
        "limit=1e2",
        "limit=10&limit=20",
        "cursor=nonsense",
        "cursor=%00",
        "surprise=1",
        "q=%00",
        "q=%ff",
        "completed=perhaps",
        "unread=perhaps",
        "limit=" + "9" * 5000,
    ],
)
def test_queries_that_cannot_be_meant(place: Place, path: str, query: str) -> None:
    answer = place.user.client.get(f"{path}?{query}")
    assert pointers(assert_problem(answer, 422))


@pytest.mark.parametrize(
    "name", ["if-match", "if-none-match", "idempotency-key", "last-event-id", "authorization"]
)
@pytest.mark.parametrize("value", [b"", b"\xff\xfe", b"a" * 9000, b'"', b"\t", b"null"])
def test_headers_that_cannot_be_meant(place: Place, name: str, value: bytes) -> None:
    """Never an error of ours; for conditions that cannot be read the RFC lets us answer as if they were not there."""
    client = place.user.client
    for method, path in (("GET", "/todos"), ("DELETE", f"/todos/{UNKNOWN_ID}"), ("POST", "/todos/batch")):
        request = client.build_request(method, path)
        request.headers.raw.append((name.encode(), value))
        answer = client.send(request)
        assert answer.status_code < 500, f"{method} {path}: {answer.status_code}"
        if not answer.is_success and answer.status_code != 304:
            assert_problem(answer, answer.status_code)
