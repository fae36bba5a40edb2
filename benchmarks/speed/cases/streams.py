"""10,000 open event streams in one process: memory of each, CPU when silent, and how soon a message has reached all."""

import http.client
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from benchmarks.speed.listeners import listening, raise_file_limit
from benchmarks.speed.options import Options
from benchmarks.speed.people import Person, register
from benchmarks.speed.row import LESS, Goal, Row
from tests.support.server import RunningServer, banyan_environment, migrated_data_dir, settings_of

NAME = "streams"

# Each person has so many devices open where "each person is sent a message" is measured.
DEVICES = 10
SETTINGS = {"BANYAN_LOG_LEVEL": "WARNING", "BANYAN_ACCESS_TOKEN_LIFETIME": "86400"}
# The only one of the default settings that is changed, and only for "one message for all": that one user has all streams.
ONE_USER = {"BANYAN_LIVE_MAX_PER_USER": "100000"}
TOLD = b"\nevent: TodoCreated\n"
WARM_UP = 100
AT_ONCE = 50
# A heartbeat comes after 15 s of silence: a whole period is looked at.
IDLE_SECONDS = 16.0


def measure(options: Options) -> Iterator[Row]:
    count = 500 if options.is_quick else 10_000
    raise_file_limit()
    yield from _alone(count, options)
    yield from _together(count, options)
    yield from _devices(count, options)


def _alone(count: int, options: Options) -> Iterator[Row]:
    """Each stream is another user's: the most memory that a stream can need."""
    _say(f"{count} streams of {count} users")
    with _server({}, count) as (server, people):
        process = psutil.Process(server.pid)
        _warm_up(server, people)
        empty = process.memory_info().rss
        with listening(server.url, [person.token for person in people]) as streams:
            each = (process.memory_info().rss - empty) / len(streams) / 1024
            yield _row(count, "memory of each stream, KiB", [each], Goal(LESS, 32))
            share = _cpu_share(process, 2.0 if options.is_quick else IDLE_SECONDS)
            yield _row(count, "CPU while silent, heartbeats included, % of a core", [100 * share])


def _together(count: int, options: Options) -> Iterator[Row]:
    """All streams are one user's: one write is a message for all of them."""
    _say(f"one message for {count} streams")
    with _server(ONE_USER, 1) as (server, (person,)):
        process = psutil.Process(server.pid)
        with listening(server.url, [person.token] * count) as streams:
            seconds, cpu = [], []
            for _ in range(options.rounds):
                before = _cpu_seconds(process)
                acknowledged = _write_to(server.url, [person])
                seconds.append(max(0.0, streams.wait(TOLD, count) - acknowledged))
                cpu.append(1e6 * (_cpu_seconds(process) - before) / count)
    yield _row(count, "one message, acknowledged until it has reached all, s", seconds, Goal(LESS, 2))
    yield _row(count, "CPU to tell a stream one message, µs", cpu)


def _devices(count: int, options: Options) -> Iterator[Row]:
    """A write to each of many users, of whom each has ten devices open."""
    users = count // DEVICES
    _say(f"{users} messages, each for {DEVICES} of {count} streams")
    with _server({}, users) as (server, people):
        tokens = [person.token for person in people for _ in range(DEVICES)]
        with listening(server.url, tokens) as streams:
            seconds = []
            for _ in range(options.rounds):
                slowest = 0.0
                for begin in range(0, users, AT_ONCE):
                    some = people[begin : begin + AT_ONCE]
                    acknowledged = _write_to(server.url, some)
                    slowest = max(slowest, streams.wait(TOLD, len(some) * DEVICES) - acknowledged)
                seconds.append(slowest)
    metric = f"{users} messages for {DEVICES} each, acknowledged until they have it, slowest, s"
    yield _row(count, metric, seconds, Goal(LESS, 2))


@contextmanager
def _server(settings: dict[str, str], people: int) -> Iterator[tuple[RunningServer, Sequence[Person]]]:
    """`banyan up` on SQLite with the default settings but for these, and people who are logged in."""
    with tempfile.TemporaryDirectory(prefix="banyan-streams-") as folder:
        data_dir = migrated_data_dir(Path(folder) / "data")
        settings = {**SETTINGS, "BANYAN_SECRET_KEY": secrets.token_urlsafe(48), **settings}
        registered = register(settings_of(banyan_environment(data_dir, settings)), people)
        with RunningServer(data_dir, settings, command="up") as server:
            yield server, registered


def _warm_up(server: RunningServer, people: Sequence[Person]) -> None:
    """What the first streams make once for all of them is no stream's own."""
    with listening(server.url, [person.token for person in people[:WARM_UP]]):
        pass
    _write_to(server.url, people[:1])


def _write_to(url: str, people: Sequence[Person]) -> float:
    """A to-do for each of these few, all at once; returns when the last was acknowledged."""
    parts = urlsplit(url)
    connections = [http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30) for _ in people]
    body = json.dumps({"title": "A message"})
    for connection, person in zip(connections, people, strict=True):
        headers = {"authorization": f"Bearer {person.token}", "content-type": "application/json"}
        connection.request("POST", "/todos", body, headers)
    for connection in connections:
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:
            raise AssertionError(f"POST /todos was answered {answer.status}")
    acknowledged = time.perf_counter()
    for connection in connections:
        connection.close()
    return acknowledged


def _cpu_share(process: psutil.Process, seconds: float) -> float:
    before, began = _cpu_seconds(process), time.monotonic()
    time.sleep(seconds)
    return (_cpu_seconds(process) - before) / (time.monotonic() - began)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _row(count: int, metric: str, values: Sequence[float], goal: Goal | None = None) -> Row:
    return Row.alone(f"{count} streams", metric, values, goal)


def _say(text: str) -> None:
    print(f"   {text}", file=sys.stderr, flush=True)
