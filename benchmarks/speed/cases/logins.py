"""250 people log in at the same moment, every second: how long each waits for an answer, and what others notice of it."""

import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.options import Options
from benchmarks.speed.people import PASSWORD, Person, give_todos, register
from benchmarks.speed.row import LESS, Goal, Row
from tests.support.server import RunningServer, banyan_environment, migrated_data_dir, settings_of

from banyan.capacity.open_loop import Run, Target, request_bytes, run

NAME = "logins"

LOGINS = 250
READERS = 100
READS_A_SECOND = 500
# Between asking for the logins and their first moment, in which the readers connect.
LEAD_SECONDS = 0.1
SETTINGS = {"BANYAN_LOG_LEVEL": "WARNING", "BANYAN_ACCESS_TOKEN_LIFETIME": "86400"}
SHED = (429, 503)


@dataclass(frozen=True, slots=True)
class Burst:
    """Those who logged in at one moment. slowest: seconds until the last of them was answered."""

    statuses: Counter[int]
    slowest: float


@dataclass(frozen=True, slots=True)
class Round:
    quiet: Run
    beside: Run
    bursts: Sequence[Burst]

    def percentiles(self, percent: float) -> tuple[float, float]:
        """Of the reads' latencies beside the logins and without them, in milliseconds."""
        return self.beside.latency.percentile(percent) * 1000, self.quiet.latency.percentile(percent) * 1000


def measure(options: Options) -> Iterator[Row]:
    with _server() as (url, people):
        readers = _readers(url, people[:READERS])
        _read(readers, 1.0)  # what only the first request of its kind needs is made
        _round(url, people, readers, 1)
        rounds = [_round(url, people, readers, max(1, round(options.seconds))) for _ in range(options.rounds)]
    slowest = [max(burst.slowest for burst in one.bursts) for one in rounds]
    yield Row.alone(NAME, "slowest of 250 answers, s", slowest, Goal(LESS, 1))
    let_in = [sum(burst.statuses[200] for burst in one.bursts) / len(one.bursts) for one in rounds]
    yield Row.alone(NAME, "let in of 250, the others told when to come again", let_in)
    for name, percent, goal in (("p99", 99, Goal(LESS, 2)), ("p50", 50, None)):
        pairs = [one.percentiles(percent) for one in rounds]
        yield Row(NAME, f"{name} of other requests, ms", pairs, peer="without logins", goal=goal)


def _round(url: str, people: Sequence[Person], readers: Target, times: int) -> Round:
    quiet = _read(readers, float(times))
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.speed.login_burst", url, str(times)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    who = [(f"person-{number}@example.org", PASSWORD) for number in range(len(people))]
    print(json.dumps(who), file=process.stdin, flush=True)
    if process.stdout.readline() != "ready\n":
        raise AssertionError("the logins could not connect")
    print(time.monotonic() + LEAD_SECONDS, file=process.stdin, flush=True)
    beside = _read(readers, float(times))
    lines, _ = process.communicate(timeout=60)
    return Round(quiet, beside, [_burst(json.loads(line)) for line in lines.splitlines()])


def _burst(facts: Sequence[tuple[int, float | None, bool]]) -> Burst:
    for status, seconds, is_told_when in facts:
        if seconds is None or not (status == 200 or (status in SHED and is_told_when)):
            raise AssertionError(
                f"a login was answered {status} after {seconds} s, Retry-After: {is_told_when}"
            )
    return Burst(Counter(status for status, _, _ in facts), max(seconds or 0.0 for _, seconds, _ in facts))


def _readers(url: str, people: Sequence[Person]) -> Target:
    headers = [{"Authorization": f"Bearer {person.token}"} for person in people]
    return Target.at(url, [request_bytes(f"{url}/todos?limit=20", headers=each) for each in headers])


def _read(readers: Target, seconds: float) -> Run:
    done = run(readers, READS_A_SECOND, seconds)
    if done.failed or done.unsent:
        raise AssertionError(
            f"{done.failed} reads failed, {done.unsent} were not sent: {done.statuses} {done.errors}"
        )
    return done


@contextmanager
def _server() -> Iterator[tuple[str, Sequence[Person]]]:
    """`banyan up` on SQLite with its default limits."""
    with tempfile.TemporaryDirectory(prefix="banyan-logins-") as folder:
        data_dir = migrated_data_dir(Path(folder) / "data")
        settings = {**SETTINGS, "BANYAN_SECRET_KEY": secrets.token_urlsafe(48)}
        people = register(settings_of(banyan_environment(data_dir, settings)), LOGINS)
        with RunningServer(data_dir, settings, command="up") as server:
            give_todos(server.url, people[:READERS])
            yield server.url, people
