"""The connection to Redis, over a real Valkey: quick answers or quick errors, and never somebody else's answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis.exceptions import ResponseError
from tests.support.running import Running
from tests.support.valkey import new_valkey, url_of

from banyan.infra.redis.connection import RedisConnection, RedisUnavailable

TIMEOUT = timedelta(milliseconds=100)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Running]:
    with new_valkey(tmp_path) as running:
        yield running


@pytest.fixture
async def connection(valkey: Running) -> AsyncIterator[RedisConnection]:
    opened = RedisConnection(url_of(valkey), TIMEOUT, most_connections=4)
    yield opened
    await opened.close()


async def echo(connection: RedisConnection, text: str) -> str:
    return (await connection.do(lambda client: client.execute_command("ECHO", text)) or b"").decode()


async def test_it_answers(connection: RedisConnection):
    await connection.do(lambda client: client.set("a", "1"))
    assert await connection.do(lambda client: client.mget(["a", "b"])) == [b"1", None]
    await connection.check()


async def test_more_callers_than_connections_wait_their_turn(connection: RedisConnection):
    texts = [str(number) for number in range(200)]
    assert await asyncio.gather(*(echo(connection, text) for text in texts)) == texts


async def test_a_cancelled_command_leaves_no_answer_behind(connection: RedisConnection):
    async def cancelled(seconds: float) -> None:
        task = asyncio.create_task(echo(connection, "of one who went away"))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for number in range(100):
        await asyncio.gather(*(cancelled(step * 0.0001) for step in range(4)))
        texts = [f"{number}-{index}" for index in range(4)]
        assert await asyncio.gather(*(echo(connection, text) for text in texts)) == texts
    assert connection.breaker.state == "closed"


async def test_a_late_answer_is_nobodys(valkey: Running, connection: RedisConnection):
    await echo(connection, "connected")
    valkey.pause()
    with pytest.raises(RedisUnavailable):
        await echo(connection, "too late")
    valkey.go_on()
    assert await echo(connection, "in time") == "in time"


async def test_a_mistake_of_ours_is_told_as_such(connection: RedisConnection):
    for _ in range(10):
        with pytest.raises(ResponseError):
            await connection.do(lambda client: client.execute_command("NOSUCHCOMMAND"))
    assert connection.breaker.state == "closed"


async def test_a_server_that_is_gone_is_an_error_at_once_and_then_faster(
    valkey: Running, connection: RedisConnection
):
    await connection.check()
    valkey.kill9()
    await fails_quickly(connection)


async def test_a_server_that_hangs_is_an_error_after_the_timeout_and_then_at_once(
    valkey: Running, connection: RedisConnection
):
    await connection.check()
    valkey.pause()
    await fails_quickly(connection)


async def fails_quickly(connection: RedisConnection) -> None:
    for _ in range(5):
        started = time.perf_counter()
        with pytest.raises(RedisUnavailable):
            await echo(connection, "anybody?")
        assert time.perf_counter() - started < TIMEOUT.total_seconds() + 0.1
    assert connection.breaker.state == "open"
    started = time.perf_counter()
    for _ in range(100):
        with pytest.raises(RedisUnavailable):
            await echo(connection, "anybody?")
    assert (time.perf_counter() - started) / 100 < 0.001


async def test_it_is_back_by_itself_and_no_caller_is_the_probe(valkey: Running, connection: RedisConnection):
    valkey.kill9()
    for _ in range(6):
        with pytest.raises(RedisUnavailable):
            await echo(connection, "anybody?")
    valkey.start()
    slowest = 0.0

    async def answers() -> bool:
        nonlocal slowest
        started = time.perf_counter()
        try:
            return await echo(connection, "there?") == "there?"
        except RedisUnavailable:
            return False
        finally:
            slowest = max(slowest, time.perf_counter() - started)

    deadline = (
        time.monotonic() + 8
    )  # the second pause is 1 to 4 seconds, should the first probe have come too early
    while not await answers():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert connection.breaker.state == "closed"
    assert slowest < TIMEOUT.total_seconds()


async def test_a_restart_between_two_commands_costs_nothing(valkey: Running, connection: RedisConnection):
    await asyncio.gather(*(echo(connection, "connect") for _ in range(4)))
    valkey.kill9()
    await asyncio.to_thread(valkey.start)  # meanwhile the loop hears that its sockets were closed
    for _ in range(8):
        assert await echo(connection, "again") == "again"
