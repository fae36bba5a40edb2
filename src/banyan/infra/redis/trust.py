"""Trust in what Redis tells, by a lease that the database fences.

A write is acknowledged only when Redis has been told of it. When somebody cannot tell it, nobody may believe Redis any more,
wherever they are and whether or not they can reach each other. Only the database, which all of them need anyway, can
see to that:

    one row: epoch, trusted, server      every process reads it about every 100 ms
    a reader believes Redis              while its last reading began less than LEASE ago, and said `trusted`
    a writer who cannot tell Redis       sets `trusted` to false, waits QUIET (more than LEASE), then acknowledges

    trusted ──── somebody could not tell ────▶ off ──── Redis answers, and QUIET has passed ────▶ trusted, a new epoch

When the wait is over no lease on the old epoch is left. A new epoch begins no sooner either, and with a new name in
every key, so whoever still has the old one can neither read nor write what is believed now. All times are measured by
each process's own monotonic clock, from before it asks: a process that is stopped, or a database that is slow, makes
a lease lapse and nothing else.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from secrets import token_hex

from sqlalchemy import bindparam, false, select, true, update
from sqlalchemy.sql import Executable

from banyan.infra.db.coalescer import Coalescer
from banyan.infra.db.transaction import Database, Parameters, Row, Transaction
from banyan.infra.redis.tables import cache_trust
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import Unavailable

log = get_logger(__name__)

POLL_SECONDS = 0.1
LEASE_SECONDS = 0.25
# Longer than the lease, for clocks whose seconds are not of quite the same length.
QUIET_SECONDS = 0.3
# Who turned trust off says so this often while it cannot reach Redis; unheard for longer, another one may try.
BEAT_SECONDS = 2.0
SILENT_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
# Trust that is lost again so soon after it was restored is restored more slowly each time.
SHORT_LIVED_SECONDS = 10.0
FIRST_PATIENCE_SECONDS = 1.0
MOST_PATIENCE_SECONDS = 60.0

_READ = select(cache_trust)
_AT_EPOCH = cache_trust.c.epoch == bindparam("at_epoch")
_REVOKE = (
    update(cache_trust)
    .where(_AT_EPOCH, cache_trust.c.trusted == true())
    .values(trusted=false(), objector=bindparam("new_objector"), beat=0)
)
_OBJECT = (
    update(cache_trust)
    .where(_AT_EPOCH, cache_trust.c.trusted == false(), cache_trust.c.objector == bindparam("own"))
    .values(beat=cache_trust.c.beat + 1)
)
_RESTORE = (
    update(cache_trust)
    .where(_AT_EPOCH, cache_trust.c.trusted == false(), cache_trust.c.beat == bindparam("at_beat"))
    .values(epoch=bindparam("new_epoch"), trusted=true(), server=bindparam("new_server"))
)


@dataclass(frozen=True, slots=True)
class Epoch:
    """A time in which Redis was, or is, trusted. name: stands in every key. server: the run_id of that Redis."""

    name: str
    server: str


@dataclass(frozen=True, slots=True)
class _State:
    """The row, as a reading found it. began: when the reading began."""

    epoch: Epoch
    trusted: bool
    objector: str
    beat: int
    began: float


class CacheTrust:
    """One database's row, as this process knows it.

    database: a pool of its own, so that requests which use up the other one do not make leases lapse.
    probe: the run_id of the Redis that answers now; raises Unavailable when none does.
    """

    def __init__(
        self,
        database: Database,
        probe: Callable[[], Awaitable[str]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._probe = probe
        self._monotonic = monotonic
        self._own = token_hex(8)
        self._state: _State | None = None
        self._polls: Coalescer[None, _State] = Coalescer(self._poll)
        self._revocations: Coalescer[str, float] = Coalescer(self._revoke)
        # Since when this process has known that an epoch is over.
        self._ended: tuple[str, float] = ("", 0.0)
        self._heard_at = 0.0
        self._spoke_at = 0.0
        self._next_probe = 0.0
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._restored_at: float | None = None
        self._patience_seconds = 0.0

    async def start(self) -> None:
        """Raises Unavailable when the database cannot be reached."""
        await self._database.start(lambda _events: None)
        await self.tick()

    async def close(self) -> None:
        await self._database.close()

    def lease(self) -> Epoch | None:
        """The epoch in which Redis can be believed now; None when it cannot, or when this process does not know."""
        state = self._state
        if state is None or not state.trusted or self._monotonic() >= state.began + LEASE_SECONDS:
            return None
        return state.epoch if state.epoch.name != self._ended[0] else None

    async def epoch(self) -> Epoch | float:
        """The epoch by a reading that begins after this call, or, when there is none, the moment from which nobody believes
        Redis. Raises Unavailable when the database does not answer.
        """
        state = await self._polls.submit(None)
        return state.epoch if state.trusted else self._end(state.epoch.name) + QUIET_SECONDS

    async def revoke(self, epoch: Epoch) -> float:
        """Let nobody believe Redis any more, as far as this epoch goes; returns the moment from which nobody does.

        Raises Unavailable when the database does not answer: it may be done or not.
        """
        return await self._revocations.submit(epoch.name)

    async def tick(self) -> None:
        """Read the row, which renews the lease, and bring trust back when it is time. Raises nothing that passes."""
        try:
            state = await self._polls.submit(None)
            if not state.trusted:
                await self._restore_when_due(state)
        except Unavailable:
            return

    async def _poll(self, askers: Sequence[None]) -> list[_State]:
        began = self._monotonic()
        row = await self._database.read(_read)
        epoch = Epoch(row["epoch"], row["server"])
        state = _State(epoch, bool(row["trusted"]), row["objector"], row["beat"], began)
        before, self._state = self._state, state
        if not state.trusted:
            self._end(epoch.name)
        if before is None or (before.objector, before.beat) != (state.objector, state.beat):
            self._heard_at = began
        if before is None or (before.epoch.name, before.trusted) != (epoch.name, state.trusted):
            log.info("cache_trust_changed", epoch=epoch.name, trusted=state.trusted)
        return [state] * len(askers)

    def _end(self, epoch: str) -> float:
        """When this process first knew that the epoch is over. Leases on it run out a LEASE later at the latest."""
        if self._ended[0] != epoch:
            self._ended = (epoch, self._monotonic())
        return self._ended[1]

    async def _revoke(self, epochs: Sequence[str]) -> list[float]:
        quiet: dict[str, float] = {}
        for epoch in dict.fromkeys(epochs):
            if epoch != self._ended[0]:
                await self._database.transact(
                    _change, _REVOKE, {"at_epoch": epoch, "new_objector": self._own}
                )
                log.warning("cache_trust_revoked", epoch=epoch)
            quiet[epoch] = self._end(epoch) + QUIET_SECONDS
        return [quiet[epoch] for epoch in epochs]

    async def _restore_when_due(self, state: _State) -> None:
        now = self._monotonic()
        is_own = state.objector == self._own
        if not is_own and state.objector and now < self._heard_at + SILENT_SECONDS:
            return
        ended = self._end(state.epoch.name)
        if self._restored_at is not None:
            doubled = min(self._patience_seconds * 2 or FIRST_PATIENCE_SECONDS, MOST_PATIENCE_SECONDS)
            self._patience_seconds = doubled if ended < self._restored_at + SHORT_LIVED_SECONDS else 0.0
            self._restored_at = None
        if now < max(self._next_probe, ended + max(QUIET_SECONDS, self._patience_seconds)):
            await self._object(state)
            return
        try:
            server = await self._probe()
        except Unavailable:
            self._next_probe = self._monotonic() + self._pause_seconds
            self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
            await self._object(state)
            return
        self._pause_seconds = FIRST_PAUSE_SECONDS
        new = {"new_epoch": token_hex(8), "new_server": server}
        at = {"at_epoch": state.epoch.name, "at_beat": state.beat}
        if await self._database.transact(_change, _RESTORE, {**at, **new}):
            self._restored_at = self._monotonic()
            log.info("cache_trust_restored", epoch=new["new_epoch"])

    async def _object(self, state: _State) -> None:
        """Tell the others that whoever turned trust off is alive, and still sees a reason."""
        now = self._monotonic()
        if state.objector == self._own and now >= self._spoke_at + BEAT_SECONDS:
            self._spoke_at = now
            await self._database.transact(_change, _OBJECT, {"at_epoch": state.epoch.name, "own": self._own})


async def _read(tx: Transaction) -> Row:
    row = await tx.one(_READ)
    if row is None:
        raise Unavailable("The table cache_trust has lost its row; put it back before anything is written.")
    return row


async def _change(tx: Transaction, statement: Executable, parameters: Parameters) -> int:
    return await tx.run(statement, parameters)
