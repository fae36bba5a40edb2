"""One process of Banyan: what it is made of, and how it begins and ends."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from banyan.bootstrap import meters
from banyan.infra.capabilities import Capabilities
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Database
from banyan.infra.http.health import Readiness
from banyan.infra.loops import Loop, LoopRunner
from banyan.infra.module import Module
from banyan.infra.streams.consumers import ConsumerRunner
from banyan.infra.streams.foreign_commits import ForeignCommits
from banyan.infra.streams.relay import Relay
from banyan.infra.streams.sources import StreamSource
from banyan.modules.users.contract import Users
from banyan.targets import Target


@dataclass(frozen=True, slots=True)
class Application:
    """Built, but not started.

    infra: as its first module is handed it. databases: the shards of each module whose data it opens; modules may share
    theirs. streams: those of its own modules. users: the contract, served here or elsewhere; None where nobody asks
    for it. closing: what to call at the end.
    """

    target: Target
    infra: Capabilities
    databases: Mapping[str, Shards]
    modules: Sequence[Module]
    streams: Mapping[str, StreamSource]
    users: Users | None
    runners: Sequence[ConsumerRunner]
    relays: Sequence[Relay]
    foreign_commits: Sequence[ForeignCommits]
    loops: Sequence[Loop]
    readiness: Readiness
    closing: Sequence[Callable[[], Awaitable[None]]]

    def distinct_databases(self) -> list[Shards]:
        """Each database once, however many modules share it."""
        return list({id(shards): shards for shards in self.databases.values()}.values())

    def each_database(self) -> Iterator[Database]:
        """Every shard of every database."""
        for shards in self.distinct_databases():
            for name in shards.names():
                yield shards.named(name)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """The databases alone: for commands that mend what keeps the modules from starting."""
        async with AsyncExitStack() as stack:
            for close in self.closing:
                stack.push_async_callback(close)
            for shards in self.distinct_databases():
                stack.push_async_callback(shards.close)
                await shards.start()
            yield

    @asynccontextmanager
    async def running(self, *, background: bool = True) -> AsyncIterator[None]:
        """The databases open and the modules started, and with `background` the loops too; all is closed at the end.

        Raises what keeps a module from starting, such as WrongSecret.
        """
        async with self.opened():
            # First, so that what another process commits from now on is not taken for known.
            for foreign_commits in self.foreign_commits:
                await foreign_commits.look()
            for module in self.modules:
                if module.start is not None:
                    await module.start()
            runner = LoopRunner(self.loops if background else ())
            meters.loop_failures(self.infra.metrics, runner.failures)
            runner.start()
            try:
                yield
            finally:
                self.stopping()
                await runner.stop()

    def stopping(self, drain_seconds: float = 0.0) -> None:
        """A shutdown begins: no new requests, please, and streams end, one after another until the drain is over."""
        self.readiness.stopping = True
        self.infra.live.drain(drain_seconds)
