"""`banyan up` and `banyan serve` as processes."""

import socket
import threading
import time
from pathlib import Path

import httpx
from tests.support.accounts import client_of, register
from tests.support.command_line import banyan
from tests.support.server import RunningServer


def test_up_makes_the_database_and_says_where_everything_is(make_server) -> None:
    server = make_server(command="up")
    text = server.log_text()
    for part in (
        server.url,
        f"{server.url}/docs",
        str(server.data_dir),
        "mail list",
        "users create-admin",
        "Ctrl-C",
    ):
        assert part in text
    assert httpx.get(server.url + "/health", trust_env=False).json()["status"] == "ok"
    assert server.terminate() == 0
    # What it made is there for the next start, which needs no migration.
    assert server.start() < 10


def test_a_second_start_on_the_same_data_says_who_has_it(make_server) -> None:
    server = make_server()
    for command in ("serve", "up"):
        second = banyan([command], server.data_dir, {"BANYAN_PORT": "0"})
        assert second.code == 1
        assert f"process {server.pid} already serves" in second.err
        assert server.url in second.err
        assert "--data-dir" in second.err
    assert httpx.get(server.url + "/readyz", trust_env=False).status_code == 200


def test_the_lock_ends_with_its_process(make_server) -> None:
    server = make_server()
    server.kill9()
    server.start()
    assert httpx.get(server.url + "/readyz", trust_env=False).status_code == 200


def test_a_port_in_use_is_said_with_the_option_to_change_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = banyan(["up", "--port", str(port)], tmp_path / "data")
    assert done.code == 1
    assert f"port {port}" in done.err
    assert "--port" in done.err
    assert "BANYAN_PORT" in done.err
    assert "Traceback" not in done.err


def test_an_address_that_is_not_ours_is_said(tmp_path: Path) -> None:
    done = banyan(["up", "--host", "192.0.2.1", "--port", "0"], tmp_path / "data")
    assert done.code == 2
    assert "--host" in done.err


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = banyan(["up", "--port", "0"], tmp_path / "file" / "data")
    assert done.code == 1
    assert "--data-dir" in done.err
    assert "Traceback" not in done.err


def test_options_override_the_environment(tmp_path: Path) -> None:
    elsewhere = {"BANYAN_HOST": "127.0.0.1", "BANYAN_PORT": "0"}
    done = banyan(
        ["up", "--host", "192.0.2.1", "--data-dir", str(tmp_path / "other")], tmp_path / "data", elsewhere
    )
    assert "192.0.2.1" in done.err
    assert (tmp_path / "other" / "banyan.sqlite3").exists()
    assert not (tmp_path / "data").exists()


def test_requests_in_flight_are_answered(make_server) -> None:
    """Logins take long enough to be under way when the signal comes. No more than are let in at once: who waits may be refused."""
    server: RunningServer = make_server({"BANYAN_PASSWORD_WORKERS": "1"})
    user = register(server.url)
    first = threading.Event()
    answers: list[int] = []

    def log_in() -> None:
        with client_of(server.url) as client:
            credentials = {"email": user.email, "password": user.password}
            answers.append(client.post("/auth/login", json=credentials).status_code)
            first.set()

    threads = [threading.Thread(target=log_in) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert first.wait(10)
    assert server.terminate(timeout_seconds=10) == 0
    for thread in threads:
        thread.join(10)
    assert answers == [200] * 3
    user.client.close()


def test_sigterm_lets_requests_finish_and_ends_streams(make_server) -> None:
    """Under load: nothing that was accepted is dropped, `/readyz` says no, streams are told, and the exit is clean."""
    server: RunningServer = make_server()
    user = register(server.url)
    stop = threading.Event()
    answers: list[int] = []
    failures: list[str] = []

    def load() -> None:
        with client_of(server.url, user.access_token) as client:
            while not stop.is_set():
                try:
                    answers.append(client.post("/todos", json={"title": "load"}).status_code)
                except httpx.ConnectError:
                    return  # the socket is closed: refused before anything was sent
                except httpx.TransportError as error:
                    failures.append(type(error).__name__)
                    return

    seen: list[str] = []
    opened = threading.Event()

    def listen() -> None:
        with (
            client_of(server.url, user.access_token) as client,
            client.stream("GET", "/events", timeout=30) as stream,
        ):
            for line in stream.iter_lines():
                seen.append(line)
                if line == "event: ready":
                    opened.set()

    threads = [threading.Thread(target=load) for _ in range(4)] + [threading.Thread(target=listen)]
    for thread in threads:
        thread.start()
    assert opened.wait(10)
    began = time.monotonic()
    assert server.terminate(timeout_seconds=10) == 0
    took = time.monotonic() - began
    stop.set()
    for thread in threads:
        thread.join(10)
    assert took < 10
    assert answers
    assert set(answers) <= {201, 503}
    # A kept-alive connection may be closed under a request that was just sent; what was answered was answered whole.
    assert [name for name in failures if name not in ("RemoteProtocolError", "ReadError", "WriteError")] == []
    assert "event: bye" in seen
    user.client.close()
    log = banyan(
        ["events", "tail", "-n", "100000", "--stream", "todos", "--json"], server.data_dir
    ).json_lines()
    assert len(log) >= answers.count(201)
    assert banyan(["events", "verify", "--json"], server.data_dir).json()["differences"] == 0


def test_sigterm_during_the_start_is_a_clean_end_too(make_server) -> None:
    server: RunningServer = make_server(start=False)
    server.launch()
    while not (server.data_dir / "banyan.lock").exists():
        assert server.is_running
        time.sleep(0.001)
    assert server.terminate() == 0


IMPORTED = "import atexit, sys; atexit.register(lambda: print('imported:', *sys.modules)); from banyan.cli import main; main()"
# What one process on SQLite has no use for, and what only a newcomer's terminal has: each costs start and memory.
NEEDLESS = {
    "aio_pika",
    "aiohttp",
    "aiokafka",
    "alembic",
    "asyncpg",
    "banyan.fleet",
    "banyan.promotion.start",
    "pygments",
    "redis",
    "rich.traceback",
}


def test_the_first_start_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """How long a start takes is in the speed comparison (`start`); here is what keeps it short."""
    with RunningServer(tmp_path / "data", command="up", program=("-c", IMPORTED)) as server:
        assert server.terminate() == 0
    imported = server.log_text().rpartition("imported: ")[2].split()
    assert "banyan.bootstrap.composition" in imported
    assert NEEDLESS & set(imported) == set()
