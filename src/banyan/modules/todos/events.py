"""The data of the events of to-dos and lists."""

from collections.abc import Mapping
from typing import Any, NotRequired

from typing_extensions import TypedDict


class TodoCreated(TypedDict):
    id: str
    title: str
    completed: bool
    order: int | None
    notes: str | None
    due_at: str | None
    remind_at: str | None
    priority: int
    labels: list[str]
    list_id: str | None
    created_at: str
    updated_at: str
    completed_at: str | None
    version: int


class TodoChanged(TypedDict):
    """The fields that have a new value."""

    title: NotRequired[str]
    completed: NotRequired[bool]
    order: NotRequired[int | None]
    notes: NotRequired[str | None]
    due_at: NotRequired[str | None]
    remind_at: NotRequired[str | None]
    priority: NotRequired[int]
    labels: NotRequired[list[str]]
    list_id: NotRequired[str | None]
    completed_at: NotRequired[str | None]
    updated_at: str
    version: int


class TodoDeleted(TypedDict):
    pass


class TodoReminded(TypedDict):
    """kind: `due` or `reminder`. The other fields are as they were at that moment."""

    kind: str
    title: str
    due_at: str | None
    remind_at: str | None


class ListCreated(TypedDict):
    id: str
    name: str
    color: str | None
    created_at: str
    updated_at: str
    version: int


class ListChanged(TypedDict):
    """The fields that have a new value."""

    name: NotRequired[str]
    color: NotRequired[str | None]
    updated_at: str
    version: int


class ListDeleted(TypedDict):
    pass


EVENTS: Mapping[str, Any] = {
    one.__name__: one
    for one in (TodoCreated, TodoChanged, TodoDeleted, TodoReminded, ListCreated, ListChanged, ListDeleted)
}
