"""The data of the events of notifications."""

from collections.abc import Mapping
from typing import Any

from typing_extensions import TypedDict


class NotificationCreated(TypedDict):
    """data: what the sender gave, such as `todo_id`."""

    id: str
    kind: str
    title: str | None
    message: str
    data: dict[str, Any]
    read: bool
    read_at: str | None
    created_at: str


class NotificationRead(TypedDict):
    read: bool
    read_at: str


class NotificationUnread(TypedDict):
    read: bool
    read_at: None


class NotificationDeleted(TypedDict):
    pass


EVENTS: Mapping[str, Any] = {
    one.__name__: one
    for one in (NotificationCreated, NotificationRead, NotificationUnread, NotificationDeleted)
}
