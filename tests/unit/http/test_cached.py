"""Cached answers: never older than the stream, loaded once for all who ask at the same moment."""

import asyncio

from banyan.infra.auth.principal import Principal
from banyan.infra.cache.response_cache import Entry, ResponseCache
from banyan.infra.http.cached import CachedAnswers, Loaded
from banyan.infra.http.hot import HotRequest
from banyan.infra.loops import Loop
from banyan.infra.streams.positions import Told

ADA = Principal("ada", "session", frozenset(), "user", 2**40)


class Stream:
    """A stream of one user whose position a test moves, and the list that is made from it."""

    def __init__(self) -> None:
        self.position = 1
        self.loads = 0
        self.loading = asyncio.Event()

    def known(self, user_id: str, stream: str) -> int:
        return self.position

    async def current(self, user_id: str, stream: str) -> int:
        return self.position

    def tell(self, user_id: str, stream: str, told: Told) -> bool:
        return False

    def observe(self, events: object) -> None:
        raise AssertionError("reading observes nothing")

    def loops(self) -> list[Loop]:
        return []

    async def load(self) -> Loaded:
        self.loads += 1
        position = self.position
        self.loading.set()
        await asyncio.sleep(0)
        return Loaded(position, Entry(b'"%d"' % position, b"[%d]" % position))


def request(**headers: str) -> HotRequest:
    async def receive() -> dict[str, object]:
        raise AssertionError("a GET has no body")

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HotRequest({"type": "http", "headers": pairs}, receive, ADA)


async def test_an_answer_is_remembered_until_the_stream_moves():
    stream = Stream()
    answers = CachedAnswers("todos", stream, ResponseCache())
    assert [(await answers.answer(request(), "all", stream.load)).body for _ in range(3)] == [b"[1]"] * 3
    assert stream.loads == 1
    stream.position = 2
    assert (await answers.answer(request(), "all", stream.load)).body == b"[2]"
    assert stream.loads == 2


async def test_who_holds_it_is_told_that_it_is_unchanged():
    stream = Stream()
    answers = CachedAnswers("todos", stream, ResponseCache())
    answer = await answers.answer(request(if_none_match='"1"'), "all", stream.load)
    assert (answer.status, answer.body) == (304, b"")
    stream.position = 2
    answer = await answers.answer(request(if_none_match='"1"'), "all", stream.load)
    assert (answer.status, answer.body) == (200, b"[2]")


async def test_many_who_miss_at_once_load_once():
    stream = Stream()
    answers = CachedAnswers("todos", stream, ResponseCache())
    await asyncio.gather(*(answers.answer(request(), "all", stream.load) for _ in range(50)))
    assert stream.loads == 1


async def test_nobody_is_given_a_load_that_began_before_their_own_write():
    stream = Stream()
    answers = CachedAnswers("todos", stream, ResponseCache())
    before = asyncio.create_task(answers.answer(request(), "all", stream.load))
    await stream.loading.wait()
    stream.position = 2
    after = await answers.answer(request(), "all", stream.load)
    assert after.body == b"[2]"
    assert (await before).body == b"[1]"
