"""The door of the lane: one by one, and a refusal that costs little and reads as the lane's own."""

import asyncio
from itertools import pairwise

import pytest
from prometheus_client import generate_latest
from tests.unit.http.test_short_way import House, get, without_id

from banyan.infra.http.lane import Lane
from banyan.infra.resilience.rate_limit import Rate
from banyan.kernel.errors import Unavailable

BODY = b'{"email": "a@example.org"}'
LENGTH = b"host: here\r\ncontent-length: %d\r\n" % len(BODY)


def post(more: bytes = LENGTH, body: bytes = BODY, line: bytes = b"POST /ordinary HTTP/1.1") -> bytes:
    return get(more, signed=b"", line=line) + body


def lane(room: int = 0) -> Lane:
    """For so many at once; whoever comes then is told to come again in three seconds."""

    def refuse(before: int) -> None:
        if before >= room:
            raise Unavailable(retry_after_seconds=3)

    ordinary = frozenset({("POST", "/ordinary"), ("POST", "/ordinary/")})
    return Lane(ordinary, refuse, places=9, patience_seconds=9, late=Unavailable)


REFUSED = {
    "plain": post(),
    "with a slash": post(line=b"POST /ordinary/ HTTP/1.1"),
    "from our own pages": post(LENGTH + b"origin: http://here\r\n"),
    "traced, not sampled": post(LENGTH + b"traceparent: 00-%b-%b-00\r\n" % (b"a" * 32, b"b" * 16)),
    "without a body": post(b"host: here\r\ncontent-length: 0\r\n", b""),
    "two of them": post() + post(),
}
ORDINARY = {
    "another path": post(line=b"POST /hot HTTP/1.1"),
    "another method": post(line=b"PUT /ordinary HTTP/1.1"),
    "a query": post(line=b"POST /ordinary?a=1 HTTP/1.1"),
    "HTTP/1.0": post(line=b"POST /ordinary HTTP/1.0"),
    "the last one": post(LENGTH + b"connection: close\r\n"),
    "from elsewhere": post(LENGTH + b"origin: https://friend.example\r\n"),
    "sampled": post(LENGTH + b"traceparent: 00-%b-%b-01\r\n" % (b"a" * 32, b"b" * 16)),
    "asks before it sends": post(LENGTH + b"expect: 100-continue\r\n"),
    "in pieces": post(b"host: here\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n"),
    "too large": post(b"host: here\r\ncontent-length: 20000\r\n", b"a" * 20000),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED.keys())
async def test_it_refuses_as_the_lane_does(request_: bytes) -> None:
    house = House(lane=lane())
    told = await house.exchange(request_)
    assert house.ordinary == 0
    assert told.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 3\r\n" in told
    other = House(lane=lane())
    assert without_id(told) == without_id(await other.exchange(request_, short=False))
    assert other.ordinary == told.count(b"x-request-id: ") == request_.count(b"POST")
    counted = [
        [line for line in generate_latest(one.registry).decode().splitlines() if "_total{" in line]
        for one in (house, other)
    ]
    assert [line.replace("/ordinary", "unmatched") for line in counted[0]] == counted[1]


@pytest.mark.parametrize("request_", ORDINARY.values(), ids=ORDINARY.keys())
async def test_what_is_not_plain_goes_the_ordinary_way(request_: bytes) -> None:
    house = House(lane=lane())
    await house.exchange(request_)
    assert house.ordinary == 1


async def test_who_comes_too_often_is_told_that() -> None:
    house = House(lane=lane(), address_rate=Rate.parse("2/hour"))
    told = [(await house.exchange(post()))[9:12] for _ in range(3)]
    assert told == [b"503", b"503", b"429"]


async def test_who_is_inside_takes_the_room_until_it_is_answered() -> None:
    house = House(lane=lane(room=1))
    connection, wire = house.connect()
    connection.data_received(get(LENGTH, line=b"POST /ordinary HTTP/1.1") + BODY[:5])
    for _ in range(9):
        await asyncio.sleep(0)
    other, refused = house.connect()
    other.data_received(post())
    assert refused.written[9:12] == b"503"
    connection.data_received(BODY[5:])
    await house.settled()
    assert wire.written[9:12] == b"200"
    assert house.ordinary == 1
    assert (await house.exchange(post()))[9:12] == b"401"  # by the application


async def test_of_many_one_passes_in_a_turn_and_others_have_theirs_between() -> None:
    house, seen = House(lane=lane()), [0]
    made = [house.connect() for _ in range(20)]
    for connection, _ in made:
        connection.data_received(post())
    for _ in range(25):
        seen.append(sum(bool(wire.written) for _, wire in made))
        await asyncio.sleep(0)
    assert seen[-1] == 20
    assert all(after - before <= 1 for before, after in pairwise(seen))


async def test_a_body_that_comes_later_is_let_fall_and_the_next_request_is_answered() -> None:
    house = House(lane=lane())
    connection, wire = house.connect()
    for data in (post(body=b""), BODY[:5], BODY[5:] + get(line=b"GET /livez HTTP/1.1")):
        connection.data_received(data)
    await house.settled()
    assert [part[:3] for part in wire.written.split(b"HTTP/1.1 ")] == [b"", b"503", b"200"]


async def test_what_comes_while_one_waits_for_its_turn_is_kept_in_order() -> None:
    house = House(lane=lane())
    house.connect()[0].data_received(post())
    connection, wire = house.connect()
    for data in (post()[:60], post()[60:], get(line=b"GET /livez HTTP/1.1")):
        connection.data_received(data)
    assert wire.written == b""
    for _ in range(3):
        await house.settled()
    assert [part[:3] for part in wire.written.split(b"HTTP/1.1 ")] == [b"", b"503", b"200"]


async def test_one_that_left_while_it_waited_holds_up_nobody() -> None:
    house, failures = House(lane=lane()), []
    asyncio.get_running_loop().set_exception_handler(lambda _, failure: failures.append(failure))
    made = [house.connect() for _ in range(3)]
    for connection, _ in made:
        connection.data_received(post())
    made[1][0].connection_lost(None)
    for _ in range(4):
        await house.settled()
    assert not failures
    assert [wire.written[9:12] for _, wire in made] == [b"503", b"", b"503"]


async def test_who_waits_while_the_server_stops_is_answered() -> None:
    house = House(lane=lane(room=9))
    made = [house.connect() for _ in range(2)]
    for connection, _ in made:
        connection.data_received(post())
    made[1][0].shutdown()
    await house.settled()
    assert made[1][1].written[9:12] == b"401"  # by the application
