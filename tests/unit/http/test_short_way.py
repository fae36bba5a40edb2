"""The short way: the same answers as on the ordinary way, and the ordinary way for whatever is not plain."""

import asyncio
from typing import Any, cast

import pytest
import uvicorn
from prometheus_client import CollectorRegistry
from tests.unit.http.test_edge import MAX_BODY, PLENTY, USER, _application
from uvicorn.server import ServerState

from banyan.infra.auth.principal import Principal
from banyan.infra.auth.revocations import Revocations
from banyan.infra.auth.token_cache import VerifiedTokenCache
from banyan.infra.cache.response_cache import Entry, ResponseCache
from banyan.infra.http.access import Gate
from banyan.infra.http.cached import CachedAnswers, Loaded
from banyan.infra.http.client import ClientAddress
from banyan.infra.http.edge import Edge
from banyan.infra.http.hot import HotRequest
from banyan.infra.http.lane import Lane
from banyan.infra.http.origins import Origins
from banyan.infra.http.protocol import Protocol
from banyan.infra.http.short_way import RECORDED
from banyan.infra.resilience.rate_limit import MemoryRateLimiter, Rate
from banyan.infra.streams.positions import Told
from banyan.infra.telemetry.metrics import HttpMetrics
from banyan.infra.telemetry.sampling import Sampler
from banyan.infra.telemetry.trace import installed
from banyan.kernel.errors import Unauthenticated

SIGNED_IN = b"authorization: Bearer good\r\n"


class Tokens:
    leeway_seconds = 0.0

    def verify(self, token: str) -> Principal:
        if token != "good":
            raise Unauthenticated()
        return USER


class Stream:
    """Positions of one stream; `ask` makes them wait for `say`."""

    def __init__(self) -> None:
        self.position = 1
        self.is_asked_for = False
        self.waiting: list[Told] = []

    def known(self, user_id: str, stream: str) -> int | None:
        return None if self.is_asked_for else self.position

    async def current(self, user_id: str, stream: str) -> int:
        return self.position

    def tell(self, user_id: str, stream: str, told: Told) -> bool:
        self.waiting.append(told)
        return True

    def say(self, position: int | None) -> None:
        waiting, self.waiting = self.waiting, []
        for told in waiting:
            told(position)


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = asyncio.Event()
        self.written_some = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.written += data
        self.written_some.set()

    def close(self) -> None:
        self.closed.set()

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("10.0.0.1", 1234), "sockname": ("10.0.0.2", 80)}.get(name)


class House:
    """An edge with one cached route, and connections to it. ordinary: how many requests went through the edge."""

    def __init__(
        self,
        *,
        user_rate: Rate = PLENTY,
        address_rate: Rate = PLENTY,
        lane: Lane | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        self.stream = Stream()
        self.limiter = MemoryRateLimiter()
        self.revocations = Revocations()
        self.user_rate, self.address_rate = user_rate, address_rate
        self.tokens = VerifiedTokenCache(cast(Any, Tokens()))
        answers = CachedAnswers("todos", cast(Any, self.stream), ResponseCache())
        route = answers.route(lambda query, base_url: (query, base_url), self._load)
        self.registry = CollectorRegistry()
        self.edge = Edge(
            _application(),
            hot={("GET", "/todos"): route},
            gate=Gate(self.tokens, self.revocations, self.limiter, user_rate),
            limiter=self.limiter,
            address_rate=address_rate,
            max_body_bytes=MAX_BODY,
            origins=Origins([]),
            addresses=ClientAddress(["10.0.0.1"]),
            public_url=None,
            metrics=HttpMetrics(self.registry),
            lane=lane,
            sampler=sampler,
        )
        self.scopes: list[Any] = []
        self.ordinary = 0
        self.config = uvicorn.Config(
            cast(Any, self.app),
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
        )
        self.config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"now")]

    async def _load(self, request: HotRequest, key: tuple[bytes, str]) -> Loaded:
        position = self.stream.position
        return Loaded(position, Entry(b'"%d"' % position, b"[%d]" % position))

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.ordinary += 1
        self.scopes.append(scope)
        await self.edge(scope, receive, send)

    def connect(self, *, short: bool = True) -> tuple[Protocol, Wire]:
        loop = asyncio.get_running_loop()
        made = Protocol(
            self.edge.short_way if short else None,
            self.edge.door if short else None,
            config=self.config,
            server_state=self.state,
            app_state={},
            _loop=loop,
        )
        wire = Wire()
        made.connection_made(cast(Any, wire))
        return made, wire

    async def exchange(self, data: bytes, *, short: bool = True) -> bytes:
        made, wire = self.connect(short=short)
        made.data_received(data)
        await self.settled()
        return wire.written

    async def settled(self) -> None:
        while self.state.tasks:
            await asyncio.gather(*self.state.tasks)
        await asyncio.sleep(0)

    async def warm(self) -> None:
        """Let an answer lie there, under a token that was verified."""
        assert (await self.exchange(get(b"host: here\r\n"))).endswith(b"[1]")
        self.ordinary = 0

    def used(self, key: str, rate: Rate) -> int:
        return rate.burst - 1 - self.limiter.take_now(key, rate).remaining


def get(
    more: bytes = b"host: here\r\n", signed: bytes = SIGNED_IN, line: bytes = b"GET /todos HTTP/1.1"
) -> bytes:
    return line + b"\r\n" + signed + more + b"\r\n"


def without_id(answer: bytes) -> bytes:
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.startswith(b"x-request-id: "))


SHORT = {
    "plain": get(),
    "held": get(b'host: here\r\nif-none-match: "1"\r\n'),
    "held by another": get(b'host: here\r\nif-none-match: "7"\r\n'),
    "kept": get(b"host: here\r\nconnection: keep-alive\r\n"),
    "through a proxy": get(b"host: here\r\nx-forwarded-for: 1.2.3.4\r\nx-request-id: abc\r\n"),
    "traced, not sampled": get(b"host: here\r\ntraceparent: 00-%b-%b-00\r\n" % (b"a" * 32, b"b" * 16)),
    "two of them": get() + get(b'host: here\r\nif-none-match: "1"\r\n'),
}
ORDINARY = {
    "HEAD": get(line=b"HEAD /todos HTTP/1.1"),
    "HTTP/1.0": get(line=b"GET /todos HTTP/1.0"),
    "HTTP/1.0, kept": get(b"host: here\r\nconnection: keep-alive\r\n", line=b"GET /todos HTTP/1.0"),
    "a fragment after a query": get(line=b"GET /todos?#a HTTP/1.1"),
    "the last one": get(b"host: here\r\nconnection: close\r\n"),
    "another query": get(line=b"GET /todos?limit=1 HTTP/1.1"),
    "a fragment": get(line=b"GET /todos#a HTTP/1.1"),
    "the whole address": get(line=b"GET http://here/todos HTTP/1.1"),
    "another host": get(b"host: there\r\n"),
    "a secure proxy": get(b"host: here\r\nx-forwarded-proto: https\r\n"),
    "a body": get(b"host: here\r\ncontent-length: 2\r\n") + b"ab",
    "too large a body": get(b"host: here\r\ncontent-length: 5000\r\n") + b"a" * 5000,
    "a body in pieces": get(b"host: here\r\ntransfer-encoding: chunked\r\n") + b"0\r\n\r\n",
    "another origin": get(b"host: here\r\norigin: https://friend.example\r\n"),
    "sampled": get(b"host: here\r\ntraceparent: 00-%b-%b-01\r\n" % (b"a" * 32, b"b" * 16)),
    "nobody": get(signed=b""),
    "a bad token": get(signed=b"authorization: Bearer bad\r\n"),
    "another scheme": get(signed=b"authorization: Basic good\r\n"),
    "no token, then a good one": get(signed=b"authorization: \r\n" + SIGNED_IN),
    "another path": get(line=b"GET /livez HTTP/1.1"),
}


@pytest.mark.parametrize("request_", SHORT.values(), ids=SHORT.keys())
async def test_it_answers_as_the_ordinary_way_does(request_: bytes) -> None:
    house = House()
    await house.warm()
    short = await house.exchange(request_)
    assert house.ordinary == 0
    ordinary = await house.exchange(request_, short=False)
    assert house.ordinary == request_.count(b"HTTP/1.1")
    assert without_id(short) == without_id(ordinary)
    assert short.count(b"x-request-id: ") == ordinary.count(b"x-request-id: ") > 0


@pytest.mark.parametrize("request_", ORDINARY.values(), ids=ORDINARY.keys())
async def test_what_is_not_plain_goes_the_ordinary_way(request_: bytes) -> None:
    house = House()
    await house.warm()
    told = await house.exchange(request_)
    assert house.ordinary == 1
    other = House()
    await other.warm()
    assert without_id(told) == without_id(await other.exchange(request_, short=False))


async def test_what_is_no_http_is_refused_in_the_middle_of_it_too() -> None:
    house = House()
    await house.warm()
    house.stream.is_asked_for = True
    made, wire = house.connect()
    made.data_received(get() + b"nonsense\r\n\r\n")
    await house.settled()
    assert b"HTTP/1.1 400 Bad Request" in wire.written
    assert wire.closed.is_set()


async def test_a_position_is_waited_for_without_a_task() -> None:
    house = House()
    await house.warm()
    house.stream.is_asked_for = True
    made, wire = house.connect()
    made.data_received(get())
    assert not house.state.tasks
    assert wire.written == b""
    house.stream.say(1)
    assert wire.written.endswith(b"\r\n\r\n[1]")
    assert house.ordinary == 0


@pytest.mark.parametrize("position", [None, 2])
async def test_what_is_not_at_hand_is_loaded_and_counted_once(position: int | None) -> None:
    rate = Rate.parse("100/hour")
    house = House(user_rate=rate, address_rate=rate)
    await house.warm()
    house.stream.is_asked_for = True
    house.stream.position = 2
    made, wire = house.connect()
    made.data_received(get())
    house.stream.say(position)
    await house.settled()
    assert wire.written.endswith(b"[2]")
    assert house.ordinary == 1
    # With the one that warmed it.
    assert (house.used("address:10.0.0.1", rate), house.used("user:a-user", rate)) == (2, 2)


@pytest.mark.parametrize("limited", ["user", "address"])
async def test_rates_hold_on_it(limited: str) -> None:
    other_rate = Rate.parse("100/hour")
    rates: dict[str, Any] = {"user_rate": other_rate, "address_rate": other_rate}
    rates[f"{limited}_rate"] = Rate.parse("3/hour")
    house = House(**rates)
    await house.warm()
    told = [await house.exchange(get()) for _ in range(4)]
    assert [answer[:12] for answer in told] == [b"HTTP/1.1 200"] * 2 + [b"HTTP/1.1 429"] * 2
    # A refusal by the address comes before the user is looked at; the other way round it was counted, once.
    assert house.used("address:10.0.0.1", other_rate) == 5 if limited == "user" else True
    assert house.used("user:a-user", other_rate) == 3 if limited == "address" else True


async def test_a_session_that_has_ended_is_refused() -> None:
    house = House()
    await house.warm()
    house.revocations.revoke(USER.session_id, 2**40)
    assert (await house.exchange(get()))[:12] == b"HTTP/1.1 401"


async def test_a_token_that_has_run_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    await house.warm()
    monkeypatch.setattr(house.tokens, "_unix_seconds", lambda: 2.0**41)
    assert (await house.exchange(get()))[:12] == b"HTTP/1.1 401"


async def test_what_follows_before_the_answer_is_answered_after_it() -> None:
    house = House()
    await house.warm()
    house.stream.is_asked_for = True
    for split in (
        (get() + get(b'host: here\r\nif-none-match: "1"\r\n'),),
        (get(), get(b'host: here\r\nif-none-match: "1"\r\n')),
    ):
        made, wire = house.connect()
        for data in split:
            made.data_received(data)
        await house.settled()
        house.stream.say(1)
        assert [part[:3] for part in wire.written.split(b"HTTP/1.1 ")] == [b"", b"200", b"304"]


async def test_what_follows_another_request_is_answered_after_that() -> None:
    house = House()
    await house.warm()
    told = await house.exchange(get(line=b"HEAD /todos HTTP/1.1") + get())
    assert told.count(b"HTTP/1.1 200") == 2
    assert told.endswith(b"[1]")


async def test_a_client_that_has_gone_is_left_alone() -> None:
    house = House()
    await house.warm()
    house.stream.is_asked_for = True
    made, wire = house.connect()
    made.data_received(get())
    house.stream.say(1)
    wire.written = b""
    assert made.timeout_keep_alive_task is not None
    made.data_received(get())
    made.connection_lost(None)
    house.stream.say(1)
    await house.settled()
    assert wire.written == b""
    assert made.timeout_keep_alive_task is None


async def test_a_client_that_reads_slowly_is_waited_for() -> None:
    house = House()
    await house.warm()
    made, wire = house.connect()
    made.pause_writing()
    made.data_received(get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert house.ordinary == 1
    assert wire.written == b""
    made.resume_writing()
    await house.settled()
    assert wire.written.endswith(b"[1]")


async def test_a_server_that_shuts_down_answers_first() -> None:
    house = House()
    await house.warm()
    house.stream.is_asked_for = True
    made, wire = house.connect()
    made.data_received(get())
    made.shutdown()
    assert not wire.closed.is_set()
    await house.settled()
    assert b"connection: close\r\n" in wire.written
    assert wire.written.endswith(b"[1]")
    assert wire.closed.is_set()


async def test_a_server_that_drains_has_no_short_way() -> None:
    house = House()
    await house.warm()
    old, _ = house.connect()

    async def last_answers(scope: Any, receive: Any, send: Any) -> None:
        await house.app(scope, receive, send)

    # As Server._drain does.
    old.app = house.config.loaded_app = cast(Any, last_answers)
    new, _ = house.connect()
    for made in (old, new):
        made.data_received(get())
    await house.settled()
    assert house.ordinary == 2


async def test_a_failure_of_ours_fails_as_on_the_ordinary_way(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    await house.warm()
    house.stream.is_asked_for = True

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(house.edge.short_way, "complete", fail)
    made, wire = house.connect()
    made.data_received(get())
    house.stream.say(1)
    await house.settled()
    assert wire.written.endswith(b"[1]")


async def test_only_a_connection_that_nobody_uses_is_closed() -> None:
    house = House()
    await house.warm()
    house.stream.is_asked_for = True
    made, wire = house.connect()
    made.data_received(get())
    house.stream.say(1)
    first = made.timeout_keep_alive_task
    assert first is not None
    first.cancel()
    made.data_received(get())
    made._idle_since -= made.timeout_keep_alive + 1
    made.timeout_keep_alive_handler()
    assert not wire.closed.is_set(), "it waits for its answer"
    house.stream.say(1)
    timer = made.timeout_keep_alive_task
    assert timer is not None
    made.timeout_keep_alive_handler()
    assert not wire.closed.is_set(), "it was used just now"
    made._idle_since -= made.timeout_keep_alive + 1
    made.timeout_keep_alive_handler()
    assert wire.closed.is_set()
    timer.cancel()


class Spans:
    """A tracer that keeps what it is told; its spans are of no other use than to end."""

    def __init__(self) -> None:
        self.started: list[tuple[str, Any]] = []
        self.ended = 0

    def start(self, name: str, kind: str, attributes: Any, parent: Any, *, seconds_ago: float = 0) -> Any:
        assert (kind, parent) == ("server", None)
        self.started.append((name, attributes))
        return self

    def end(self) -> None:
        self.ended += 1


async def test_what_is_recorded_is_recorded_on_it() -> None:
    house, spans = House(sampler=Sampler(1)), Spans()
    await house.warm()
    with installed(cast(Any, spans)):
        await house.exchange(get())
        await house.exchange(SHORT["traced, not sampled"])
    assert house.ordinary == 0
    assert spans.ended == 1
    ((name, attributes),) = spans.started
    assert name == "GET /todos"
    assert attributes["http.response.status_code"] == 200


@pytest.mark.parametrize("share", [0, 1])
async def test_what_has_to_go_on_takes_the_decision_with_it(share: float) -> None:
    house, spans = House(sampler=Sampler(share)), Spans()
    await house.warm()
    house.stream.position = 2
    with installed(cast(Any, spans)):
        await house.exchange(get())
    assert house.ordinary == 1
    assert house.scopes[-1][RECORDED] is bool(share)
    assert not spans.started
