"""Notifications and their deliveries: what they are, and which states may follow which.

A delivery (docs/state_machines.md):

    queued ──claim──▶ sending ──sent──▶ delivered
                      │  ▲  │ lease ran out: claimed again
                refused│  │due        (after MAX_ATTEMPTS: failed)
                      ▼  │
                    retrying        sending ──useless, or MAX_ATTEMPTS──▶ failed ──redrive──▶ queued

`attempt` is the fence: only the claim that made a delivery's present attempt may settle it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from banyan.kernel.clock import to_text
from banyan.kernel.errors import Conflict
from banyan.modules.notifications.contract import Outcome

MAX_ATTEMPTS = 8
# 8 attempts over about 2 hours: long enough for a mail server's restart, short enough that the message still matters.
RETRY_PAUSES = tuple(timedelta(seconds=seconds) for seconds in (1, 5, 30, 120, 600, 1800, 3600))
# The lease outlives the send time-out, so that a slow receiver cannot make two senders send the same delivery.
SEND_TIMEOUT = timedelta(seconds=20)
LEASE = timedelta(seconds=60)
# A delivery that was put into the task queue is put there once more when nobody has begun it for so long: far longer
# than tasks wait in good weather, so that only a queue that lost it, or is an hour behind, sees it twice.
HANDED_OVER_FOR = timedelta(minutes=15)
# Until the queue has confirmed it: a process that dies meanwhile costs this delay.
HANDING_OVER_FOR = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Notification:
    """One entry of an inbox. created_position: where it stands in the user's stream, and so in the inbox."""

    user_id: str
    id: str
    kind: str
    title: str | None
    message: str
    data: dict[str, Any]
    created_at: str
    read_at: str | None = None
    created_position: int = 0

    def as_view(self) -> dict[str, Any]:
        """As people see it, in the API and in its `NotificationCreated` event."""
        return {
            "id": self.id,
            "kind": self.kind,
            "title": self.title,
            "message": self.message,
            "data": self.data,
            "read": self.read_at is not None,
            "read_at": self.read_at,
            "created_at": self.created_at,
        }


class Status(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    FAILED = "failed"


NEXT: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.SENDING}),
    Status.SENDING: frozenset({Status.SENDING, Status.DELIVERED, Status.RETRYING, Status.FAILED}),
    Status.RETRYING: frozenset({Status.SENDING}),
    Status.DELIVERED: frozenset(),
    Status.FAILED: frozenset({Status.QUEUED}),
}


class IllegalTransition(Conflict):
    """The program tried what the state machine forbids."""

    code = "illegal_transition"
    detail = "A delivery cannot go from its present state to that one."


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notification on its way through one channel. Each method gives the delivery in its next state, or raises
    IllegalTransition.

    due_at: when the delivery loop must look at it; None for states in which nothing is left to do.
    channel_id: which of the person's own channels it goes through; None for a channel that everybody has.
    """

    user_id: str
    notification_id: str
    id: str
    channel: str
    status: Status
    attempt: int
    at: str
    due_at: str | None
    error: str | None = None
    channel_id: str | None = None

    def claimed(self, now: datetime) -> "Delivery":
        """Leased to a sender. A lease that ran out counts as an attempt: whoever held it may have been killed by it."""
        if self.attempt >= MAX_ATTEMPTS:
            return self._to(Status.FAILED, now, error=self.error or "LeaseExpired")
        return self._to(
            Status.SENDING, now, due_at=to_text(now + LEASE), attempt=self.attempt + 1, error=self.error
        )

    def handed_over(self, due: datetime) -> "Delivery":
        """In the hands of the task queue: the same state, and nobody looks at it before `due`."""
        return replace(self, due_at=to_text(due))

    def delivered(self, now: datetime) -> "Delivery":
        return self._to(Status.DELIVERED, now)

    def refused(self, now: datetime, error: str, *, for_good: bool = False) -> "Delivery":
        """Not sent. error: a word for the reason, never the message itself. for_good: trying again would be useless."""
        if for_good or self.attempt >= MAX_ATTEMPTS:
            return self._to(Status.FAILED, now, error=error)
        pause = RETRY_PAUSES[min(self.attempt, len(RETRY_PAUSES)) - 1]
        return self._to(Status.RETRYING, now, due_at=to_text(now + pause), error=error)

    def settled(self, now: datetime, outcome: Outcome, error: str | None) -> "Delivery":
        """After an attempt: delivered, or refused."""
        if outcome == "delivered":
            return self.delivered(now)
        return self.refused(now, error or outcome, for_good=outcome in ("undeliverable", "gone"))

    def redriven(self, now: datetime) -> "Delivery":
        """An operator gives a failed delivery all its attempts again."""
        return self._to(Status.QUEUED, now, due_at=to_text(now), attempt=0)

    def _to(
        self,
        status: Status,
        now: datetime,
        *,
        due_at: str | None = None,
        attempt: int | None = None,
        error: str | None = None,
    ) -> "Delivery":
        if status not in NEXT[self.status]:
            raise IllegalTransition(now=self.status, wanted=status)
        return replace(
            self,
            status=status,
            at=to_text(now),
            due_at=due_at,
            attempt=self.attempt if attempt is None else attempt,
            error=error,
        )


def first_delivery(
    notification: Notification,
    delivery_id: str,
    channel: str,
    *,
    delivered: bool,
    channel_id: str | None = None,
) -> Delivery:
    """The ledger's first entry for a channel. delivered: the inbox row itself is the delivery (the in-app channel)."""
    return Delivery(
        user_id=notification.user_id,
        notification_id=notification.id,
        id=delivery_id,
        channel=channel,
        status=Status.DELIVERED if delivered else Status.QUEUED,
        attempt=1 if delivered else 0,
        at=notification.created_at,
        due_at=None if delivered else notification.created_at,
        channel_id=channel_id,
    )
