"""GET /todos/stats: counted from the events, a moment after them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from tests.support.accounts import Account
from tests.support.eventually import eventually
from tests.support.server import RunningServer
from tests.support.todos import create

NewUser = Callable[..., Account]


def position_of(client: httpx.Client) -> int:
    """How far the stream of to-dos is, told by the tag of the list."""
    return int(client.get("/todos").headers["etag"].strip('"').split("-")[0])


def counted(client: httpx.Client) -> dict[str, Any]:
    """The statistics, once every event until now is counted."""
    position = position_of(client)

    def look() -> dict[str, Any] | None:
        stats = client.get("/todos/stats").json()
        return stats if stats["position"] >= position else None

    return eventually(look, f"the statistics reach position {position}")


def numbers(client: httpx.Client) -> tuple[int, int, int, int]:
    """(open, overdue, completed, completed today)"""
    stats = counted(client)
    days = {day["date"]: day["count"] for day in stats["completed_per_day"]}
    today = days.pop(datetime.now(UTC).date().isoformat(), 0)
    assert not days
    return stats["open"], stats["overdue"], stats["completed"], today


def test_a_new_user_has_counted_nothing(new_user: NewUser) -> None:
    assert new_user().client.get("/todos/stats").json() == {
        "open": 0,
        "overdue": 0,
        "completed": 0,
        "completed_per_day": [],
        "position": 0,
    }


def test_statistics_follow_every_change(new_user: NewUser) -> None:
    client = new_user().client
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    a = create(client, "a")
    b = create(client, "b", due_at=yesterday)
    c = create(client, "c", completed=True)
    assert numbers(client) == (2, 1, 1, 1)
    client.patch(f"/todos/{b['id']}", json={"completed": True})
    assert numbers(client) == (1, 0, 2, 2)
    client.patch(f"/todos/{b['id']}", json={"completed": False})
    assert numbers(client) == (2, 1, 1, 1)
    client.patch(f"/todos/{b['id']}", json={"due_at": None})
    assert numbers(client) == (2, 0, 1, 1)
    # Completions outlive their to-dos: clearing what is done does not change what was done that day.
    client.delete(f"/todos/{c['id']}")
    assert numbers(client) == (2, 0, 0, 1)
    client.put(f"/todos/{a['id']}", json={"title": "a", "completed": True})
    client.delete("/todos", params={"completed": "true"})
    assert numbers(client) == (1, 0, 0, 2)
    client.delete("/todos")
    assert numbers(client) == (0, 0, 0, 2)


def test_a_batch_is_counted_as_its_operations(new_user: NewUser) -> None:
    client = new_user().client
    operations = [{"op": "create", "todo": {"title": "x", "completed": n % 2 == 0}} for n in range(100)]
    assert client.post("/todos/batch", json={"operations": operations}).status_code == 200
    assert numbers(client) == (50, 0, 50, 50)


def test_the_position_never_runs_ahead_of_the_stream_and_ends_at_it(new_user: NewUser) -> None:
    client = new_user().client
    for number in range(20):
        create(client, f"t{number}")
        assert client.get("/todos/stats").json()["position"] <= number + 1
    assert counted(client)["position"] == 20


def test_nothing_is_counted_twice_across_a_kill(
    make_server: Callable[..., RunningServer], new_user: NewUser
) -> None:
    server = make_server()
    client = new_user(server=server).client
    for round_ in range(2):
        operations = [{"op": "create", "todo": {"title": "x", "completed": True}} for _ in range(50)]
        assert client.post("/todos/batch", json={"operations": operations}).status_code == 200
        server.kill9()  # while the projection is on its way
        server.start()
        assert numbers(client) == (0, 0, 50 * (round_ + 1), 50 * (round_ + 1))
