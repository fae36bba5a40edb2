"""Two worker processes beside one, on PostgreSQL and Redis: throughput where cores are free, and CPU for each request.

Each has a PostgreSQL and a Valkey of its own. "Where a core is free": every worker is held to a fifth of a core by a control
group, so that the load generator and the databases, which share the machine's cores with them, have as much as they want; that
is what more cores would give. Without that, on all cores of this machine, nobody says what was short: see the CPU used.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from benchmarks.speed.banyan import banyan
from benchmarks.speed.cpu_caps import CannotCap, capped
from benchmarks.speed.options import Options
from benchmarks.speed.processes import Tree
from benchmarks.speed.row import GREATER, LESS, Goal, Row
from benchmarks.speed.subject import Sample, Subject
from benchmarks.speed.subject import measure as measured
from tests.support.postgres import PostgresServer, find_binaries
from tests.support.valkey import new_valkey, url_of

from banyan.infra.db.migrate import upgrade

NAME = "workers"
PEER = "1 worker"
KINDS = {"list": "GET /todos, unchanged", "create": "POST /todos"}
# Of a core, for each worker.
CAP = 0.2
FREE_CORE = Goal(GREATER, 1.8)
# What 1.8 times the throughput for twice the processor time is: each request may cost this much more.
COST = Goal(LESS, 2 / 1.8)
# A worker that is held back makes some wait for longer than usual, which is no reason to refuse them or to give up Redis.
SETTINGS = {"BANYAN_DATABASE_POOL_WAIT": "10", "BANYAN_REDIS_TIMEOUT": "2"}


def measure(options: Options) -> Iterator[Row]:
    people = 50 if options.is_quick else 1000
    with tempfile.TemporaryDirectory(prefix="banyan-workers-") as name, ExitStack() as stack:
        one, two = (
            stack.enter_context(_installation(Path(name) / str(count), count, people)) for count in (1, 2)
        )
        for kind, title in KINDS.items():
            yield from _rows(options, one, two, kind, title)
            try:
                yield _where_cores_are_free(options, one, two, kind, title)
            except CannotCap as error:
                _say(f"{title}: throughput where a core is free cannot be measured here: {error}")


def _rows(options: Options, one: Subject, two: Subject, kind: str, title: str) -> Iterator[Row]:
    """On all cores of the machine, with everything else that wants them."""
    pairs = _rounds(options, one, two, kind)
    values = {
        "requests/s": lambda sample: sample.load.per_second,
        "workers' CPU µs": lambda sample: sample.application_us,
        "databases' CPU µs": lambda sample: sample.database_us,
    }
    for name, value in values.items():
        goal = COST if name == "workers' CPU µs" else None
        yield Row(NAME, f"{title}: {name}", [(value(b), value(a)) for a, b in pairs], PEER, goal)


def _where_cores_are_free(options: Options, one: Subject, two: Subject, kind: str, title: str) -> Row:
    with capped([*_workers(one), *_workers(two)], CAP):
        pairs = _rounds(options, one, two, kind)
    rounds = [(b.load.per_second, a.load.per_second) for a, b in pairs]
    return Row(NAME, f"{title}: requests/s, {CAP:g} of a core each", rounds, PEER, FREE_CORE)


def _rounds(options: Options, one: Subject, two: Subject, kind: str) -> list[tuple[Sample, Sample]]:
    pairs = []
    for turn in range(-1, options.rounds):
        # The first, which is not counted, fills caches and pools.
        seconds = 1.0 if turn < 0 else options.seconds
        pairs.append((measured(one, kind, seconds), measured(two, kind, seconds)))
    for number, pair in enumerate(pairs[1:], 1):
        told = (
            f"{sample.load.per_second:,.0f}/s, of the cores the workers had {_cores(sample.application_us, sample):.2f}"
            f" and the databases {_cores(sample.database_us or 0, sample):.2f}"
            for sample in pair
        )
        _say(f"{kind}, round {number}: {'; '.join(told)}")
    return pairs[1:]


def _cores(us: float, sample: Sample) -> float:
    return us * sample.load.per_second / 1e6


def _workers(subject: Subject) -> list[int]:
    """The processes that answer: a parent with workers answers nothing."""
    (pid,) = subject.application.roots
    children = psutil.Process(pid).children()
    return [child.pid for child in children] or [pid]


@contextmanager
def _installation(folder: Path, workers: int, people: int) -> Iterator[Subject]:
    """Banyan with so many workers, and a PostgreSQL and a Valkey of its own."""
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL's server is not on this machine (Debian: apt-get install postgresql).")
    folder.mkdir()
    postgres = PostgresServer(binaries)
    with ExitStack() as stack:
        stack.callback(postgres.stop)
        valkey = stack.enter_context(new_valkey(folder))
        assert valkey.process is not None
        url = postgres.new_database()
        upgrade(url)
        settings = {
            **SETTINGS,
            "BANYAN_DATABASE_URL": url,
            "BANYAN_REDIS_URL": url_of(valkey),
            "BANYAN_WORKERS": str(workers),
        }
        database = Tree.of(postgres.pid, valkey.process.pid)
        yield stack.enter_context(banyan(folder / "banyan", settings, people, database=database))


def _say(text: str) -> None:
    print(f"   {text}", file=sys.stderr, flush=True)
