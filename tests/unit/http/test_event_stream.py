"""Event streams on the wire: silent ones cost nothing, and nobody waits for a slow one."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from starlette.types import Message

from banyan.infra.http import event_stream
from banyan.infra.http.event_stream import TOLD_AT_ONCE, EventStream, EventStreams
from banyan.infra.streams.live import LiveHub
from banyan.kernel.errors import Unavailable
from banyan.kernel.events import Event

HEAD: Message = {"type": "http.response.start", "status": 200, "headers": []}


class Log:
    """The stream of nobody: what is told comes from `LiveHub.deliver` alone, unless it is out of order."""

    async def position(self, user_id: str) -> int:
        return 0

    async def read(self, user_id: str, *, after: int, limit: int) -> Sequence[Event]:
        return []


class Client:
    """One connection. takes: while it is not set, whatever is sent to it waits."""

    def __init__(self) -> None:
        self.text = b""
        self.is_over = False
        self.takes = asyncio.Event()
        self.takes.set()
        self._gone = asyncio.Event()
        self._heard = asyncio.Event()

    async def hears(self, mark: bytes, times: int = 1) -> None:
        """Return when it was told this so often."""
        async with asyncio.timeout(10):
            while self.text.count(mark) < times:
                self._heard.clear()
                await self._heard.wait()

    async def send(self, message: Message) -> None:
        await self.takes.wait()
        if message["type"] == "http.response.body":
            self.text += message["body"]
            self._heard.set()
            if not message["more_body"]:
                self.is_over = True
                self.leave()

    async def receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    def leave(self) -> None:
        self._gone.set()


@pytest.fixture
def streams() -> EventStreams:
    return EventStreams(LiveHub({"todos": Log()}, max_per_user=1000))


@asynccontextmanager
async def listening(
    streams: EventStreams, client: Client, user: str = "ada"
) -> AsyncIterator["asyncio.Task[None]"]:
    stream = await EventStream.begin(streams, streams.hub.open(user, "s"), None)
    serving = asyncio.create_task(stream.serve(HEAD, client.receive, client.send))
    await client.hears(b"event: ready")
    yield serving
    client.leave()
    await asyncio.wait_for(serving, 5)


def event(position: int, user: str = "ada") -> Event:
    return Event(
        f"e{position}", user, "todos", position, "TodoCreated", "t", {"title": "Tea"}, None, "2030-01-01"
    )


async def test_what_is_told_has_a_name_a_cursor_and_data(streams: EventStreams):
    client = Client()
    async with listening(streams, client):
        streams.hub.deliver([event(1)])
        await client.hears(b"todos.1")
    assert client.text == (
        b"retry: 2000\nid: 0\nevent: ready\ndata: {}\n\n"
        b"id: todos.1\nevent: TodoCreated\n"
        b'data: {"stream":"todos","position":1,"type":"TodoCreated","subject":"t","data":{"title":"Tea"},"at":"2030-01-01"}\n\n'
    )


async def test_a_silent_stream_has_no_task_besides_the_one_that_serves_it(streams: EventStreams):
    before = len(asyncio.all_tasks())
    async with listening(streams, Client()), listening(streams, Client()):
        assert len(asyncio.all_tasks()) == before + 2
    assert streams.hub.open_streams == 0


async def test_who_was_silent_for_long_is_told_that_the_connection_lives(
    streams: EventStreams, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(event_stream, "LOOK_SECONDS", 0.01)
    client = Client()
    async with listening(streams, client):
        await client.hears(b": still here\n\n", 3)
        streams.hub.deliver([event(1)])
        await client.hears(b"todos.1")


async def test_who_is_told_something_needs_no_heartbeat(
    streams: EventStreams, monkeypatch: pytest.MonkeyPatch
):
    silent, busy = Client(), Client()
    async with listening(streams, silent), listening(streams, busy, "bob"):
        for stream in streams._silent:  # both have been silent for long; then one of them is told something
            streams._silent[stream] -= 2 * event_stream.HEARTBEAT_SECONDS
        streams.hub.deliver([event(1, "bob")])
        await busy.hears(b"todos.1")
        streams._look()
        await silent.hears(b"still here")
    assert b"still here" not in busy.text


async def test_a_client_that_takes_nothing_is_dropped(streams: EventStreams, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(event_stream, "SEND_TIMEOUT_SECONDS", 0.02)
    monkeypatch.setattr(event_stream, "LOOK_SECONDS", 0.01)
    stalled, other = Client(), Client()
    async with listening(streams, other), listening(streams, stalled) as serving:
        stalled.takes.clear()
        streams.hub.deliver([event(1)])
        await asyncio.wait_for(serving, 5)
        assert streams.hub.open_streams == 1
        streams.hub.deliver([event(2)])
        await other.hears(b"todos.2")
    assert not streams._writing
    assert not streams._silent


async def test_a_slow_client_is_told_all_of_it_when_it_takes_again(streams: EventStreams):
    client = Client()
    async with listening(streams, client):
        client.takes.clear()
        for position in range(1, 6):
            streams.hub.deliver([event(position)])
            await asyncio.sleep(0)
        client.takes.set()
        await client.hears(b"todos.5")
    assert [client.text.count(b"id: todos.%d\n" % position) for position in range(1, 6)] == [1] * 5


async def test_an_event_is_encoded_once_for_all_devices_of_its_user(
    streams: EventStreams, monkeypatch: pytest.MonkeyPatch
):
    encoded = []
    real = event_stream.content_of_event
    monkeypatch.setattr(event_stream, "content_of_event", lambda told: encoded.append(told) or real(told))
    one, two = Client(), Client()
    async with listening(streams, one), listening(streams, two):
        streams.hub.deliver([event(1)])
        await one.hears(b"todos.1")
        await two.hears(b"todos.1")
    assert one.text == two.text
    assert encoded == [event(1)]


async def test_telling_many_lets_others_have_their_turn(streams: EventStreams):
    clients = [Client() for _ in range(3 * TOLD_AT_ONCE)]
    serving = []
    for client in clients:
        stream = await EventStream.begin(streams, streams.hub.open("ada", "s"), None)
        serving.append(asyncio.create_task(stream.serve(HEAD, client.receive, client.send)))
    for client in clients:
        await client.hears(b"event: ready")
    streams.hub.deliver([event(1)])
    told = [0]
    while told[-1] < len(clients):
        await asyncio.sleep(0)
        told.append(sum(b"todos.1" in client.text for client in clients))
    assert max(after - before for before, after in pairwise(told)) <= TOLD_AT_ONCE
    for client in clients:
        client.leave()
    await asyncio.gather(*serving)


async def test_an_ended_session_hears_so_and_nothing_more(streams: EventStreams):
    client = Client()
    async with listening(streams, client) as serving:
        streams.hub.end_session("ada", "s")
        streams.hub.deliver([event(1)])
        await asyncio.wait_for(serving, 5)
    assert client.is_over
    assert client.text.endswith(b'\n\nid: 0\nevent: bye\ndata: {"reason":"revoked"}\n\n')


async def test_a_process_that_stops_says_when_to_come_back(streams: EventStreams):
    client = Client()
    async with listening(streams, client) as serving:
        streams.hub.drain()
        await asyncio.wait_for(serving, 5)
    assert client.text.endswith(b'\n\nretry: 2000\nid: 0\nevent: bye\ndata: {"reason":"draining"}\n\n')


async def test_a_stream_whose_log_cannot_be_read_ends(streams: EventStreams, monkeypatch: pytest.MonkeyPatch):
    """Its client comes back with its cursor, to this process or another."""

    async def away(self: Log, user_id: str) -> int:
        raise Unavailable()

    client = Client()
    async with listening(streams, client) as serving:
        monkeypatch.setattr(Log, "position", away)
        streams.hub.deliver([event(2)])
        await asyncio.wait_for(serving, 5)
        with pytest.raises(Unavailable):
            await EventStream.begin(streams, streams.hub.open("ada", "s"), None)
    assert not client.is_over
    assert streams.hub.open_streams == 0


async def test_what_happens_before_the_first_message_is_told_after_it(streams: EventStreams):
    client = Client()
    subscription = streams.hub.open("ada", "s")
    stream = await EventStream.begin(streams, subscription, None)
    streams.hub.deliver([event(1)])
    serving = asyncio.create_task(stream.serve(HEAD, client.receive, client.send))
    await client.hears(b"todos.1")
    client.leave()
    await serving
    assert client.text.index(b"event: ready") < client.text.index(b"event: TodoCreated")
