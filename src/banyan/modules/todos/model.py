"""What a to-do is and the rules it keeps. Pure: no database, no clock of its own.

A to-do is a dictionary of its fields, as the API shows them (without `url`): that is what events carry, what the store
writes and what clients read, so nothing is converted on the way.
"""

from datetime import timedelta
from typing import Any

from banyan.kernel.clock import from_text, to_text
from banyan.kernel.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from banyan.kernel.events import Event

Todo = dict[str, Any]
TodoList = dict[str, Any]

# A time that was already further in the past than this when it was set is not told: importing old to-dos must not ring.
PAST_GRACE = timedelta(minutes=5)
_NEVER = "9999-12-31T23:59:59.999999Z"

WRITABLE = ("title", "completed", "order", "notes", "due_at", "remind_at", "priority", "labels", "list_id")
DEFAULTS: Todo = {
    "completed": False,
    "order": None,
    "notes": None,
    "due_at": None,
    "remind_at": None,
    "priority": 0,
    "labels": [],
    "list_id": None,
}


class TodoNotFound(NotFound):
    code = "todo_not_found"
    detail = "To-do not found"


class ListNotFound(NotFound):
    code = "list_not_found"
    detail = "List not found"


class ListUnknown(InvalidInput):
    code = "list_unknown"
    detail = "There is no such list of yours: make it first, or leave `list_id` out."


class ListExists(Conflict):
    code = "list_exists"
    detail = "A list of this id exists already, with another content."


class VersionMismatch(PreconditionFailed):
    code = "version_mismatch"
    detail = "The to-do has changed since you read it: read it again, then repeat your change."


def new_todo(todo_id: str, fields: dict[str, Any], now: str) -> Todo:
    """A to-do as it begins."""
    todo = {
        "id": todo_id,
        "title": fields["title"],
        **DEFAULTS,
        "labels": [],  # its own, not the one of the defaults
        **fields,
        "created_at": now,
        "updated_at": now,
        "completed_at": None,
        "version": 1,
    }
    if todo["completed"]:
        todo["completed_at"] = now
    return todo


def changes_of(todo: Todo, wanted: dict[str, Any], now: str) -> dict[str, Any]:
    """The fields that get a new value when `wanted` is applied; empty when nothing would change."""
    changes = {name: value for name, value in wanted.items() if todo[name] != value}
    if not changes:
        return {}
    if "completed" in changes:
        changes["completed_at"] = now if changes["completed"] else None
    return {**changes, "updated_at": now, "version": todo["version"] + 1}


def first_reminder(todo: Todo, now: str) -> str | None:
    """When a new to-do first asks for attention; None when it never does."""
    if todo["completed"]:
        return None
    return min((time for time in _times(todo) if time > _long_past(now)), default=None)


def reminder_after_change(before: Todo, after: Todo, pending: str | None, now: str) -> str | None:
    """When a changed to-do next asks for attention. pending: what it was waiting for before.

    A time that was told already is not told again, unless it is set anew; and set anew to a moment before one that has
    gone by, it is not told, because that one would be told a second time after it.
    """
    if after["completed"]:
        return None
    waiting = pending or _NEVER
    gone = [time for time in _times(after) if time <= now and time < waiting and time in _times(before)]
    newest_told = max([_long_past(now), *gone])
    untold = [time for time in _times(after) if time > now or time >= waiting or time > newest_told]
    return min(untold, default=None)


def reminder_after(todo: Todo, told: str) -> str | None:
    """The next time after the one that was just told."""
    return min((time for time in _times(todo) if time > told), default=None)


def reminder_kind(todo: Todo, time: str) -> str:
    """`due` when that is the moment the to-do falls due, `reminder` when it is only a reminder."""
    return "due" if time == todo["due_at"] else "reminder"


def apply_event(state: dict[str, dict[str, Any]], event: Event) -> None:
    """Fold one event of the stream `todos` into `kind/id → fields`."""
    match event.type:
        case "TodoCreated":
            state[f"todo/{event.subject}"] = {**event.data, "created_position": event.position}
        case "TodoChanged":
            state[f"todo/{event.subject}"].update(event.data)
        case "TodoDeleted":
            del state[f"todo/{event.subject}"]
        case "ListCreated":
            state[f"list/{event.subject}"] = dict(event.data)
        case "ListChanged":
            state[f"list/{event.subject}"].update(event.data)
        case "ListDeleted":
            del state[f"list/{event.subject}"]


def _times(todo: Todo) -> list[str]:
    return [time for time in (todo["remind_at"], todo["due_at"]) if time is not None]


def _long_past(now: str) -> str:
    return to_text(from_text(now) - PAST_GRACE)
