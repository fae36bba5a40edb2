"""Queries that the caches save PostgreSQL: nine reads to one write by a thousand people, with the caches and without.

Two workers on PostgreSQL and Redis; each request goes to one of them by chance, and both sides get the same requests. Without:
BANYAN_CACHE_MAX_BYTES=0, so every read loads its answer; Redis tells the positions on both sides. Counted by PostgreSQL itself
(pg_stat_statements): the queries that load what reads answer, and all that ran, whatever for (writes, transactions, events on
their way, looks in the background).
"""

import asyncio
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from benchmarks.speed.banyan import banyan
from benchmarks.speed.options import Options
from benchmarks.speed.processes import Meter
from benchmarks.speed.row import LESS, Goal, Row
from benchmarks.speed.statements import SETTINGS as COUNTING
from benchmarks.speed.statements import count_in, is_frame
from benchmarks.speed.subject import Subject, wait_settled
from tests.support.postgres import PostgresServer, find_binaries
from tests.support.valkey import new_valkey, url_of

from banyan.infra.db.migrate import upgrade

NAME = "cache"
PEER = "without caches"
# Ninety of a hundred queries saved: one of ten is left.
GOAL = Goal(LESS, 0.10)
WORKERS = 2
IN_FLIGHT = 32
PER_SECOND = 1_000
WRITES = 0.1
NO_CACHE = {"BANYAN_CACHE_MAX_BYTES": "0"}
# What is counted does not depend on how busy the machine is; nobody is to be refused for that.
SETTINGS = {"BANYAN_DATABASE_POOL_WAIT": "10", "BANYAN_WORKERS": str(WORKERS)}

# What loads the answers of reads: pages and counts, the positions that they are of, and positions that Redis did not know.
LOADS = re.compile(
    r"SELECT json_build_object|SELECT streams\.|SELECT \(?count|SELECT users\.|SELECT notifications\.|SELECT coalesce\(json"
    r"|SELECT anon_\d+\.number, found\."
)


@dataclass(frozen=True, slots=True)
class Mix:
    """reads: (path, how often in a hundred reads)."""

    name: str
    reads: Sequence[tuple[str, int]]


MIXES = (
    Mix("lists only", [("/todos?limit=20", 100)]),
    # As the web application asks.
    Mix(
        "an application's",
        [
            ("/todos?limit=20", 50),
            ("/notifications/unread_count", 25),
            ("/notifications", 10),
            ("/users/me", 15),
        ],
    ),
)


What = tuple[str, str, str | None]
"""method, path ("" for the person's own to-do), body"""


@dataclass(frozen=True, slots=True)
class Person:
    authorization: str
    todo_id: str


@dataclass(frozen=True, slots=True)
class Side:
    subject: Subject
    people: Sequence[Person]
    so_far: Callable[[], Counter[str]]


def measure(options: Options) -> Iterator[Row]:
    people = 100 if options.is_quick else 1000
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL's server is not on this machine (Debian: apt-get install postgresql).")
    with tempfile.TemporaryDirectory(prefix="banyan-cache-") as name, ExitStack() as stack:
        folder = Path(name)
        server = PostgresServer(binaries, COUNTING)
        stack.callback(server.stop)
        valkey = stack.enter_context(new_valkey(folder))
        sides = []
        for number, extra in enumerate(({}, NO_CACHE)):
            url = server.new_database()
            upgrade(url)
            so_far = count_in(server, url.rpartition("/")[2])
            settings = {
                **SETTINGS,
                "BANYAN_DATABASE_URL": url,
                "BANYAN_REDIS_URL": url_of(valkey, number),
                **extra,
            }
            place = folder / str(number)
            subject = stack.enter_context(banyan(place, settings, people))
            sides.append(Side(subject, asyncio.run(_people(subject)), so_far))
        for mix in MIXES:
            yield from _rows(options, mix, sides)


def _rows(options: Options, mix: Mix, sides: Sequence[Side]) -> Iterator[Row]:
    for side in sides:
        # Everybody's, a few times, so that each worker has most of them.
        reads: list[What] = [("GET", path, None) for path, _ in mix.reads] * 3
        asyncio.run(_drive(side, [(person, read) for read in reads for person in range(len(side.people))]))
    loads: list[tuple[float, float | None]] = []
    everything: list[tuple[float, float | None]] = []
    cpu: list[tuple[float, float | None]] = []
    for turn in range(options.rounds):
        pairs = [
            _run(side, mix, turn, int(options.seconds * PER_SECOND), is_last=turn == options.rounds - 1)
            for side in sides
        ]
        if pairs[1][0] == 0:
            raise RuntimeError("without caches each read is a query, and none was recognised: see LOADS")
        for found, place in ((loads, 0), (everything, 1), (cpu, 2)):
            found.append((pairs[0][place], pairs[1][place]))
    yield Row(NAME, f"{mix.name}: queries of reads for a read", loads, PEER, GOAL)
    yield Row(NAME, f"{mix.name}: all statements for a request", everything, PEER, GOAL)
    yield Row(NAME, f"{mix.name}: CPU µs for a request", cpu, PEER)


def _run(side: Side, mix: Mix, turn: int, requests: int, *, is_last: bool) -> tuple[float, float, float]:
    """Queries of reads for a read, all statements for a request, and CPU µs of the processes for a request."""
    chance = random.Random(turn)
    paths, weights = zip(*mix.reads, strict=True)
    work: list[tuple[int, What]] = []
    for number in range(requests):
        what: What = ("PATCH", "", f'{{"title":"change {mix.name} {turn} {number}"}}')
        if chance.random() >= WRITES:
            what = ("GET", chance.choices(paths, weights)[0], None)
        work.append((chance.randrange(len(side.people)), what))
    wait_settled(side.subject.application)
    before, meter = side.so_far(), Meter(side.subject.application)
    asyncio.run(_drive(side, work))
    wait_settled(side.subject.application)
    counted = side.so_far() - before
    reads = sum(what[0] == "GET" for _, what in work)
    # Our own counting is in it once or twice.
    counted = Counter({text: calls for text, calls in counted.items() if "pg_stat_statements" not in text})
    loads = sum(calls for text, calls in counted.items() if LOADS.match(text))
    total = sum(counted.values())
    frames = sum(calls for text, calls in counted.items() if is_frame(text))
    if is_last:
        print(
            f"  {mix.name}, {side.subject.name}: {requests} requests, of {total} statements {frames} begin or end transactions",
            file=sys.stderr,
        )
        for text, calls in counted.most_common(25):
            print(
                f"    {calls / requests:6.3f}  {'load ' if LOADS.match(text) else '     '}{text[:110]}",
                file=sys.stderr,
            )
    return loads / reads, total / requests, meter.us_per(requests)


async def _drive(side: Side, work: Sequence[tuple[int, What]]) -> None:
    left = iter(work)

    async def client(session: aiohttp.ClientSession) -> None:
        for index, (method, path, body) in left:
            person = side.people[index]
            headers = {"authorization": person.authorization, "content-type": "application/json"}
            address = side.subject.url + (path or f"/todos/{person.todo_id}")
            async with session.request(method, address, data=body, headers=headers) as answer:
                if answer.status != 200:
                    raise AssertionError(f"{method} {path}: {answer.status} {await answer.text()}")
                await answer.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(client(session) for _ in range(IN_FLIGHT)))


async def _people(subject: Subject) -> list[Person]:
    """Everybody's authorization, and one of their to-dos."""
    found = []
    async with aiohttp.ClientSession() as session:
        for request in subject.requests["list"]:
            async with session.get(subject.url + "/todos?limit=1", headers=request.headers) as answer:
                found.append(Person(request.headers["Authorization"], (await answer.json())[0]["id"]))
    return found
