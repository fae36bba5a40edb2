"""What other modules may know of notifications."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from banyan.kernel.errors import NotFound

STREAM = "notifications"

NOTIFICATION_CREATED = "NotificationCreated"
NOTIFICATION_READ = "NotificationRead"
NOTIFICATION_UNREAD = "NotificationUnread"
NOTIFICATION_DELETED = "NotificationDeleted"

CHANNEL_CREATED = "ChannelCreated"
CHANNEL_CHANGED = "ChannelChanged"
CHANNEL_DELETED = "ChannelDeleted"

Kind = Literal["message", "reminder", "due", "welcome", "security"]


class NotificationNotFound(NotFound):
    code = "notification_not_found"
    detail = "Notification not found"


@dataclass(frozen=True, slots=True)
class NewNotification:
    """title and message: plain text, no mark-up. data: JSON for the client, such as what it is about.

    channels: the kinds of channels that it goes through, the inbox always being one of them; () for all that the person
    has set up.
    """

    kind: Kind
    message: str
    title: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BegunDelivery:
    """A delivery that is leased to whoever began it, and what it delivers; JSON all through.

    attempt: the one that this is; `settle_delivery` asks for it. notification: the fields of the notification.
    target: where to, sealed by the server's secret for this very delivery; None for channels that need none.
    """

    user_id: str
    notification_id: str
    id: str
    channel: str
    attempt: int
    notification: dict[str, Any]
    target: str | None = None


Outcome = Literal["delivered", "refused", "undeliverable", "gone"]
"""Of one attempt: the receiver has it; it may work later; trying again would be useless; the receiver wants nothing any
more, so that its channel is to be disabled."""


class Notifications(Protocol):
    async def notify(
        self, user_id: str, notification: NewNotification, *, notification_id: str | None = None
    ) -> str:
        """Put a notification into a user's inbox; returns its id once it is durable.

        notification_id: the caller's own id; sending the same one again changes nothing.
        Raises UserNotFound.
        """
        ...


class Deliveries(Protocol):
    """What a worker needs that sends deliveries for the service that has the ledger."""

    async def begin_delivery(
        self, user_id: str, notification_id: str, delivery_id: str, *, attempt: int
    ) -> BegunDelivery | None:
        """Lease a delivery whose last attempt was `attempt`, so that nobody else sends it meanwhile.

        None when it is not to be sent (any more): it is delivered, given up, deleted, or was begun by somebody else.
        Called again after it gave one, it gives None: an answer that is lost costs the lease, not a second sending.
        """
        ...

    async def settle_delivery(
        self,
        user_id: str,
        notification_id: str,
        delivery_id: str,
        *,
        attempt: int,
        outcome: Outcome,
        error: str | None = None,
    ) -> bool:
        """Note what became of an attempt. error: a word for the reason, never an address or a message.

        False when the lease ran out meanwhile and somebody else is at it, or it was settled before; nothing is changed.
        """
        ...
