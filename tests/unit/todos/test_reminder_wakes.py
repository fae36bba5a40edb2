"""Which commits may have set a time at which somebody is to be reminded: the loop that waits for the next one looks again."""

from typing import Any

import pytest

from banyan.kernel.events import Event
from banyan.modules.todos.reminders import may_ring

AT = "2030-01-01T00:00:00.000000Z"


def event(kind: str, data: dict[str, Any], stream: str = "todos") -> Event:
    return Event("e", "ada", stream, 1, kind, "t", data, None, AT)


@pytest.mark.parametrize(
    ("happened", "rings"),
    [
        (event("TodoCreated", {"title": "x", "due_at": None, "remind_at": AT}), True),
        (event("TodoCreated", {"title": "x", "due_at": None, "remind_at": None}), False),
        (event("TodoChanged", {"due_at": AT}), True),
        (event("TodoChanged", {"completed": False}), True),
        (event("TodoChanged", {"completed": True}), False),
        # The reminder was told, perhaps by a worker: the due time comes next.
        (event("TodoReminded", {"kind": "reminder", "due_at": AT, "remind_at": AT}), True),
        (event("TodoDeleted", {}), False),
        (event("UserChanged", {"due_at": AT}, stream="users"), False),
    ],
)
def test_what_may_ring(happened: Event, rings: bool) -> None:
    assert may_ring(happened) == rings
