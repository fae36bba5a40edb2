"""Shards: which database holds what belongs to a user."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, Protocol, TypeVar

from banyan.infra.db.transaction import Database, Work
from banyan.infra.telemetry.log import get_logger
from banyan.infra.telemetry.trace import UNRECORDED, Span, is_recording, span
from banyan.kernel.events import Event

log = get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

GLOBAL = "global"
"""The key of what belongs to no single user: the e-mail directory, signing keys, the throttle."""


class Barrier(Protocol):
    """What a commit must pass before it is acknowledged, where several processes share a database."""

    async def start(self) -> None: ...

    async def settle(self, events: Sequence[Event]) -> None:
        """Return when every process knows of this commit. Raises Unavailable; the commit stands all the same."""
        ...

    async def hear(self, events: Sequence[Event]) -> None:
        """Return when every process knows of a commit of another one, or soon after. Never raises."""
        ...

    async def close(self) -> None: ...


class Shards:
    """Every database of this process, found by the id of the user whose data it holds.

    Today there is one; the map from users to shards is the only thing that changes when there are more.
    """

    def __init__(self, databases: Mapping[str, Database]) -> None:
        if not databases:
            raise ValueError("at least one database is needed")
        self._databases = dict(databases)
        self._listeners: list[Callable[[list[Event]], None]] = []
        self._barrier: Barrier | None = None
        # Events that this process has committed, by type. For metrics.
        self.committed: Counter[str] = Counter()

    def on_commit(self, listener: Callable[[list[Event]], None]) -> None:
        """Tell `listener` the events of each commit, on the event loop, before the writer's caller goes on.

        Commits of other processes are told too, a little later (streams/foreign_commits.py); then a listener may hear
        an event twice, or after one that follows it.
        """
        self._listeners.append(listener)

    def settle_with(self, barrier: Barrier) -> None:
        """Let each commit of this process pass the barrier; it is started and closed with the databases."""
        self._barrier = barrier

    async def start(self) -> None:
        for database in self._databases.values():
            await database.start(self._committed)
        if self._barrier is not None:
            await self._barrier.start()

    async def close(self) -> None:
        for database in self._databases.values():
            await database.close()
        # Last: what was accepted before is still acknowledged through it.
        if self._barrier is not None:
            await self._barrier.close()

    def names(self) -> list[str]:
        return list(self._databases)

    def named(self, name: str) -> Database:
        return self._databases[name]

    def of(self, key: str) -> Database:
        """The database of a user's id, or of `GLOBAL`."""
        return next(iter(self._databases.values()))

    async def transact(self, key: str, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A unit of work on the shard of `key`; see Database.transact."""
        with _span_of("transact", work):
            return await self.of(key).transact(work, *args, **kwargs)

    async def read(self, key: str, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A read on the shard of `key`; see Database.read."""
        with _span_of("read", work):
            return await self.of(key).read(work, *args, **kwargs)

    def announce(self, events: list[Event]) -> None:
        """Tell every listener of committed events. One that fails fails alone: the commit stands, and is acknowledged."""
        for listener in self._listeners:
            try:
                listener(events)
            except Exception:
                log.exception(
                    "commit_listener_failed",
                    listener=getattr(listener, "__qualname__", type(listener).__name__),
                )

    async def hear(self, events: list[Event]) -> None:
        """To be called with what another process committed, before it is announced."""
        if self._barrier is not None:
            await self._barrier.hear(events)

    def _committed(self, events: list[Event]) -> Awaitable[None] | None:
        for event in events:
            self.committed[event.type] += 1
        if self._barrier is None:
            return self.announce(events)
        return self._settle(self._barrier, events)

    async def _settle(self, barrier: Barrier, events: list[Event]) -> None:
        try:
            await barrier.settle(events)
        finally:
            # Not before: whoever is told of an event must find what it did, through any process.
            self.announce(events)


def _span_of(operation: str, work: Callable[..., Any]) -> AbstractContextManager[Span | None]:
    """From the request for it to its end: the wait for a connection and the commit that it shares with others included."""
    if not is_recording():
        return UNRECORDED
    facts = {"db.operation.name": operation, "code.function.name": work.__qualname__}
    return span(f"{operation} {work.__name__.lstrip('_')}", "client", facts)
