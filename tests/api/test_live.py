"""Live updates through HTTP: the same messages as events and over a socket, resumed without gap or repeat."""

import json
import random
import socket as network
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.support.accounts import Account
from tests.support.server import RunningServer, server_kind
from tests.support.streams import Told, event_stream, socket
from websockets.exceptions import InvalidStatus

NewUser = Callable[..., Account]
MakeServer = Callable[..., RunningServer]


def notify(account: Account, message: str = "Hello") -> str:
    answer = account.client.post(f"/notify/{account.id}", json={"message": message})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def settled(account: Account) -> None:
    """Wait for what registering brings about by itself, so that it does not come in between."""
    deadline = time.monotonic() + 10
    while account.client.get("/notifications/unread_count").json() != {"unread": 1}:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def ada(new_user: NewUser) -> Account:
    account = new_user()
    settled(account)
    return account


def test_the_first_message_tells_where_it_begins(ada: Account):
    with event_stream(ada.client) as events:
        assert events.response.headers["content-type"].startswith("text/event-stream")
        assert events.response.headers["cache-control"] == "no-store"
        ready = events.next()
    assert ready.name == "ready"
    assert "notifications.1" in ready.cursor.split("-")


def test_a_change_arrives_with_all_that_happened(ada: Account):
    with event_stream(ada.client) as events:
        before = events.next().cursor
        sent = notify(ada)
        told = events.next()
    assert told.name == "NotificationCreated"
    assert told.cursor != before
    stored = ada.client.get(f"/notifications/{sent}").json()
    assert told.data["data"] == stored
    assert {name: told.data[name] for name in ("stream", "position", "type", "subject")} == {
        "stream": "notifications",
        "position": 2,
        "type": "NotificationCreated",
        "subject": sent,
    }
    assert told.data["at"].endswith("Z")


def test_every_module_is_in_it_and_nobody_else(ada: Account, new_user: NewUser):
    bob = new_user()
    with event_stream(ada.client) as events:
        events.next()
        bob.client.post("/todos", json={"title": "Bob's"})
        ada.client.post("/todos", json={"title": "Ada's"})
        ada.client.patch("/users/me", json={"name": "Ada B."})
        sent = notify(ada)
        ada.client.patch(f"/notifications/{sent}", json={"read": True})
        ada.client.patch(f"/notifications/{sent}", json={"read": False})
        ada.client.delete(f"/notifications/{sent}")
        told = events.take(6)
    expected = {
        "todos": ["TodoCreated"],
        "users": ["UserChanged"],
        "notifications": [
            "NotificationCreated",
            "NotificationRead",
            "NotificationUnread",
            "NotificationDeleted",
        ],
    }
    assert {
        stream: [one.name for one in told if one.data["stream"] == stream] for stream in expected
    } == expected
    # Across modules there is an order only where one process tells of its own commits.
    if server_kind() != "fleet":
        assert [one.name for one in told] == [name for names in expected.values() for name in names]


def test_the_socket_says_the_same(ada: Account, server: RunningServer):
    with event_stream(ada.client) as events, socket(server.url, token=ada.access_token) as ws:
        assert ws.next() == events.next()
        notify(ada)
        ada.client.post("/todos", json={"title": "x"})
        assert ws.take(2) == events.take(2)


@pytest.mark.parametrize("header", [True, False])
def test_it_resumes_where_it_was_cut_off(ada: Account, header: bool):
    with event_stream(ada.client) as events:
        cursor = events.next().cursor
    missed = [notify(ada, str(number)) for number in range(5)]
    with event_stream(ada.client, cursor, header=header) as events:
        ready = events.next()
        assert (ready.name, ready.cursor) == ("ready", cursor)
        told = events.take(3)
    with event_stream(ada.client, told[-1].cursor, header=header) as events:
        events.next()
        told += events.take(2)
    assert [one.data["subject"] for one in told] == missed


def test_resuming_beside_writers_has_no_gap_and_no_repeat(ada: Account, server: RunningServer):
    """Over SSE and the socket in turn, cut off at random, while four writers go on."""
    total, chance = 240, random.Random(3)

    def write(part: int) -> None:
        with httpx.Client(base_url=server.url, headers=ada.client.headers, trust_env=False) as client:
            for number in range(total // 4):
                answer = client.post(f"/notify/{ada.id}", json={"message": f"{part}/{number}"})
                assert answer.status_code == 202

    with event_stream(ada.client) as events:
        cursor = events.next().cursor
    told: list[Told] = []
    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, part) for part in range(4)]
        while len(told) < total:
            wanted = min(chance.randint(1, 60), total - len(told))
            if chance.random() < 0.5:
                with event_stream(ada.client, cursor) as events:
                    assert events.next().name == "ready"
                    told += events.take(wanted)
            else:
                with socket(server.url, token=ada.access_token, since=cursor) as ws:
                    assert ws.next().name == "ready"
                    told += ws.take(wanted)
            cursor = told[-1].cursor
        for writer in writers:
            writer.result()
    assert [one.data["position"] for one in told] == list(range(2, total + 2))
    assert len({one.data["subject"] for one in told}) == total


def test_a_client_that_reads_nothing_for_a_while_gets_all_of_it(ada: Account):
    """More than the buffer of a stream holds is read from the log when the client is ready."""
    with event_stream(ada.client) as events:
        events.next()
        for _ in range(2):
            operations = [{"op": "create", "todo": {"title": "x" * 400}} for _ in range(400)]
            assert ada.client.post("/todos/batch", json={"operations": operations}).status_code == 200
        told = events.take(800)
    assert [one.data["position"] for one in told] == list(range(1, 801))


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that allows two open streams."""
    settings = {"BANYAN_LIVE_MAX_PER_USER": "2"}
    with RunningServer(tmp_path_factory.mktemp("small") / "data", settings) as running:
        yield running


def test_too_far_behind_or_ahead_is_told_to_reload(make_server: MakeServer, new_user: NewUser):
    # One that allows many open streams: those that were closed here may not have been noticed there yet.
    account = new_user(server=make_server({"BANYAN_LIVE_REPLAY_LIMIT": "5"}))
    settled(account)
    for number in range(7):
        notify(account, str(number))
    with event_stream(account.client) as events:
        now = events.next().cursor
    for since in ("notifications.1", "0", "notifications.99", "todos.1-" + now):
        with event_stream(account.client, since) as events:
            reset, ready = events.take(2)
            assert (reset.name, ready.name) == ("reset", "ready")
            assert reset.cursor == ready.cursor == now
    with event_stream(account.client, "0") as events:
        events.take(2)
        sent = notify(account)
        assert events.next().data["subject"] == sent


@pytest.mark.parametrize(
    "cursor", ["nonsense", "todos.", "todos.-1", "other.1", "todos.1-todos.2", "x" * 300]
)
def test_a_cursor_that_is_none_is_a_precise_problem(ada: Account, server: RunningServer, cursor: str):
    for answer in (
        ada.client.get("/events", params={"since": cursor}),
        ada.client.get("/events", headers={"last-event-id": cursor}),
    ):
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] in ("invalid_cursor", "invalid_input")
    with pytest.raises(InvalidStatus) as refused, socket(server.url, token=ada.access_token, since=cursor):
        pass
    assert refused.value.response.status_code == 422


def test_only_who_is_signed_in_may_listen(api: httpx.Client, server: RunningServer):
    for headers in ({}, {"authorization": "Bearer nonsense"}):
        answer = api.get("/events", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    for credentials in ({}, {"token": "nonsense"}, {"ticket": "nonsense"}):
        with pytest.raises(InvalidStatus) as refused, socket(server.url, **credentials):
            pass
        response = refused.value.response
        assert response.status_code == 401
        assert response.headers["content-type"] == "application/problem+json"
        assert json.loads(response.body or b"")["code"] in ("unauthenticated", "invalid_ticket")


def test_a_ticket_opens_one_socket(ada: Account, server: RunningServer):
    ticket = ada.client.post("/auth/ticket").json()["ticket"]
    with socket(server.url, ticket=ticket) as ws:
        assert ws.next().name == "ready"
        notify(ada)
        assert ws.next().name == "NotificationCreated"
    with pytest.raises(InvalidStatus) as refused, socket(server.url, ticket=ticket):
        pass
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_foreign_site_is_refused_before_the_upgrade(ada: Account, server: RunningServer, origin: str):
    ticket = ada.client.post("/auth/ticket").json()["ticket"]
    with pytest.raises(InvalidStatus) as refused, socket(server.url, ticket=ticket, origin=origin):
        pass
    response = refused.value.response
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    # It was refused before it could use up the ticket.
    with socket(server.url, ticket=ticket, origin=server.url) as ws:
        assert ws.next().name == "ready"


def test_a_revoked_session_is_cut_off_within_a_second(ada: Account, server: RunningServer):
    other = ada.log_in()
    headers = {"authorization": f"Bearer {other['access_token']}"}
    with (
        httpx.Client(base_url=server.url, headers=headers, trust_env=False) as client,
        event_stream(client) as events,
        event_stream(ada.client) as mine,
        socket(server.url, token=other["access_token"]) as ws,
    ):
        events.next()
        mine.next()
        ws.next()
        began = time.monotonic()
        assert ada.client.delete(f"/auth/sessions/{other['session_id']}").status_code == 204
        bye = events.until("bye")
        assert bye.data == {"reason": "revoked"}
        assert events.is_over()
        assert ws.close_code() == 4401
        assert time.monotonic() - began < 1
        # The session that did it goes on.
        assert mine.next().name == "SessionRevoked"
        assert client.get("/events").status_code == 401


def test_too_many_streams_of_one_user_are_refused(small_server: RunningServer, new_user: NewUser):
    server = small_server
    account, other = new_user(server=server), new_user(server=server)
    with event_stream(account.client) as first, socket(server.url, token=account.access_token) as second:
        first.next()
        second.next()
        refusal = account.client.get("/events")
        assert (refusal.status_code, refusal.json()["code"]) == (429, "rate_limited")
        assert int(refusal.headers["retry-after"]) >= 1
        with pytest.raises(InvalidStatus) as refused, socket(server.url, token=account.access_token):
            pass
        assert refused.value.response.status_code == 429
        with event_stream(other.client) as events:
            assert events.next().name == "ready"
    # Closed streams make room again, as soon as the server has noticed.
    deadline = time.monotonic() + 10
    while True:
        with account.client.stream("GET", "/events") as answer:
            if answer.status_code == 200:
                break
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_open_streams_are_counted_and_none_is_left_behind(small_server: RunningServer, new_user: NewUser):
    server = small_server
    account = new_user(server=server)

    def open_streams() -> float:
        lines = account.client.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith("banyan_live_streams{")).split()[1])

    for _ in range(5):
        account = new_user(server=server)
        with event_stream(account.client) as events, socket(server.url, token=account.access_token) as ws:
            events.next()
            ws.next()
            assert open_streams() >= 2
    deadline = time.monotonic() + 10
    while open_streams() > 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stopping_server_says_goodbye(make_server: MakeServer, new_user: NewUser):
    server = make_server()
    account = new_user(server=server)
    with event_stream(account.client) as events, socket(server.url, token=account.access_token) as ws:
        cursor = events.next().cursor
        ws.next()
        began = time.monotonic()
        stopping = threading.Thread(target=server.terminate)
        stopping.start()
        bye = events.until("bye")
        assert bye.data == {"reason": "draining"}
        assert events.is_over()
        assert ws.close_code() == 1001
        stopping.join()
        assert time.monotonic() - began < 8
    server.start()
    with event_stream(account.client, bye.cursor or cursor) as events:
        assert events.next().name == "ready"


def test_a_stream_survives_its_server_being_killed(make_server: MakeServer, new_user: NewUser):
    server = make_server()
    account = new_user(server=server)
    settled(account)
    with event_stream(account.client) as events:
        events.next()
        seen = notify(account, "before")
        told = events.next()
        assert told.data["subject"] == seen
        server.kill9()
    server.start()
    missed = notify(account, "after")
    with event_stream(account.client, told.cursor) as events:
        assert events.next().name == "ready"
        assert events.next().data["subject"] == missed


def test_a_client_that_takes_nothing_does_not_hold_up_the_others(ada: Account, server: RunningServer):
    """A stalled reader fills its socket and its buffer, which is bounded; everybody else goes on."""
    host, port = server.url.removeprefix("http://").split(":")
    stalled = network.socket()
    stalled.setsockopt(network.SOL_SOCKET, network.SO_RCVBUF, 4096)
    stalled.connect((host, int(port)))
    request = f"GET /events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {ada.access_token}\r\n\r\n"
    stalled.sendall(request.encode())
    try:
        with event_stream(ada.client) as events:
            events.next()
            big = {"title": "x" * 500, "notes": "y" * 10_000}
            operations = [{"op": "create", "todo": big} for _ in range(90)]
            for _ in range(8):
                assert ada.client.post("/todos/batch", json={"operations": operations}).status_code == 200
            assert len(events.take(720)) == 720
    finally:
        stalled.close()
