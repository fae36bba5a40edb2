"""Positions that hold across processes: asked of Redis, by one MGET for all who ask at the same moment.

A key holds a number, or a marker, or nothing.

    number   at least as high as every position of the stream that was acknowledged
    marker   somebody is loading it from the database; whoever else asks loads it too, and leaves the key alone
    nothing  flushed, evicted, expired or never asked for

A writer, after its commit and before its acknowledgement, raises a number, removes a marker, and leaves nothing as it is:
its own position may not be the last one any more. A loader puts its marker down before it asks the database, and its number
only in the place of that same marker. So no number is ever behind a writer, in whatever order all these arrive.

Whether Redis can be believed at all is the business of `trust.py`. When it cannot, the database answers.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from secrets import token_hex
from typing import Any

from banyan.infra.db.coalescer import Coalescer
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Database
from banyan.infra.loops import Loop, wait_for
from banyan.infra.redis.connection import RedisUnavailable
from banyan.infra.redis.session import Command, RedisSession
from banyan.infra.redis.trust import POLL_SECONDS, CacheTrust, Epoch
from banyan.infra.streams.positions import DatabasePositions, Key, Told, load_positions
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import Unavailable
from banyan.kernel.events import Event

log = get_logger(__name__)

KEPT = timedelta(hours=1)
# Longer than a load may take, or nothing is ever filled while the database is slow.
MARKED = timedelta(seconds=2)
RETRY_SECONDS = 0.05
# So long may nobody be able to say that a commit is known everywhere, before its caller is told that nobody can.
MOST_SETTLING_SECONDS = 1.0
# By then its writer has told it, or has turned trust off and waited, or has died and somebody else has told it.
MOST_HEARING_SECONDS = 0.5

_KEPT_MS = int(KEPT.total_seconds() * 1000)
_MARKED_MS = int(MARKED.total_seconds() * 1000)
_MARK = b"?"

# In one text: redis-py's parser takes longer over 64 values than all the rest of the round trip.
_ASK = """
local held = redis.call('MGET', unpack(KEYS))
for i = 1, #held do
    held[i] = held[i] or ''
end
return table.concat(held, ',')
"""
_TELL = """
for i, key in ipairs(KEYS) do
    local held = redis.call('GET', key)
    if held then
        local number = tonumber(held)
        if not number then
            redis.call('DEL', key)
        elseif number < tonumber(ARGV[i + 1]) then
            redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1])
        end
    end
end
"""
_FILL = """
for i, key in ipairs(KEYS) do
    if redis.call('GET', key) == ARGV[2 * i] then
        redis.call('SET', key, ARGV[2 * i + 1], 'PX', ARGV[1])
    end
end
"""

Moved = dict[Key, int]
"""The last position that a commit gave to each stream."""


class RedisPositions:
    """Positions of streams whose databases are written by several processes.

    trusts: one for each shard, by its name. ask, tell: two sessions, so that nobody's acknowledgement waits behind reads.
    It is also the barrier of `shards`: what a commit moved is told before the commit is acknowledged.
    """

    @classmethod
    def over(
        cls, shards: Shards, trust_databases: Mapping[str, Database], url: str, timeout: timedelta
    ) -> "RedisPositions":
        """url, timeout: of the Redis. trust_databases: of each shard by its name, through connections of their own."""
        ask, tell = RedisSession(url, timeout), RedisSession(url, timeout)
        trusts = {name: CacheTrust(database, tell.identify) for name, database in trust_databases.items()}
        return cls(shards, trusts, ask=ask, tell=tell)

    def __init__(
        self, shards: Shards, trusts: Mapping[str, CacheTrust], *, ask: RedisSession, tell: RedisSession
    ) -> None:
        self._shards = shards
        self._sessions = (ask, tell)
        self._shared = {
            name: SharedPositions(shards, trust, ask=ask, tell=tell) for name, trust in trusts.items()
        }

    def known(self, user_id: str, stream: str) -> int | None:
        return None

    async def current(self, user_id: str, stream: str) -> int:
        return await self._of(user_id).current((user_id, stream))

    def tell(self, user_id: str, stream: str, told: Told) -> bool:
        return self._of(user_id).tell((user_id, stream), told)

    def observe(self, events: Sequence[Event]) -> None:
        """Redis has been told before anybody hears of a commit."""

    async def settle(self, events: Sequence[Event]) -> None:
        """Return when no process will answer from before this commit. Raises Unavailable when that cannot be had soon.

        The commit stands then, and settling goes on beside: the caller knows no more than that it may be done.
        """
        for shared, moved in self._moved(events):
            await shared.settle(moved)

    async def hear(self, events: Sequence[Event]) -> None:
        """Tell what another process committed and may not have lived to tell; never raises, and never takes long."""
        for shared, moved in self._moved(events):
            await shared.hear(moved)

    async def start(self) -> None:
        """Raises Unavailable when a database cannot be reached; Redis may come later."""
        for shared in self._shared.values():
            await shared.trust.start()
        for session in self._sessions:
            await session.keep_open()

    async def close(self) -> None:
        for shared in self._shared.values():
            await shared.close()
        for session in self._sessions:
            await session.close()

    def loops(self) -> Sequence[Loop]:
        """Reading the trust row waits for nothing else, or leases would lapse behind a slow Redis."""
        return [
            *(
                Loop(f"cache-trust-{name}", _every(shared.trust.tick))
                for name, shared in self._shared.items()
            ),
            *(Loop(f"positions-{name}", _every(shared.upkeep)) for name, shared in self._shared.items()),
        ]

    def _moved(self, events: Sequence[Event]) -> list[tuple["SharedPositions", Moved]]:
        by_shard: dict[str, Moved] = {}
        for event in events:
            _raise(
                by_shard.setdefault(self._shards.of(event.user_id).name, {}),
                {(event.user_id, event.stream): event.position},
            )
        return [(self._shared[name], moved) for name, moved in by_shard.items()]

    def _of(self, user_id: str) -> "SharedPositions":
        return self._shared[self._shards.of(user_id).name]


class SharedPositions:
    """The positions of one shard."""

    def __init__(
        self,
        shards: Shards,
        trust: CacheTrust,
        *,
        ask: RedisSession,
        tell: RedisSession,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trust = trust
        self._shards = shards
        self._ask = ask
        self._tell = tell
        self._monotonic = monotonic
        self._database = DatabasePositions(shards)
        self._questions: Coalescer[Key, int | None] = Coalescer(self._ask_many)
        self._loads: Coalescer[Key, int] = Coalescer(self._load_many)
        self._tellings: Coalescer[Moved, float] = Coalescer(self._tell_many)
        self._unsettled: set[asyncio.Task[None]] = set()

    async def current(self, key: Key) -> int:
        if self.trust.lease() is None or not self._ask.is_open:
            return await self._database.current(*key)
        position = await self._questions.submit(key)
        return await self._loads.submit(key) if position is None else position

    def tell(self, key: Key, told: Told) -> bool:
        """Calls back with None for what Redis does not say: loading it is the business of `current`."""
        if self.trust.lease() is None or not self._ask.is_open:
            return False
        return self._questions.call_back(key, told)

    async def settle(self, moved: Moved) -> None:
        try:
            quiet_at = await self._tellings.submit(moved)
        except Unavailable:
            quiet_at = None
        if quiet_at == 0.0:
            return
        task = asyncio.create_task(self._settle_late(moved, quiet_at))
        self._unsettled.add(task)
        task.add_done_callback(self._unsettled.discard)
        await asyncio.wait({task}, timeout=MOST_SETTLING_SECONDS)
        if not task.done():
            log.warning("commit_not_settled", streams=len(moved))
            raise Unavailable("It may have been done: read before you repeat it, or repeat it with its key.")

    async def hear(self, moved: Moved) -> None:
        # Whoever believes Redis can reach it, and so tells it this in time. A process that cannot need not turn trust off.
        with suppress(TimeoutError):
            async with asyncio.timeout(MOST_HEARING_SECONDS):
                while not await self._heard(moved):  # noqa: ASYNC110 - it asks again, there is no signal
                    await asyncio.sleep(RETRY_SECONDS)

    async def upkeep(self) -> None:
        """Keep the sessions open, and give up an epoch that is about another Redis than ours."""
        await asyncio.gather(self._ask.keep_open(), self._tell.keep_open())
        epoch = self.trust.lease()
        if epoch is not None and self._tell.is_open and self._tell.server != epoch.server:
            with suppress(Unavailable):
                await self.trust.revoke(epoch)

    async def close(self) -> None:
        for task in self._unsettled:
            task.cancel()
        await asyncio.gather(*self._unsettled, return_exceptions=True)
        await self.trust.close()

    async def _ask_many(self, keys: Sequence[Key]) -> list[int | None]:
        """None for what Redis does not say. The lease is looked at after everybody has asked."""
        epoch = self.trust.lease()
        if epoch is None:
            return [None] * len(keys)
        names = {key: _name(epoch, key) for key in keys}
        try:
            question: Command = ("EVAL", _ASK, len(names), *names.values())
            (text,) = await self._ask.call([question], server=epoch.server)
        except RedisUnavailable:
            return [None] * len(keys)
        held = dict(zip(names, text.split(b","), strict=True))
        return [int(held[key]) if held[key][:1].isdigit() else None for key in keys]

    async def _load_many(self, keys: Sequence[Key]) -> list[int]:
        epoch = self.trust.lease()
        keys_once = list(dict.fromkeys(keys))
        marks = await self._mark(epoch, keys_once) if epoch is not None else {}
        found = await load_positions(self._shards, keys_once)
        if epoch is not None and marks:
            await self._fill(epoch, marks, found)
        return [found.get(key, 0) for key in keys]

    async def _mark(self, epoch: Epoch, keys: Sequence[Key]) -> dict[Key, bytes]:
        """The markers that were put down before the load, of those keys that held nothing."""
        marks = {key: _MARK + token_hex(8).encode() for key in keys}
        commands: list[Command] = [
            ("SET", _name(epoch, key), mark, "NX", "PX", _MARKED_MS) for key, mark in marks.items()
        ]
        try:
            answers = await self._ask.call(commands, server=epoch.server)
        except RedisUnavailable:
            return {}
        return {
            key: mark
            for (key, mark), answer in zip(marks.items(), answers, strict=True)
            if answer is not None
        }

    async def _fill(self, epoch: Epoch, marks: Mapping[Key, bytes], found: Mapping[Key, int]) -> None:
        names = [_name(epoch, key) for key in marks]
        values = [value for key, mark in marks.items() for value in (mark, found.get(key, 0))]
        try:
            await self._ask.call(
                [("EVAL", _FILL, len(names), *names, _KEPT_MS, *values)], server=epoch.server
            )
        except RedisUnavailable:
            return  # the marker expires

    async def _tell_many(self, commits: Sequence[Moved]) -> list[float]:
        """0 when Redis knows; else the moment from which nobody believes it. Raises Unavailable when the database is gone.

        The epoch is looked at after all of these were committed.
        """
        moved: Moved = {}
        for commit in commits:
            _raise(moved, commit)
        epoch = self.trust.lease() or await self.trust.epoch()
        if not isinstance(epoch, Epoch):
            return [epoch] * len(commits)
        if not await self._told(epoch, moved):
            return [await self.trust.revoke(epoch)] * len(commits)
        return [0.0] * len(commits)

    async def _told(self, epoch: Epoch, moved: Moved) -> bool:
        # Twice: a time-out may be our own fault, when this process was slow to look, and to give up costs all processes.
        for _ in range(2):
            try:
                await self._tell.call([_telling(epoch, moved)], server=epoch.server, connect=True)
            except RedisUnavailable:
                continue
            return True
        return False

    async def _heard(self, moved: Moved) -> bool:
        try:
            epoch = self.trust.lease() or await self.trust.epoch()
            if isinstance(epoch, Epoch):
                await self._tell.call([_telling(epoch, moved)], server=epoch.server)
            else:
                await asyncio.sleep(max(0.0, epoch - self._monotonic()))
        except Unavailable:
            return False
        return True

    async def _settle_late(self, moved: Moved, quiet_at: float | None) -> None:
        while quiet_at is None:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                quiet_at = await self._tellings.submit(moved)
            except Unavailable:
                continue
        await asyncio.sleep(max(0.0, quiet_at - self._monotonic()))


def _raise(moved: Moved, by: Moved) -> None:
    for key, position in by.items():
        moved[key] = max(position, moved.get(key, 0))


def _name(epoch: Epoch, key: Key) -> str:
    user_id, stream = key
    return f"banyan:position:{epoch.name}:{stream}:{user_id}"


def _telling(epoch: Epoch, moved: Moved) -> Command:
    names = [_name(epoch, key) for key in moved]
    return ("EVAL", _TELL, len(names), *names, _KEPT_MS, *moved.values())


def _every(tick: Callable[[], Any]) -> Callable[[asyncio.Event], Any]:
    async def run(stop: asyncio.Event) -> None:
        while not stop.is_set():
            await tick()
            await wait_for(stop, POLL_SECONDS)

    return run
