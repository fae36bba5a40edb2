"""Verify: fold the log of a user and compare with the tables.

State is made by events, so the log must tell the tables, row by row and field by field. A difference means that a
change was stored without its event, or an event without its change.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import bindparam, func, select

from banyan.infra.db.shards import GLOBAL, Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.module import Fold, State
from banyan.infra.streams.log import EventLog
from banyan.infra.streams.tables import inbox, streams
from banyan.kernel.events import Event

READ_BATCH = 500
USERS_AT_A_TIME = 500
ABSENT = "(absent)"

_USERS = (
    select(streams.c.user_id)
    .where(streams.c.user_id > bindparam("after"))
    .distinct()
    .order_by(streams.c.user_id)
    .limit(bindparam("limit"))
)
_COUNT_USERS = select(func.count(streams.c.user_id.distinct())).where(streams.c.user_id != GLOBAL)
_INBOX = select(inbox.c.stream, inbox.c.consumer, inbox.c.position).where(
    inbox.c.user_id == bindparam("user_id")
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which log and tables disagree.

    place: `todo/<id>/title` for a field, `todo/<id>` for a row, `positions`, `event/<position>` or `inbox/<consumer>`.
    by_log, by_tables: what each of them says.
    """

    user_id: str
    stream: str
    place: str
    by_log: Any
    by_tables: Any


@dataclass(frozen=True, slots=True)
class Verified:
    """What one user's check found. events: how many were folded."""

    user_id: str
    events: int
    differences: list[Difference]


class Verifier:
    """Compares the log with the tables, one user at a time, each in one read snapshot.

    It only reads, and works while a server writes: inside a snapshot log and tables are of the same moment.
    """

    def __init__(self, shards: Shards, logs: Mapping[str, EventLog], folds: Sequence[Fold]) -> None:
        self._shards = shards
        self._logs = logs
        self._folds = folds

    async def check(self, user_id: str) -> Verified:
        return await self._shards.read(user_id, self._check, user_id)

    async def _check(self, tx: Transaction, user_id: str) -> Verified:
        differences: list[Difference] = []
        ends: dict[str, int] = {}
        count = 0
        for stream, log in self._logs.items():
            events = await _whole_stream(tx, log, user_id)
            ends[stream] = await log.position(tx, user_id)
            count += len(events)
            differences += _position_faults(user_id, stream, events, ends[stream])
            for fold in self._folds:
                if fold.stream == stream:
                    stored = await fold.stored(tx, user_id)
                    differences += _fold_faults(user_id, fold, events, stored)
        for row in await tx.all(_INBOX, {"user_id": user_id}):
            # Of a stream whose log lies in another database, nothing can be said here.
            end = ends.get(row["stream"], row["position"])
            if row["position"] > end:
                place = f"inbox/{row['consumer']}"
                differences.append(Difference(user_id, row["stream"], place, end, row["position"]))
        return Verified(user_id, count, differences)


async def count_users(shards: Shards) -> int:
    """How many users have a stream, all shards together."""
    counts = [await shards.named(name).read(_count) for name in shards.names()]
    return sum(counts)


async def each_user(shards: Shards) -> AsyncIterator[str]:
    """The id of each user that has a stream, shard by shard, in the order of ids. Users that come meanwhile may be left out."""
    for name in shards.names():
        after = ""
        while page := await shards.named(name).read(_users_past, after):
            for user_id in page:
                if user_id != GLOBAL:
                    yield user_id
            after = page[-1]


async def _count(tx: Transaction) -> int:
    return await tx.value(_COUNT_USERS)


async def _users_past(tx: Transaction, after: str) -> list[str]:
    return [row["user_id"] for row in await tx.all(_USERS, {"after": after, "limit": USERS_AT_A_TIME})]


async def _whole_stream(tx: Transaction, log: EventLog, user_id: str) -> list[Event]:
    events: list[Event] = []
    while True:
        page = await log.read(tx, user_id, after=events[-1].position if events else 0, limit=READ_BATCH)
        events += page
        if len(page) < READ_BATCH:
            return events


def _position_faults(user_id: str, stream: str, events: Sequence[Event], end: int) -> list[Difference]:
    """Positions follow each other up to the stream's own; the log of an erased account may begin later than 1.

    With no event left the account was erased: rows that are there all the same are found by the fold.
    """
    faults: list[Difference] = []
    for before, event in pairwise(events):
        if event.position != before.position + 1:
            faults.append(Difference(user_id, stream, "positions", before.position + 1, event.position))
    if events and events[-1].position != end:
        faults.append(Difference(user_id, stream, "positions", events[-1].position, end))
    return faults


def _fold_faults(user_id: str, fold: Fold, events: Sequence[Event], stored: State) -> list[Difference]:
    folded: State = {}
    for event in events:
        try:
            fold.apply(folded, event)
        except Exception as error:
            place = f"event/{event.position}"
            return [
                Difference(
                    user_id, fold.stream, place, f"{event.type}: {type(error).__name__}", "(not compared)"
                )
            ]
    return [
        Difference(user_id, fold.stream, place, by_log, by_tables)
        for place, by_log, by_tables in differences(folded, stored)
    ]


def differences(folded: State, stored: State) -> list[tuple[str, Any, Any]]:
    """(place, by the log, by the tables) of each row or field that is not the same in both."""
    found: list[tuple[str, Any, Any]] = []
    for key in sorted(folded.keys() | stored.keys()):
        by_log, by_tables = folded.get(key), stored.get(key)
        if by_log is None or by_tables is None:
            found.append(
                (
                    key,
                    by_log if by_log is not None else ABSENT,
                    by_tables if by_tables is not None else ABSENT,
                )
            )
            continue
        for name in sorted(by_log.keys() | by_tables.keys()):
            left, right = by_log.get(name, ABSENT), by_tables.get(name, ABSENT)
            if left != right:
                found.append((f"{key}/{name}", left, right))
    return found
