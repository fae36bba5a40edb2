"""What other modules may know of notifications."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from banyan.kernel.errors import NotFound

STREAM = "notifications"

NOTIFICATION_CREATED = "NotificationCreated"
NOTIFICATION_READ = "NotificationRead"
NOTIFICATION_UNREAD = "NotificationUnread"
NOTIFICATION_DELETED = "NotificationDeleted"

Kind = Literal["message", "reminder", "due", "welcome", "security"]


class NotificationNotFound(NotFound):
    code = "notification_not_found"
    detail = "Notification not found"


@dataclass(frozen=True, slots=True)
class NewNotification:
    """title and message: plain text, no mark-up. data: JSON for the client, such as what it is about.

    channels: where it goes; the inbox (`in_app`) is always one of them.
    """

    kind: Kind
    message: str
    title: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    channels: tuple[str, ...] = ("in_app",)


class Notifications(Protocol):
    async def notify(
        self, user_id: str, notification: NewNotification, *, notification_id: str | None = None
    ) -> str:
        """Put a notification into a user's inbox; returns its id once it is durable.

        notification_id: the caller's own id; sending the same one again changes nothing.
        Raises UserNotFound.
        """
        ...
