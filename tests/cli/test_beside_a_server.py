"""Commands that write while a server runs: the server hears of it, as if it had done it itself."""

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from tests.support.accounts import PASSWORD, Account, client_of, register
from tests.support.command_line import banyan
from tests.support.server import RunningServer, banyan_environment


@contextmanager
def listening(server: RunningServer, account: Account) -> Iterator["queue.Queue[tuple[float, str, dict]]"]:
    """(when, event, data) of each message of the account's stream; `closed` at its end."""
    messages: queue.Queue[tuple[float, str, dict]] = queue.Queue()

    def read() -> None:
        with (
            client_of(server.url, account.access_token) as client,
            client.stream("GET", "/events", timeout=30) as stream,
        ):
            name = ""
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    messages.put((time.monotonic(), name, json.loads(line.removeprefix("data: "))))
        messages.put((time.monotonic(), "closed", {}))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert messages.get(timeout=10)[1] == "ready"
    yield messages
    reader.join(timeout=10)


def committed_at(messages: "queue.Queue[tuple[float, str, dict]]", wanted: str) -> tuple[float, dict]:
    """When the message came, and what it said."""
    while True:
        at, name, data = messages.get(timeout=10)
        if name == wanted:
            return at, data


def closed_after(
    server: RunningServer, account: Account, messages: "queue.Queue[tuple[float, str, dict]]"
) -> float:
    """Seconds from the commit that ended the session, by the event's own time, to the end of its stream."""
    said_at, _ = committed_at(messages, "bye")
    closed_at, _ = committed_at(messages, "closed")
    assert said_at <= closed_at
    wall_clock_offset = time.time() - time.monotonic()
    events = banyan(["events", "tail", "--json", "--user", account.id], server.data_dir).json_lines()
    (revoked,) = [event for event in events if event["type"] == "SessionRevoked"]
    return closed_at + wall_clock_offset - datetime.fromisoformat(revoked["at"]).timestamp()


def test_disabling_somebody_closes_their_stream_within_a_second(make_server) -> None:
    server: RunningServer = make_server()
    account = register(server.url)
    with listening(server, account) as messages:
        assert account.client.get("/todos").status_code == 200
        assert banyan(["users", "disable", account.email], server.data_dir).code == 0
        assert closed_after(server, account, messages) < 1.0
    assert account.client.get("/todos").status_code == 401
    account.client.close()


def test_another_password_closes_their_stream_within_a_second(make_server) -> None:
    server: RunningServer = make_server()
    account = register(server.url)
    with listening(server, account) as messages:
        done = banyan(
            ["users", "set-password", account.id, "--password-stdin"], server.data_dir, stdin=PASSWORD + "X"
        )
        assert done.code == 0
        assert closed_after(server, account, messages) < 1.0
    assert account.client.get("/todos").status_code == 401
    account.client.close()


def test_a_running_server_shows_what_the_command_line_wrote(make_server) -> None:
    server: RunningServer = make_server()
    account = register(server.url)
    with listening(server, account) as messages:
        assert banyan(["users", "create-admin", account.email], server.data_dir).code == 0
        _, data = committed_at(messages, "UserChanged")
        assert data["data"]["role"] == "admin"
        assert account.client.get("/users/me").json()["role"] == "admin"
        account.client.delete(f"/auth/sessions/{account.session_id}")
    account.client.close()


def test_tail_follows_a_running_server(make_server) -> None:
    server: RunningServer = make_server()
    account = register(server.url)
    follower = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "banyan",
            "events",
            "tail",
            "--follow",
            "--json",
            "-n",
            "1",
            "--stream",
            "users",
        ],
        env=banyan_environment(server.data_dir),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    try:
        json.loads(follower.stdout.readline())
        account.client.patch("/users/me", json={"name": "Countess"})
        assert json.loads(follower.stdout.readline())["data"]["name"] == "Countess"
    finally:
        follower.terminate()
        follower.wait(10)
    account.client.close()


def test_rebuild_mends_a_read_model_under_load_and_verify_agrees(make_server) -> None:
    server: RunningServer = make_server()
    account = register(server.url)
    for number in range(5):
        account.client.post("/todos", json={"title": f"before {number}"})
    stop = threading.Event()
    made: list[int] = []

    def load() -> None:
        with client_of(server.url, account.access_token) as client:
            while not stop.is_set():
                made.append(client.post("/todos", json={"title": "meanwhile"}).status_code)

    loader = threading.Thread(target=load)
    loader.start()
    try:
        done = banyan(["events", "rebuild", "todo-stats", "--json"], server.data_dir)
        verified = banyan(["events", "verify", "--json"], server.data_dir)
    finally:
        stop.set()
        loader.join(10)
    assert (done.code, done.json()["failures"]) == (0, {})
    assert verified.json()["differences"] == 0
    assert set(made) == {201}
    wait_until_counted(account, 5 + len(made))
    account.client.close()


def wait_until_counted(account: Account, count: int) -> None:
    deadline = time.monotonic() + 10
    while (stats := account.client.get("/todos/stats").json())["open"] != count:
        assert time.monotonic() < deadline, (stats, count)
        time.sleep(0.02)
