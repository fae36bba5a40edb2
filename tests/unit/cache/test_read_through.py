"""Two levels: what one process has loaded, the other finds; never at another position, never for another user."""

import asyncio

from banyan.infra.cache.read_through import Loaded, ReadThrough
from banyan.infra.cache.response_cache import Entry, ResponseCache
from banyan.infra.cache.shared import MemorySharedCache
from banyan.infra.loops import Loop
from banyan.infra.streams.positions import Told

LINK = b'<http://localhost/todos?cursor=x>; rel="next"'


class Stream:
    def __init__(self) -> None:
        self.position = 1

    def known(self, user_id: str, stream: str) -> int | None:
        return None

    async def current(self, user_id: str, stream: str) -> int:
        return self.position

    def tell(self, user_id: str, stream: str, told: Told) -> bool:
        return False

    def observe(self, events: object) -> None:
        raise AssertionError("reading observes nothing")

    def loops(self) -> list[Loop]:
        return []


class Process:
    def __init__(self, stream: Stream, shared: MemorySharedCache) -> None:
        self._stream = stream
        self.entries = ReadThrough("todos", stream, ResponseCache(), shared)
        self.loads = 0

    async def get(self, user_id: str = "ada", key: object = ("limit=2", "http://localhost")) -> Entry:
        async def load() -> Loaded:
            self.loads += 1
            position = self._stream.position
            body = f"[{user_id}, {key!r}, {position}]".encode()
            return Loaded(position, Entry(b'"%d"' % position, body, LINK if key else None))

        return await self.entries.get(user_id, key, load)  # type: ignore[arg-type]


def two() -> tuple[Stream, Process, Process]:
    stream, store = Stream(), MemorySharedCache.Store()
    return (
        stream,
        Process(stream, MemorySharedCache(store)),
        Process(stream, MemorySharedCache(store)),
    )


async def test_the_other_process_finds_the_same_entry_and_keeps_it():
    _, one, other = two()
    for key in (("limit=2", "http://localhost"), None):
        entry = await one.get(key=key)
        assert [await other.get(key=key) for _ in range(3)] == [entry] * 3
    assert (one.loads, other.loads) == (2, 0)


async def test_after_a_write_one_of_them_loads_it():
    stream, one, other = two()
    await one.get()
    stream.position = 2
    assert (await other.get()).etag == b'"2"'
    assert (await one.get()).etag == b'"2"'
    assert (one.loads, other.loads) == (1, 1)


async def test_users_and_keys_have_entries_of_their_own():
    _, one, other = two()
    entries = [await one.get(user, key) for user in ("ada", "bob") for key in ("x", "y", None)]
    assert len({entry.body for entry in entries}) == 6
    again = [await other.get(user, key) for user in ("ada", "bob") for key in ("x", "y", None)]
    assert again == entries


async def test_many_in_one_process_ask_the_shared_cache_once():
    _, one, _other = two()
    await asyncio.gather(*(one.get() for _ in range(50)))
    assert one.loads == 1
