"""What a request costs with a million people and ten million to-dos, beside a thousand people and ten thousand.

Two PostgreSQL servers with the same settings and one Banyan process before each; processor time of Banyan and of PostgreSQL
together, rounds in turns. `active` is a thousand people drawn at random who come again and again, as the thousand of the
small one do. `anybody` is somebody else with each request, drawn from all, with an access token that the server sees for the
first time: no cache of Banyan's or PostgreSQL's has met them. (Of the small one's thousand everybody comes again; each time
with such a token too.)
"""

import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

from benchmarks.speed import wrk
from benchmarks.speed.growth_data import Filled, Person, fill, some_people
from benchmarks.speed.options import Options
from benchmarks.speed.processes import Meter, Tree
from benchmarks.speed.row import LESS, Goal, Row
from benchmarks.speed.scans import large_tables, scanned_since, sequential_scans
from benchmarks.speed.subject import wait_settled
from benchmarks.speed.tokens import Tokens
from tests.support.postgres import PostgresServer, find_binaries
from tests.support.server import RunningServer

from banyan.infra.db.migrate import upgrade

NAME = "growth"
SMALL, BIG, QUICK_BIG = 1_000, 1_000_000, 10_000
ACTIVE = 1_000
GOAL = Goal(LESS, 1.15)
PEER = "1,000 people"
# More than a process answers on two cores that it shares with the load.
MOST_PER_SECOND = 10_000
VERIFIED = 20
# A table with this many rows or more must never be read from end to end.
LARGE = 20_000

SERVER = {
    # A quarter of a small machine's memory. Without replication there is no need to write what was loaded twice.
    "shared_buffers": "2GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    # It works when it sees fit, and would count against whoever is being measured.
    "autovacuum": "off",
}
SETTINGS = {
    "BANYAN_LOG_LEVEL": "WARNING",
    "BANYAN_ACCESS_TOKEN_LIFETIME": str(24 * 3600),
    "BANYAN_RATE_LIMIT_ADDRESS": "100000000/minute",
    "BANYAN_RATE_LIMIT_USER": "10000000/minute",
    # A machine that is busy with others must not make it refuse: what counts is what a request costs, not how long it takes.
    "BANYAN_DATABASE_POOL_WAIT": "10",
}


@dataclass(slots=True)
class Side:
    """One of the two: a database, and the server before it. active: people who come again and again, with their tokens."""

    people: int
    filled: Filled
    postgres: PostgresServer
    url: str
    server: RunningServer
    tokens: Tokens
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    active: list[tuple[Person, str]] = field(default_factory=list)

    @property
    def database(self) -> str:
        return self.url.rpartition("/")[2]

    def draw(self, count: int) -> list[Person]:
        """Somebody else each time, as far as there are so many."""
        numbers = list(
            islice(cycle(self.chance.sample(range(1, self.people + 1), min(count, self.people))), count)
        )
        return some_people(_psql(), self.url, self.people, numbers)

    def cpu(self) -> tuple[Tree, Tree]:
        return Tree.of(self.server.pid), Tree.of(self.postgres.pid)


Make = Callable[[Person, str, int], wrk.Request]
"""person, token, number of the request → the request; the number is never used twice on one side."""


def _list(person: Person, token: str, number: int) -> wrk.Request:
    return wrk.Request("GET", "/todos", _as(token))


def _list_anew(person: Person, token: str, number: int) -> wrk.Request:
    # Another limit is another answer, with the same ten to-dos in it: so nothing that was kept will do.
    return wrk.Request("GET", f"/todos?limit={20 + number // ACTIVE % 180}", _as(token))


def _get(person: Person, token: str, number: int) -> wrk.Request:
    return wrk.Request("GET", f"/todos/{person.todo_id}", _as(token))


def _stats(person: Person, token: str, number: int) -> wrk.Request:
    return wrk.Request("GET", "/todos/stats", _as(token))


def _patch(person: Person, token: str, number: int) -> wrk.Request:
    return wrk.Request(
        "PATCH", f"/todos/{person.todo_id}", _as(token, json=True), f'{{"title":"changed {number}"}}'
    )


def _create(person: Person, token: str, number: int) -> wrk.Request:
    return wrk.Request("POST", "/todos", _as(token, json=True), f'{{"title":"new {number}"}}')


@dataclass(frozen=True, slots=True)
class Work:
    """anybody: each request by somebody else, with a new token; else by one of the active. once: a request that came again would
    be another kind of request, as one whose answer is kept by then."""

    metric: str
    make: Make
    anybody: bool = False
    once: bool = True


# What makes lists longer comes last.
WORKS = (
    Work("GET /todos, active, unchanged", _list, once=False),
    Work("GET /todos, active, loaded", _list_anew),
    Work("GET /todos/{id}, active", _get, once=False),
    Work("GET /todos/stats, active", _stats, once=False),
    Work("PATCH /todos/{id}, active", _patch),
    Work("GET /todos, anybody", _list_anew, anybody=True),
    Work("GET /todos/{id}, anybody", _get, anybody=True),
    Work("PATCH /todos/{id}, anybody", _patch, anybody=True),
    Work("POST /todos, anybody", _create, anybody=True),
    Work("POST /todos, active", _create),
)


def measure(options: Options) -> Iterator[Row]:
    """One row for each kind of request, of Banyan and PostgreSQL together. Raises when a large table was read as a whole."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="banyan-growth-")))
        small = stack.enter_context(side(folder / "small", SMALL))
        big = stack.enter_context(side(folder / "big", QUICK_BIG if options.is_quick else BIG))
        yield Row.alone(NAME, f"{big.filled.todos:,} to-dos: seconds to load", [big.filled.seconds])
        yield Row.alone(NAME, f"{big.filled.todos:,} to-dos: GB on disk", [big.filled.bytes_on_disk / 1e9])
        verify(big)
        large = large_tables(big.postgres, big.database, LARGE)
        before = sequential_scans(big.postgres, big.database)
        yield from compare(options, small, big, folder)
        after = sequential_scans(big.postgres, big.database)
        scanned = scanned_since(before, after, large)
        if scanned:
            raise RuntimeError(f"tables were read from end to end: {', '.join(scanned)}")
        _say(f"none of {', '.join(sorted(large))} was read from end to end")
        verify(big)


def compare(options: Options, small: Side, big: Side, folder: Path) -> Iterator[Row]:
    numbers = {id(small): 0, id(big): 0}
    for work in WORKS:
        used: dict[str, list[tuple[float, float | None]]] = {"together": [], "Banyan": [], "PostgreSQL": []}
        for one in (big, small):
            # Not counted: afterwards connections, statements and, of the active, tokens and pages are as they stay.
            seconds = 1.0
            while run(one, work, seconds, numbers, folder / "requests").requests < ACTIVE:
                seconds *= 2
        for _ in range(options.rounds):
            ours, theirs = (
                run(one, work, options.seconds, numbers, folder / "requests") for one in (big, small)
            )
            app, database, small_app, small_database = (
                ours.banyan,
                ours.postgres,
                theirs.banyan,
                theirs.postgres,
            )
            used["together"].append((app + database, small_app + small_database))
            used["Banyan"].append((app, small_app))
            used["PostgreSQL"].append((database, small_database))
        for part, rounds in used.items():
            goal = GOAL if part == "together" else None
            of = "" if part == "together" else f" ({part})"
            yield Row(NAME, f"{work.metric}: CPU µs{of}", rounds, PEER, goal)
        _say(f"{work.metric}: {used['together']}")


@dataclass(frozen=True, slots=True)
class Used:
    """CPU µs for each of so many requests."""

    requests: int
    banyan: float
    postgres: float


def run(one: Side, work: Work, seconds: float, numbers: dict[int, int], file: Path) -> Used:
    count = int(seconds * MOST_PER_SECOND)
    first = numbers[id(one)]
    numbers[id(one)] += count
    if work.anybody:
        people = one.draw(count)
        callers = list(zip(people, one.tokens.of(person.user_id for person in people), strict=True))
    else:
        callers = list(islice(cycle(one.active), count))
    requests = [work.make(person, token, first + index) for index, (person, token) in enumerate(callers)]
    wrk.write_requests(file, requests)
    banyan, postgres = (Meter(tree) for tree in one.cpu())
    load = wrk.run(one.server.url, file, seconds)
    wait_settled(Tree.of(one.server.pid, one.postgres.pid))
    if work.once and load.requests > count:
        raise wrk.LoadFailed(
            f"{work.metric}: {load.requests} requests are more than were made, and came again"
        )
    return Used(load.requests, banyan.us_per(load.requests), postgres.us_per(load.requests))


@contextmanager
def side(folder: Path, people: int) -> Iterator[Side]:
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL's server is not on this machine (Debian: apt-get install postgresql).")
    _say(f"loading {people:,} people")
    postgres = PostgresServer(binaries, SERVER)
    try:
        url = postgres.new_database()
        upgrade(url)
        filled = fill(_psql(), url, people, until=datetime.now(UTC).date())
        with RunningServer(folder, {**SETTINGS, "BANYAN_DATABASE_URL": url}) as server:
            one = Side(people, filled, postgres, url, server, Tokens(server))
            active = one.draw(ACTIVE)
            one.active = list(zip(active, one.tokens.of(person.user_id for person in active), strict=True))
            yield one
    finally:
        postgres.stop()


def verify(one: Side) -> None:
    """Banyan's own check of some people's logs. Raises when log and tables differ."""
    people = [person.user_id for person in one.draw(VERIFIED)]
    for user_id in people:
        words = [sys.executable, "-m", "banyan", "events", "verify", "--user", user_id]
        done = subprocess.run(words, env=one.server.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"log and tables of {user_id} differ:\n{done.stdout}{done.stderr}")


def _as(token: str, *, json: bool = False) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token}"}
    return {**headers, "Content-Type": "application/json"} if json else headers


def _psql() -> Path:
    binaries = find_binaries()
    assert binaries is not None  # `side` has looked
    return binaries / "psql"


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
