"""Reminders: each is told once, whatever restarts in between."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse
from tests.support.accounts import Account, client_of
from tests.support.eventually import eventually
from tests.support.server import RunningServer
from tests.support.todos import create

NewUser = Callable[..., Account]
MakeServer = Callable[..., RunningServer]


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def told(client: httpx.Client) -> list[tuple[str, str]]:
    """(kind, to-do) of each notification about a to-do, oldest first."""
    inbox = client.get("/notifications", params={"limit": 200}).json()
    about = [(one["kind"], one["data"]["todo_id"]) for one in inbox if one["kind"] in ("due", "reminder")]
    return about[::-1]


def when_told(client: httpx.Client, count: int) -> list[tuple[str, str]]:
    return eventually(lambda: found if len(found := told(client)) >= count else None, f"{count} reminders")


class Listener:
    """Reads a user's event stream in a thread of its own, from the moment it is made until it is closed."""

    def __init__(self, account: Account) -> None:
        self.events: list[dict[str, Any]] = []
        self._client = client_of(str(account.client.base_url), account.access_token)
        self._ready = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        assert self._ready.wait(10), "the stream did not begin"

    def _listen(self) -> None:
        try:
            with connect_sse(self._client, "GET", "/events", timeout=None) as stream:
                for message in stream.iter_sse():
                    if not message.data:
                        continue  # only says how long to wait before coming back
                    if message.event == "ready":
                        self._ready.set()
                    with self._news:
                        self.events.append({"type": message.event, **message.json()})
                        self._news.notify_all()
        except httpx.HTTPError:
            return  # closed by the test, or by the server that it kills

    def wait_for(self, kind: str, count: int, within_seconds: float = 10) -> list[dict[str, Any]]:
        with self._news:
            assert self._news.wait_for(lambda: len(self._of(kind)) >= count, within_seconds), self.events
            return self._of(kind)

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def listen() -> Iterator[Callable[[Account], Listener]]:
    made: list[Listener] = []

    def make(account: Account) -> Listener:
        made.append(Listener(account))
        return made[-1]

    yield make
    for listener in made:
        listener.close()


def test_reminder_and_due_time_are_told_when_they_come(
    new_user: NewUser, listen: Callable[[Account], Listener]
) -> None:
    account = new_user()
    listener = listen(account)
    due_at, remind_at = soon(1.2), soon(0.6)
    todo = create(account.client, "soon", due_at=due_at, remind_at=remind_at)
    reminded = listener.wait_for("TodoReminded", 2)
    assert [(event["data"]["kind"], event["subject"]) for event in reminded] == [
        ("reminder", todo["id"]),
        ("due", todo["id"]),
    ]
    # Not before its time, and at most a moment after it.
    for event, moment in zip(reminded, (remind_at, due_at), strict=True):
        late = datetime.fromisoformat(event["at"]) - datetime.fromisoformat(moment)
        assert timedelta(0) <= late < timedelta(seconds=1.5)
    listener.wait_for("NotificationCreated", 2)
    assert when_told(account.client, 2) == [("reminder", todo["id"]), ("due", todo["id"])]
    # Being told is no change of the to-do.
    assert account.client.get(f"/todos/{todo['id']}").json() == todo
    types = [entry["type"] for entry in account.client.get(f"/todos/{todo['id']}/history").json()]
    assert types == ["TodoCreated", "TodoReminded", "TodoReminded"]


def test_changed_completed_and_deleted_to_dos_are_told_as_they_are_then(new_user: NewUser) -> None:
    client = new_user().client
    moved = create(client, "moved away", due_at=soon(0.5))
    done = create(client, "completed", due_at=soon(0.5))
    gone = create(client, "deleted", due_at=soon(0.5))
    past = create(client, "imported", due_at=soon(-3600))
    client.patch(f"/todos/{moved['id']}", json={"due_at": soon(3600)})
    client.patch(f"/todos/{done['id']}", json={"completed": True})
    client.delete(f"/todos/{gone['id']}")
    renamed = create(client, "old name", due_at=soon(1.0))
    client.patch(f"/todos/{renamed['id']}", json={"title": "new name"})
    # The one that is due last is told, so the loop has been past the others.
    assert when_told(client, 1) == [("due", renamed["id"])]
    assert "new name" in client.get("/notifications").text
    assert told(client) == [("due", renamed["id"])]
    assert client.get(f"/todos/{past['id']}").status_code == 200


def test_a_time_that_is_set_anew_is_told_again(new_user: NewUser) -> None:
    client = new_user().client
    todo = create(client, due_at=soon(0.2))
    when_told(client, 1)
    client.patch(f"/todos/{todo['id']}", json={"title": "touched"})
    client.patch(f"/todos/{todo['id']}", json={"due_at": soon(0.2)})
    assert when_told(client, 2) == [("due", todo["id"])] * 2


def test_each_reminder_is_told_exactly_once_across_kills(make_server: MakeServer, new_user: NewUser) -> None:
    server = make_server()
    client = new_user(server=server).client
    todos: list[dict[str, Any]] = []
    for _ in range(2):
        # They fall due one after another; the server dies when the first of them has been told.
        before = len(told(client))
        todos += [create(client, due_at=soon(0.3 + 0.03 * number)) for number in range(10)]
        when_told(client, before + 1)
        server.kill9()
        server.start()
    assert sorted(when_told(client, 20)) == sorted(("due", todo["id"]) for todo in todos)
    # One more, later than all: when it is told, everything before it has been looked at again.
    last = create(client, "last", due_at=soon(0.2))
    assert when_told(client, 21)[-1] == ("due", last["id"])
    assert len(told(client)) == 21


def test_what_fell_due_while_the_server_was_down_is_told_when_it_is_back(
    make_server: MakeServer, new_user: NewUser
) -> None:
    server = make_server()
    client = new_user(server=server).client
    due_at = datetime.now(UTC) + timedelta(seconds=0.8)
    todo = create(client, due_at=due_at.isoformat(), remind_at=(due_at - timedelta(seconds=0.1)).isoformat())
    server.kill9()
    time.sleep(max(0.0, (due_at - datetime.now(UTC)).total_seconds()))  # the moment itself is what must go by
    server.start()
    assert when_told(client, 2) == [("reminder", todo["id"]), ("due", todo["id"])]
    last = create(client, "last", due_at=soon(0.2))
    assert when_told(client, 3)[-1] == ("due", last["id"])
