"""Replicas are stopped and killed under load behind the gateway: two real servers on one PostgreSQL."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.support.accounts import Account, client_of, register
from tests.support.eventually import eventually
from tests.support.gateway import Gateway, everything_at, gateway
from tests.support.server import RunningServer, migrated_postgres_url
from tests.support.streams import event_stream

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(300)]

ROUNDS = 4
THREADS = 4


@dataclass
class Pair:
    gateway: Gateway
    servers: tuple[RunningServer, RunningServer]
    users: list[Account] = field(default_factory=list)

    def wait_until_both_are_asked(self) -> None:
        healthy = "cluster.todos.membership_healthy"
        eventually(
            lambda: self.gateway.count(healthy) == 2 or None, "both replicas are ready", within_seconds=20
        )


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    settings = {
        "BANYAN_DATABASE_URL": migrated_postgres_url(),
        "BANYAN_TRUSTED_PROXIES": "127.0.0.1",
        "BANYAN_SECRET_KEY": "s" * 48,
        "BANYAN_DRAIN_DELAY": "2",
    }
    with (
        RunningServer(tmp_path / "one", settings) as one,
        RunningServer(tmp_path / "two", settings) as other,
    ):
        # Started again, it comes back to the port that the gateway knows.
        for server in (one, other):
            server.settings["BANYAN_PORT"] = str(server.port)
        with gateway(tmp_path / "gateway", everything_at(one.port, other.port)) as made:
            pair = Pair(made, (one, other), [register(made.url) for _ in range(THREADS)])
            yield pair
            for user in pair.users:
                user.client.close()


@dataclass
class Load:
    """People who make and read to-dos over and over. made: titles that were acknowledged."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    made: list[tuple[Account, str]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, url: str, user: Account, *, writes: bool) -> None:
        number = 0
        with client_of(url, user.access_token) as client:
            while not self.stop.is_set():
                number += 1
                title = f"{user.id}-{number}"
                self._ask(client, "GET", "/todos?limit=5")
                self._ask(client, "GET", "/users/me")
                if writes and self._ask(client, "POST", "/todos", json={"title": title}) == 201:
                    self.made.append((user, title))

    def _ask(self, client: httpx.Client, method: str, path: str, **more: object) -> int:
        try:
            answer = client.request(method, path, **more)  # pyright: ignore[reportArgumentType]
        except httpx.TransportError as error:
            self.failures.append(f"{method} {path}: {error!r}")
            return 0
        self.statuses[method, answer.status_code] += 1
        if answer.status_code >= 400:
            self.failures.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.status_code


def under_load(pair: Pair, disturb: Callable[[RunningServer], None], *, writes: bool) -> Load:
    """Disturb one server after the other, and back, while people are busy."""
    load = Load()
    threads = [
        threading.Thread(target=load.run, args=[pair.gateway.url, user], kwargs={"writes": writes})
        for user in pair.users
    ]
    for thread in threads:
        thread.start()
    try:
        for number in range(ROUNDS):
            pair.wait_until_both_are_asked()
            before = sum(load.statuses.values())
            server = pair.servers[number % 2]
            disturb(server)
            server.start()
            assert sum(load.statuses.values()) > before, "the other one went on"
    finally:
        load.stop.set()
        for thread in threads:
            thread.join(20)
    return load


def test_a_replica_that_is_stopped_fails_no_request(two: Pair) -> None:
    """SIGTERM again and again: every single request is answered, writes too, and none is lost."""
    load = under_load(two, lambda server: _is_zero(server.terminate()), writes=True)

    assert load.failures == []
    assert set(load.statuses) == {("GET", 200), ("POST", 201)}
    assert load.statuses["POST", 201] > 50
    stored = {title for (title,) in two.servers[0].rows("SELECT title FROM todos")}
    assert {title for _, title in load.made} <= stored


def _is_zero(code: int) -> None:
    assert code == 0


def test_a_replica_that_is_killed_fails_no_read(two: Pair) -> None:
    """SIGKILL with requests in hand: reads are asked of the other one."""
    load = under_load(two, RunningServer.kill9, writes=False)

    assert load.failures == []
    assert set(load.statuses) == {("GET", 200)}
    assert two.gateway.count("cluster.todos.upstream_rq_retry_success") + two.gateway.count(
        "cluster.users.upstream_rq_retry_success"
    ), "somebody noticed"


def test_writes_with_a_key_survive_a_kill_and_have_one_effect(two: Pair) -> None:
    user = two.users[0]
    made: list[str] = []
    stop = threading.Event()
    failures: list[str] = []

    def write() -> None:
        with client_of(two.gateway.url, user.access_token) as client:
            while not stop.is_set():
                title = f"keyed-{len(made)}"
                answer = client.post("/todos", json={"title": title}, headers={"idempotency-key": title})
                made.append(title)
                if answer.status_code != 201:
                    failures.append(f"{answer.status_code} {answer.text}")

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for number in range(2):
            two.wait_until_both_are_asked()
            time.sleep(0.5)  # so that the load is spread when it happens
            two.servers[number % 2].kill9()
            two.servers[number % 2].start()
    finally:
        stop.set()
        writing.join(20)
    assert failures == []
    stored = [
        title for (title,) in two.servers[0].rows("SELECT title FROM todos") if title.startswith("keyed-")
    ]
    assert sorted(stored) == sorted(made), "each once"


def test_streams_move_to_the_other_replica_and_miss_nothing(two: Pair) -> None:
    user = two.users[0]
    titles: list[str] = []
    cursor: str | None = None
    for number in range(3):
        two.wait_until_both_are_asked()
        with event_stream(user.client, cursor) as events:
            assert events.next().name == "ready"
            stopping = [threading.Thread(target=server.terminate) for server in two.servers[number % 2 :][:1]]
            for thread in stopping:
                thread.start()
            answer = user.client.post("/todos", json={"title": f"told-{number}"})
            assert answer.status_code == 201
            told = events.next()
            while told.name == "TodoCreated":
                titles.append(told.data["data"]["title"])
                cursor = told.cursor
                if titles[-1] == f"told-{number}":
                    break
                told = events.next()
            cursor = told.cursor
            for thread in stopping:
                thread.join(20)
        two.servers[number % 2].start()
    user.client.post("/todos", json={"title": "last"})
    with event_stream(user.client, cursor) as events:
        assert events.next().name == "ready"
        while not titles or titles[-1] != "last":
            titles.append(events.until("TodoCreated").data["data"]["title"])
    assert titles == ["told-0", "told-1", "told-2", "last"]
