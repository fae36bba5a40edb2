"""Worker processes on one address: one that dies is started again, and nobody loses anything by it."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.accounts import client_of, register
from tests.support.command_line import banyan
from tests.support.crash_run import run_crashes, seed_of_the_day
from tests.support.eventually import eventually
from tests.support.worker_processes import WorkersServer, is_alive

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

BROKEN_TWIN = Path(__file__).parents[1] / "support" / "acknowledges_early_on_postgresql.py"
CONNECTIONS = 40

MakeWorkers = Callable[..., WorkersServer]


@pytest.fixture
def make_workers(tmp_path: Path) -> Iterator[MakeWorkers]:
    made: list[WorkersServer] = []

    def make(**settings: str) -> WorkersServer:
        server = WorkersServer(tmp_path / f"server{len(made)}", settings)
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()


def connection(server: WorkersServer) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    made.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    return made


def answer_on(made: socket.socket) -> str:
    with made:
        return made.makefile("rb").read().decode().partition("\r\n")[0]


def test_workers_that_are_killed_under_load_lose_nothing(make_workers: MakeWorkers, tmp_path: Path) -> None:
    report = run_crashes(make_workers(), tmp_path, rounds=5, seed=seed_of_the_day(), points=())
    assert report.faults == [], str(report)
    assert report.acknowledged > 100, f"too little load to prove anything: {report}"


def test_the_harness_finds_workers_that_acknowledge_before_they_commit(
    make_workers: MakeWorkers, tmp_path: Path
) -> None:
    server = make_workers()
    server.program = [str(BROKEN_TWIN)]
    report = run_crashes(server, tmp_path, rounds=4, seed=1, points=())
    assert report.faults != [], str(report)


def test_who_connects_while_a_worker_is_away_is_answered_by_its_successor(make_workers: MakeWorkers) -> None:
    server = make_workers()
    server.start()
    first, second = server.worker_pids()
    # Stopped, it accepts nothing any more: what the kernel gives to its socket stays in the queue.
    os.kill(first, signal.SIGSTOP)
    waiting = [connection(server) for _ in range(CONNECTIONS)]
    os.kill(first, signal.SIGKILL)
    assert [answer_on(one) for one in waiting] == ["HTTP/1.1 200 OK"] * CONNECTIONS
    assert second in server.worker_pids()
    assert len(server.worker_pids()) == 2


def test_the_other_worker_goes_on(make_workers: MakeWorkers) -> None:
    server = make_workers()
    server.start()
    user = register(server.url)
    # Connections of both; those of the worker that lives must not notice anything.
    clients = [client_of(server.url, user.access_token) for _ in range(8)]
    for client in clients:
        assert client.post("/todos", json={"title": "before"}).status_code == 201
    server.kill9()
    outcomes = []
    for client in clients:
        try:
            outcomes.append(client.post("/todos", json={"title": "after"}).status_code)
        except httpx.TransportError:
            outcomes.append(0)
    assert set(outcomes) <= {201, 0}
    assert 201 in outcomes
    # Which may repeat what got no answer, at once: a new connection is accepted or waits for the successor.
    for client in clients:
        assert client.get("/todos").status_code == 200
        client.close()
    assert len(user.client.get("/todos?limit=200").json()) == 8 + outcomes.count(201)
    user.client.close()


def test_one_signal_ends_all_after_their_requests(make_workers: MakeWorkers) -> None:
    server = make_workers()
    server.start()
    user = register(server.url)
    statuses: list[int] = []
    is_over = threading.Event()

    def write() -> None:
        with client_of(server.url, user.access_token) as client:
            while not is_over.is_set():
                try:
                    statuses.append(client.post("/todos", json={"title": "x"}).status_code)
                except httpx.TransportError:
                    return

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    eventually(lambda: len(statuses) > 20 or None, "the load runs")
    pids = server.worker_pids()
    assert server.terminate() == 0
    is_over.set()
    for writer in writers:
        writer.join(10)
    assert not any(map(is_alive, pids))
    assert set(statuses) == {201}
    ((stored,),) = server.rows("SELECT count(*) FROM todos")
    assert stored >= len(statuses)


def test_workers_do_not_outlive_their_parent(make_workers: MakeWorkers) -> None:
    server = make_workers()
    server.start()
    orphans = server.kill_parent()
    assert len(orphans) == 2
    for pid in orphans:
        eventually(lambda pid=pid: None if is_alive(pid) else True, "the worker has ended")
    # Neither the port nor the data folder is taken any more.
    server.start()
    assert len(server.worker_pids()) == 2


def test_the_metrics_of_all_workers_are_on_one_page(make_workers: MakeWorkers) -> None:
    server = make_workers()
    server.start()
    # Each on a connection of its own: the kernel gives some to either.
    for made in [connection(server) for _ in range(CONNECTIONS)]:
        assert answer_on(made) == "HTTP/1.1 200 OK"
    page = httpx.get(server.url + "/metrics", trust_env=False).text
    counts = {
        line.split('worker="')[1][0]: float(line.split()[-1])
        for line in page.splitlines()
        if line.startswith("banyan_http_requests_total{") and 'route="/livez"' in line
    }
    assert set(counts) == {"1", "2"}
    assert sum(counts.values()) == CONNECTIONS
    assert page.count("# TYPE banyan_http_requests_total counter") == 1


def test_a_worker_that_cannot_start_ends_the_command(make_workers: MakeWorkers, tmp_path: Path) -> None:
    database_url = make_workers().settings["BANYAN_DATABASE_URL"]
    settings = {"BANYAN_DATABASE_URL": database_url, "BANYAN_PORT": "0"}
    one, other = (settings | {"BANYAN_SECRET_KEY": letter * 48} for letter in "ab")
    WorkersServer.start(server := WorkersServer(tmp_path / "one", one))
    server.terminate()
    refused = banyan(["serve", "--workers", "2"], tmp_path / "other", other)
    assert refused.code == 1
    assert "BANYAN_SECRET_KEY" in refused.err
    assert refused.err.count("Error:") == 1


def test_sqlite_is_for_one_worker(tmp_path: Path) -> None:
    for command in ("up", "serve"):
        done = banyan([command, "--workers", "2"], tmp_path / "data", {"BANYAN_PORT": "0"})
        assert done.code == 2
        assert "2 workers need PostgreSQL" in done.err
        assert "BANYAN_DATABASE_URL" in done.err
    assert not (tmp_path / "data").exists()
