"""Redis killed, frozen, flushed and restarted under two server processes: right answers, from the database.

Positions have a test of their own (test_redis_positions.py). Here it is what else lies in Redis: cached lists and
profiles, and the counts of the throttles.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import httpx
import pytest
from tests.support.accounts import client_of, register, unused_email
from tests.support.running import Running
from tests.support.server import RunningServer, migrated_postgres_url
from tests.support.valkey import new_valkey, url_of

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(180)]

SECRET = "the same secret for both of these servers, 48 chars"
GUESSES = 6
# Longer than the pause before a probe, so that the breaker has opened, probed and failed.
OUTAGE_SECONDS = 2.5

Servers = tuple[RunningServer, RunningServer]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with new_valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, valkey: Running) -> Iterator[Servers]:
    settings = {
        "BANYAN_DATABASE_URL": migrated_postgres_url(),
        "BANYAN_SECRET_KEY": SECRET,
        "BANYAN_REDIS_URL": url_of(valkey),
        "BANYAN_RATE_LIMIT_LOGIN_ACCOUNT": f"{GUESSES}/hour",
    }
    folder = tmp_path_factory.mktemp("outage")
    with RunningServer(folder / "a", settings) as one, RunningServer(folder / "b", settings) as other:
        yield one, other


@contextmanager
def killed(valkey: Running) -> Iterator[None]:
    valkey.kill9()
    try:
        yield
    finally:
        valkey.start()


@contextmanager
def frozen(valkey: Running) -> Iterator[None]:
    valkey.pause()
    try:
        yield
    finally:
        valkey.go_on()


@contextmanager
def flushed(valkey: Running) -> Iterator[None]:
    flush(valkey)
    yield
    flush(valkey)


FAULTS = pytest.mark.parametrize("fault", [killed, frozen, flushed], ids=lambda fault: fault.__name__)
Fault = Callable[[Running], AbstractContextManager[None]]


def flush(valkey: Running) -> None:
    import redis

    with redis.Redis.from_url(url_of(valkey)) as client:
        client.flushall()


class Person(threading.Thread):
    """Writes through one server and reads through the other, in turns, until stopped."""

    def __init__(self, servers: Servers, number: int) -> None:
        super().__init__()
        self.account = register(servers[number % 2].url)
        self.todo_id = self.account.client.post("/todos", json={"title": "to be changed"}).json()["id"]
        self.clients = [client_of(server.url, self.account.access_token) for server in servers]
        self.stopping = threading.Event()
        self.wrong: list[str] = []
        self.durations: list[float] = []
        self.rounds = 0

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.turn()
                self.rounds += 1
        except Exception as error:
            self.wrong.append(repr(error))
        finally:
            for client in (*self.clients, self.account.client):
                client.close()

    def turn(self) -> None:
        writer, reader = self.clients[self.rounds % 2], self.clients[(self.rounds + 1) % 2]
        title = f"number {self.rounds}"
        self.expect(writer.patch(f"/todos/{self.todo_id}", json={"title": title}), 200)
        for client in (reader, writer, reader):
            titles = [todo["title"] for todo in self.expect(client.get("/todos"), 200).json()]
            if titles != [title]:
                self.wrong.append(f"the list is {titles}, not {title}")
        if self.rounds % 3 == 0:
            self.expect(writer.patch("/users/me", json={"name": title}), 200)
            for client in (reader, writer, reader):
                name = self.expect(client.get("/users/me"), 200).json()["name"]
                if name != title:
                    self.wrong.append(f"the name is {name}, not {title}")

    def expect(self, answer: httpx.Response, status: int) -> httpx.Response:
        self.durations.append(answer.elapsed.total_seconds())
        if answer.status_code != status:
            self.wrong.append(f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text}")
        return answer


@contextmanager
def load(servers: Servers) -> Iterator[list[Person]]:
    """Four people at work inside; outside, none of them saw anything wrong."""
    people = [Person(servers, number) for number in range(4)]
    for person in people:
        person.start()
    try:
        yield people
    finally:
        for person in people:
            person.stopping.set()
        for person in people:
            person.join()
    assert [person.wrong[:3] for person in people if person.wrong] == []


@FAULTS
def test_answers_stay_right_and_nothing_fails(servers: Servers, valkey: Running, fault: Fault):
    with load(servers) as people:
        for _ in range(2):
            time.sleep(0.5)
            before = sum(person.rounds for person in people)
            with fault(valkey):
                time.sleep(OUTAGE_SECONDS)
            assert sum(person.rounds for person in people) > before + 4
        time.sleep(0.5)
    slowest = max(duration for person in people for duration in person.durations)
    assert slowest < 2


def guess(server: RunningServer, email: str, password: str = "not the right one") -> int:
    with client_of(server.url) as anonymous:
        return anonymous.post("/auth/login", json={"email": email, "password": password}).status_code


@FAULTS
def test_guesses_count_together_and_an_outage_gives_none_back(
    servers: Servers, valkey: Running, fault: Fault
):
    email = unused_email("guessed")
    assert [guess(servers[number % 2], email) for number in range(GUESSES)] == [401] * GUESSES
    assert [guess(server, email) for server in servers] == [429, 429]
    with fault(valkey):
        assert [guess(server, email) for server in servers * 3] == [429] * 6
    until_it_answers(servers)
    assert [guess(server, email) for server in servers * 3] == [429] * 6


@FAULTS
def test_guesses_during_an_outage_are_bounded_and_count_afterwards(
    servers: Servers, valkey: Running, fault: Fault
):
    email = unused_email("guessed")
    with fault(valkey):
        statuses = [guess(servers[number % 2], email) for number in range(4 * GUESSES)]
    assert set(statuses) == {401, 429}
    assert GUESSES <= statuses.count(401) <= 2 * GUESSES
    until_it_answers(servers)
    assert [guess(server, email) for server in servers] == [429, 429]


def test_the_right_password_gives_the_guesses_back_at_every_server(servers: Servers):
    account = register(servers[0].url)
    account.client.close()
    assert [guess(servers[1], account.email) for _ in range(GUESSES - 1)] == [401] * (GUESSES - 1)
    assert guess(servers[0], account.email, account.password) == 200
    assert [guess(servers[1], account.email) for _ in range(GUESSES + 1)] == [401] * GUESSES + [429]


@FAULTS
def test_a_session_ended_during_an_outage_stays_ended(servers: Servers, valkey: Running, fault: Fault):
    one, other = servers
    account = register(one.url)
    with client_of(other.url, account.access_token) as elsewhere:
        assert elsewhere.get("/users/me").status_code == 200
        with fault(valkey):
            ended = account.client.delete(f"/auth/sessions/{account.session_id}")
            assert ended.status_code == 204, ended.text
            deadline = time.monotonic() + 1
            while elsewhere.get("/users/me").status_code != 401:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert [client.get("/todos").status_code for client in (elsewhere, account.client)] == [401, 401]
        until_it_answers(servers)
        assert [client.get("/todos").status_code for client in (elsewhere, account.client)] == [401, 401]
    account.client.close()


def test_it_is_told_by_health_and_no_reason_to_send_no_requests(servers: Servers, valkey: Running):
    with killed(valkey):
        for server in servers:
            with client_of(server.url) as client:
                health = client.get("/health").json()
                assert health["status"] == "degraded"
                assert health["checks"]["redis"] != "ok"
                assert client.get("/readyz").status_code == 200
    until_it_answers(servers)


def until_it_answers(servers: Servers) -> None:
    """Return when both servers use Redis again."""
    for server in servers:
        with client_of(server.url) as client:
            deadline = time.monotonic() + 10
            while client.get("/health").json()["checks"]["redis"] != "ok":
                assert time.monotonic() < deadline
                time.sleep(0.05)
