"""The edge around a small application: what every answer carries, and what is refused before anything is done."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi import FastAPI, Request
from httpx import ASGITransport, AsyncClient, Response
from prometheus_client import CollectorRegistry, generate_latest

from banyan.infra.auth.principal import Principal
from banyan.infra.auth.revocations import Revocations
from banyan.infra.auth.token_cache import VerifiedTokenCache
from banyan.infra.http.access import Caller, Gate, Public
from banyan.infra.http.client import ClientAddress
from banyan.infra.http.edge import Edge
from banyan.infra.http.hot import Answer, HotRequest, hot_routes, served_by
from banyan.infra.http.lane import Lane
from banyan.infra.http.origins import Origins
from banyan.infra.http.problems import install_problem_handlers
from banyan.infra.http.route import router
from banyan.infra.resilience.rate_limit import MemoryRateLimiter, Rate
from banyan.infra.telemetry.metrics import HttpMetrics
from banyan.kernel.errors import Conflict, Unauthenticated, Unavailable

MAX_BODY = 1000
USER = Principal("a-user", "a-session", frozenset(), "user", 2**40)
SIGNED_IN = {"authorization": "Bearer good"}
PLENTY = Rate.parse("100000/second")

PATHS = ["/hot", "/ordinary"]
"""The same operations, served by the edge itself and by the application."""


class _Tokens:
    def verify(self, token: str) -> Principal:
        if token != "good":
            raise Unauthenticated()
        return USER


async def _answer(request: Request | HotRequest, body: bytes) -> None:
    if body == b"fail":
        raise RuntimeError("a bug")
    if body == b"conflict":
        raise Conflict()


def _application() -> FastAPI:
    app = FastAPI(openapi_url=None)
    install_problem_handlers(app)
    api = router("test")

    async def lean(request: HotRequest) -> Answer:
        body = await request.body()
        await _answer(request, body)
        return Answer(200, [(b"content-type", b"text/plain")], b"%d" % len(body))

    @api.post("/hot")
    @served_by(lean)
    async def hot(caller: Caller) -> None: ...

    @api.get("/hot")
    @served_by(lean)
    async def read_hot(caller: Caller) -> None: ...

    @api.post("/ordinary")
    async def ordinary(caller: Caller, request: Request) -> int:
        body = await request.body()
        await _answer(request, body)
        return len(body)

    @api.get("/ordinary")
    async def read_ordinary(caller: Caller) -> int:
        return 0

    @api.get("/livez", dependencies=[Public])
    async def livez() -> str:
        return "ok"

    @api.get("/readyz", dependencies=[Public], status_code=503)
    async def readyz() -> str:
        return "stopping"

    app.router.routes.extend(api.routes)
    return app


class Served:
    def __init__(self, edge: bool = True, **options: Any) -> None:
        app = _application()
        limiter = MemoryRateLimiter()
        self.registry = CollectorRegistry()
        gate = Gate(
            cast(VerifiedTokenCache, _Tokens()), Revocations(), limiter, options.pop("user_rate", PLENTY)
        )
        settings: dict[str, Any] = {
            "hot": hot_routes(app.routes) if edge else {},
            "gate": gate,
            "limiter": limiter,
            "address_rate": PLENTY,
            "max_body_bytes": MAX_BODY,
            "origins": Origins(["https://friend.example"]),
            "addresses": ClientAddress([]),
            "public_url": None,
            "metrics": HttpMetrics(self.registry),
        }
        self.edge = Edge(app, **{**settings, **options})

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] = SIGNED_IN,
        base: str = "http://here",
        **more: Any,
    ) -> Response:
        transport = ASGITransport(self.edge, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, headers=headers, **more)


@pytest.fixture(params=[True, False], ids=["edge", "no edge"])
def served(request: pytest.FixtureRequest) -> Served:
    return Served(edge=request.param)


def assert_problem(answer: Response, status: int, code: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)


CASES = [
    ("GET", "/hot", SIGNED_IN, b"", 200),
    ("GET", "/ordinary", SIGNED_IN, b"", 200),
    ("HEAD", "/hot", SIGNED_IN, b"", 200),
    ("HEAD", "/ordinary", SIGNED_IN, b"", 200),
    ("GET", "/hot", {}, b"", 401),
    ("GET", "/ordinary", {}, b"", 401),
    ("POST", "/hot", SIGNED_IN, b"conflict", 409),
    ("POST", "/ordinary", SIGNED_IN, b"conflict", 409),
    ("POST", "/hot", SIGNED_IN, b"x" * 1001, 413),
    ("POST", "/ordinary", SIGNED_IN, b"x" * 1001, 413),
    ("POST", "/hot", SIGNED_IN, b"fail", 500),
    ("POST", "/ordinary", SIGNED_IN, b"fail", 500),
    ("DELETE", "/hot", SIGNED_IN, b"", 405),
    ("GET", "/nothing", SIGNED_IN, b"", 404),
]


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"), CASES, ids=[f"{m} {p} {s}" for m, p, _, _, s in CASES]
)
async def test_every_answer_is_protected_and_every_error_is_a_problem(
    served: Served, method: str, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = await served.send(method, path, headers=headers, content=body)
    assert answer.status_code == status
    for name, value in {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "cache-control": "no-store",
    }.items():
        assert answer.headers.get_list(name) == [value]
    assert len(answer.headers.get_list("x-request-id")) == 1
    assert "strict-transport-security" not in answer.headers
    if status >= 400:
        assert_problem(answer, status, answer.json()["code"])


async def test_a_process_that_is_not_ready_refuses_nobody() -> None:
    served = Served()
    assert (await served.send("GET", "/readyz")).status_code == 503
    assert "banyan_http_refused_total{" not in generate_latest(served.registry).decode()


@pytest.mark.parametrize("path", PATHS)
async def test_a_failure_of_ours_tells_nothing_but_where_it_is_logged(served: Served, path: str) -> None:
    answer = await served.send("POST", path, content=b"fail")
    assert_problem(answer, 500, "error")
    assert "a bug" not in answer.text
    assert "X-Request-Id" in answer.json()["detail"]
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
async def test_only_over_https_is_https_made_to_stick(served: Served, path: str) -> None:
    answer = await served.send("GET", path, base="https://here")
    assert answer.headers["strict-transport-security"].startswith("max-age=31536000")


@pytest.mark.parametrize("path", PATHS)
async def test_head_is_get_without_its_body(served: Served, path: str) -> None:
    get, head = await served.send("GET", path), await served.send("HEAD", path)
    assert head.content == b""
    different = {"x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in different} == {
        k: v for k, v in get.headers.items() if k not in different
    }


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_is_refused_by_its_declared_length_before_it_is_read(served: Served, path: str) -> None:
    reads = 0

    async def receive() -> dict[str, Any]:
        nonlocal reads
        reads += 1
        return {"type": "http.disconnect"}

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-length", b"1001"), (b"authorization", b"Bearer good")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    await served.edge({**scope, "headers": headers, "scheme": "http", "client": ("c", 1)}, receive, send)
    assert (sent[0]["status"], reads) == (413, 0)


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_without_a_length_is_refused_as_soon_as_it_is_too_large(
    served: Served, path: str
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100:
            sent += 1
            yield b"x" * 300

    assert_problem(await served.send("POST", path, content=endless()), 413, "too_large")
    assert sent == 4


@pytest.mark.parametrize("path", PATHS)
async def test_the_largest_body_that_is_allowed_is_taken(served: Served, path: str) -> None:
    assert (await served.send("POST", path, content=b"x" * MAX_BODY)).text == str(MAX_BODY)


@pytest.mark.parametrize("edge", [True, False], ids=["edge", "no edge"])
@pytest.mark.parametrize("path", PATHS)
async def test_a_user_who_asks_too_often_is_told_when_to_come_again(path: str, edge: bool) -> None:
    served = Served(edge=edge, user_rate=Rate.parse("3/minute"))
    answers = [await served.send("GET", path) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert_problem(answers[3], 429, "rate_limited")
    wait = int(answers[3].headers["retry-after"])
    assert 1 <= wait <= 20
    assert answers[3].headers["ratelimit-policy"] == '"user";q=3;w=60'
    assert answers[3].headers["ratelimit"] == f'"user";r=0;t={wait}'


async def test_one_users_rate_is_for_all_operations_together() -> None:
    served = Served(user_rate=Rate.parse("3/minute"))
    statuses = [
        (await served.send("GET", path)).status_code
        for path in ("/hot", "/ordinary", "/hot", "/ordinary", "/hot")
    ]
    assert statuses == [200, 200, 200, 429, 429]


async def test_probes_are_answered_whatever_the_rate_of_their_address() -> None:
    served = Served(address_rate=Rate.parse("1/hour"))
    assert [
        (await served.send("GET", path)).status_code for path in ("/hot", "/hot", "/ordinary", "/nothing")
    ] == [
        200,
        429,
        429,
        429,
    ]
    assert [(await served.send("GET", "/livez")).status_code for _ in range(3)] == [200, 200, 200]


CROSS_SITE = [
    ({}, 200),
    ({"sec-fetch-site": "same-origin"}, 200),
    ({"sec-fetch-site": "none"}, 200),
    ({"sec-fetch-site": "cross-site"}, 403),
    ({"sec-fetch-site": "cross-site", "origin": "https://evil.example"}, 403),
    ({"sec-fetch-site": "cross-site", "origin": "https://friend.example"}, 200),
    ({"sec-fetch-site": "cross-site", "origin": "https://friend.example.evil.example"}, 403),
    ({"origin": "https://evil.example"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": "http://here"}, 200),
    ({"origin": "https://here"}, 403),
]


@pytest.mark.parametrize(("headers", "status"), CROSS_SITE, ids=[str(headers) for headers, _ in CROSS_SITE])
async def test_another_site_changes_nothing(headers: dict[str, str], status: int) -> None:
    served = Served()
    answer = await served.send("POST", "/ordinary", headers={**SIGNED_IN, **headers})
    assert answer.status_code == status
    assert (await served.send("GET", "/ordinary", headers={**SIGNED_IN, **headers})).status_code == 200


async def test_metrics_count_by_route_and_never_by_path() -> None:
    served = Served()
    for path in ("/hot", "/hot/", "/ordinary", "/nothing/1", "/nothing/2"):
        await served.send("GET", path)
    lines = [
        line
        for line in generate_latest(served.registry).decode().splitlines()
        if line.startswith("banyan_http_requests_total")
    ]
    assert sorted(lines) == [
        'banyan_http_requests_total{method="GET",route="/hot",status="200"} 2.0',
        'banyan_http_requests_total{method="GET",route="/ordinary",status="200"} 1.0',
        'banyan_http_requests_total{method="GET",route="unmatched",status="404"} 2.0',
    ]


@pytest.mark.parametrize("path", PATHS)
async def test_a_client_that_goes_away_is_no_failure_of_ours(path: str) -> None:
    served = Served()
    messages = iter([{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        await asyncio.sleep(0)

    headers = [(b"authorization", b"Bearer good")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": headers, "scheme": "http", "client": ("c", 1), "state": SimpleNamespace()}
    await served.edge(scope, receive, send)
    assert 'status="5' not in generate_latest(served.registry).decode()


async def test_whoever_needs_a_hash_is_refused_before_the_application_has_work_with_it() -> None:
    inside: list[int] = []

    def refuse(others: int) -> None:
        inside.append(others)
        raise Unavailable(retry_after_seconds=3)

    lane = Lane(frozenset({("POST", "/ordinary")}), refuse, places=1, patience_seconds=1, late=Unavailable)
    served = Served(lane=lane)
    answer = await served.send("POST", "/ordinary")
    assert_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "3"
    assert (await served.send("GET", "/ordinary")).status_code != 503
    assert inside == [0]
