"""The crash harness: load, kills, restarts, and the judgement at the end."""

import os
import random
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.support.accounts import register
from tests.support.command_line import banyan
from tests.support.crash_load import Follower, Person, Worker
from tests.support.history import once_faults, position_faults, register_faults, same_counts_faults
from tests.support.intent_log import IntentLog, Operation
from tests.support.server import RunningServer, ServerDied

from banyan.infra import faults

USERS = 3
WORKERS_OF_A_USER = 2
QUIET_TIMEOUT_SECONDS = 30.0
# A fault point that is not passed often enough within this time is helped.
POINT_TIMEOUT_SECONDS = 3.0


@dataclass(slots=True)
class CrashReport:
    """faults: a sentence for each promise that was broken. restarts: seconds until ready, of each restart;
    processor: how many of them the server was working."""

    seed: int
    faults: list[str] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    operations: int = 0
    acknowledged: int = 0
    retries: int = 0
    events: int = 0

    def __str__(self) -> str:
        times = (
            f"{min(self.restarts):.2f} / {statistics.median(self.restarts):.2f} / {max(self.restarts):.2f} s"
        )
        return (
            f"seed {self.seed}: {sum(self.kills.values())} kills {dict(self.kills)}, {self.operations} operations, "
            f"{self.acknowledged} acknowledged, {self.retries} repeated, {self.events} events; "
            f"ready again after {times} (least, median, most), of which it works {min(self.processor, default=0):.2f} s "
            f"at least; {len(self.faults)} faults"
        )


def run_crashes(
    server: RunningServer,
    folder: Path,
    *,
    rounds: int,
    seed: int,
    points: Sequence[str] = faults.POINTS,
    program: Sequence[str] | None = None,
) -> CrashReport:
    """Kill a loaded server again and again, then judge.

    points: where it may kill itself, besides random moments. program: what to run from the first restart on.
    """
    report = CrashReport(seed)
    chance = random.Random(seed)
    log = IntentLog(folder / "intents.jsonl")
    server.start()
    people = [Person(register(server.url)) for _ in range(USERS)]
    workers = [
        worker
        for number, person in enumerate(people)
        for worker in make_workers(server.url, number, person, log, chance)
    ]
    followers = [Follower(server.url, person.account) for person in people]
    for thread in (*workers, *followers):
        thread.start()
    try:
        for number in range(rounds):
            way = _kill(server, chance)
            report.kills[way] += 1
            server.settings.pop("BANYAN_FAULT", None)
            if program is not None:
                server.program = list(program)
            if points and number + 1 < rounds and chance.random() < 0.5:
                server.settings["BANYAN_FAULT"] = f"{chance.choice(points)}:{chance.randint(3, 60)}"
            report.restarts.append(_start_again(server, report))
            working = server.processor_seconds()
            report.processor += [] if working is None else [working]
            _progress(f"kill {number + 1}/{rounds} ({way}), ready again after {report.restarts[-1]:.2f} s")
            report.faults += [
                f"{worker.name}: {worker.error!r}" for worker in workers if worker.error is not None
            ]
            if report.faults:
                break
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.join(60)
    report.faults += [f"{worker.name}: {worker.error!r}" for worker in workers if worker.error is not None]
    if not report.faults:
        report.faults += judge(server, people, followers, log)
    for follower in followers:
        follower.stop()
    for follower in followers:
        follower.join(10)
    operations = log.operations()
    log.close()
    report.operations = len(operations)
    report.acknowledged = sum(operation.outcome == "done" for operation in operations)
    report.retries = sum(worker.retries for worker in workers)
    report.events = sum(len(follower.seen) for follower in followers)
    report.faults = list(dict.fromkeys(report.faults))
    for person in people:
        person.account.client.close()
    _progress(str(report))
    return report


def make_workers(
    url: str, number: int, person: Person, log: IntentLog, chance: random.Random
) -> list[Worker]:
    made = person.account.client.post("/todos", json={"title": "shared"})
    assert made.status_code == 201, made.text
    shared = made.json()["id"]
    log.settle(log.intend("setup", "write", person.place(shared), "shared"), "done")
    return [
        Worker(f"u{number}w{worker}", url, person, shared, log, chance.randrange(2**32))
        for worker in range(WORKERS_OF_A_USER)
    ]


def _kill(server: RunningServer, chance: random.Random) -> str:
    """Let the server die, at its fault point or at a random moment; returns which."""
    point = server.settings.get("BANYAN_FAULT")
    if point is None:
        # Random moments are the point of the test; there is no signal to wait for.
        time.sleep(chance.uniform(0.1, 1.2))
        server.kill9()
        return "random"
    assert server.process is not None
    deadline = time.monotonic() + POINT_TIMEOUT_SECONDS
    while server.is_running and time.monotonic() < deadline:
        time.sleep(0.005)
    if server.is_running:
        server.kill9()
        return "random"
    return point.partition(":")[0]


def _start_again(server: RunningServer, report: CrashReport) -> float:
    """Returns the seconds until it is ready. With its load waiting, a fault point may be passed before that."""
    began = time.monotonic()
    server.launch()
    try:
        server.wait_ready()
    except ServerDied:
        point = server.settings.pop("BANYAN_FAULT", None)
        if point is None:
            raise
        report.kills[point.partition(":")[0]] += 1
        return server.start()
    return time.monotonic() - began


def judge(
    server: RunningServer, people: list[Person], followers: list[Follower], log: IntentLog
) -> list[str]:
    """All that must hold when the load has ended and the server has caught up."""
    found: list[str] = []
    try:
        for person in people:
            _wait_until(lambda person=person: _reminded(person) >= person.reminders, "every reminder is told")
        _wait_until(lambda: _lag(server)["relay"] == 0, "the relay has caught up")
    except AssertionError as error:
        found.append(str(error))
    operations = log.operations()
    for person in people:
        found += _notification_faults(person, operations)
    found += register_faults([*operations, *_final_reads(people, operations)])
    found += _log_faults(server, people, followers)

    lag = _lag(server)
    found += [f"{count} events are {state}" for state, count in lag.items() if state != "relay" and count]
    before = [_stats(person) for person in people]
    for person, stats in zip(people, before, strict=True):
        todos = _all_pages(person, "/todos?limit=200")
        recount = {
            "open": sum(not todo["completed"] for todo in todos),
            "completed": sum(todo["completed"] for todo in todos),
        }
        found += same_counts_faults(
            f"{person.account.id} stats", recount, {key: stats[key] for key in recount}
        )
    verified = banyan(["events", "verify", "--json"], server.data_dir, server.settings)
    if verified.code != 0:
        found.append(f"banyan events verify: {verified.out[-2000:]} {verified.err[-500:]}")
    rebuilt = banyan(["events", "rebuild", "todo-stats", "--json"], server.data_dir, server.settings)
    if rebuilt.code != 0:
        found.append(f"banyan events rebuild: {rebuilt.out} {rebuilt.err[-500:]}")
    for person, stats in zip(people, before, strict=True):
        again = _stats(person)
        if again != stats:
            found.append(
                f"{person.account.id}: stats were {stats}, and made again from the log they are {again}"
            )
    return found


def _final_reads(people: list[Person], operations: list[Operation]) -> list[Operation]:
    """What is there in the end, as reads of every place that anybody wrote to."""
    values: dict[str, str] = {}
    started = time.monotonic()
    for person in people:
        for todo in _all_pages(person, "/todos?limit=200"):
            values[person.place(todo["id"])] = todo["title"]
    ended = time.monotonic()
    places = {
        operation.place for operation in operations if operation.kind in ("write", "delete")
    } | values.keys()
    return [
        Operation(-2 - number, "final", "read", place, values.get(place), started, ended, "done")
        for number, place in enumerate(sorted(places))
    ]


def _notification_faults(person: Person, operations: list[Operation]) -> list[str]:
    inbox = _all_pages(person, "/notifications?limit=200")
    asked = [operation for operation in operations if operation.place == person.account.id]
    found = once_faults(asked, [entry["message"] for entry in inbox if entry["kind"] == "message"])
    reminded = Counter(entry["data"]["todo_id"] for entry in inbox if entry["kind"] == "reminder")
    found += same_counts_faults("reminder", dict.fromkeys(person.reminders, 1), reminded)
    welcomed = sum(entry["kind"] == "welcome" for entry in inbox)
    return found if welcomed == 1 else [*found, f"{person.account.id} was welcomed {welcomed} times"]


def _log_faults(server: RunningServer, people: list[Person], followers: list[Follower]) -> list[str]:
    """Positions are 1, 2, 3, …; each thing was created once; the live client was told all of it, once and in order."""
    positions: dict[tuple[str, str], list[int]] = defaultdict(list)
    created: Counter[str] = Counter()
    rows = server.rows("SELECT user_id, stream, position, type, subject FROM events ORDER BY sequence")
    ahead = server.rows(
        "SELECT i.consumer, i.user_id FROM inbox i JOIN streams s USING (user_id, stream) WHERE i.position > s.position"
    )
    for user_id, stream, position, kind, subject in rows:
        positions[user_id, stream].append(position)
        if kind in ("TodoCreated", "NotificationCreated", "TodoReminded"):
            created[f"{kind} {subject}"] += 1
    found = [f"{consumer} has applied events of {user_id} that are not there" for consumer, user_id in ahead]
    found += [f"{what} happened {count} times" for what, count in created.items() if count != 1]
    for (user_id, stream), of_stream in positions.items():
        found += position_faults(f"{user_id}/{stream}", of_stream)
    for person, follower in zip(people, followers, strict=True):
        found += _follower_faults(person, follower, positions)
    return found


def _follower_faults(
    person: Person, follower: Follower, positions: dict[tuple[str, str], list[int]]
) -> list[str]:
    expected = {
        stream: of_stream
        for (user_id, stream), of_stream in positions.items()
        if user_id == person.account.id
    }
    total = sum(map(len, expected.values()))
    try:
        follower.wait_for(lambda: len(follower.seen) >= total)
    except AssertionError as error:
        return [f"{follower.name}: {error}, of {total}"]
    seen: dict[str, list[int]] = defaultdict(list)
    for stream, position in list(follower.seen):
        seen[stream].append(position)
    found = [f"{follower.name} was told to reset {follower.resets} times"] if follower.resets else []
    for stream in sorted(expected.keys() | seen.keys()):
        found += position_faults(f"{follower.name}/{stream}", seen[stream])
        if len(seen[stream]) != len(expected.get(stream, [])):
            found.append(
                f"{follower.name}/{stream}: {len(seen[stream])} told, {len(expected.get(stream, []))} happened"
            )
    return found


def _reminded(person: Person) -> set[str]:
    return {
        entry["data"]["todo_id"]
        for entry in _all_pages(person, "/notifications?limit=200")
        if entry["kind"] == "reminder"
    }


def _all_pages(person: Person, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    next_page: str | None = path
    while next_page is not None:
        answer = person.account.client.get(next_page)
        assert answer.status_code == 200, answer.text
        found += answer.json()
        next_page = answer.links.get("next", {}).get("url")
    return found


def _stats(person: Person) -> dict[str, Any]:
    answer = person.account.client.get("/todos/stats")
    assert answer.status_code == 200, answer.text
    return answer.json()


def _lag(server: RunningServer) -> dict[str, int]:
    return banyan(["events", "lag", "--json"], server.data_dir, server.settings).json()


def _wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + QUIET_TIMEOUT_SECONDS
    while not _holds(holds):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {QUIET_TIMEOUT_SECONDS:g} s")
        time.sleep(0.1)


def _holds(claim: Callable[[], bool]) -> bool:
    try:
        return claim()
    except httpx.TransportError:
        return False


def seed_of_the_day() -> int:
    """Another one each run; BANYAN_TEST_SEED repeats a former run's choices."""
    return int(os.environ.get("BANYAN_TEST_SEED") or random.SystemRandom().randrange(2**32))


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
