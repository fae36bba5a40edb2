"""Use cases of notifications."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pydantic_core import to_json

from banyan.infra.db import Coalescer, Shards, Transaction
from banyan.infra.db.idempotency import IdempotentRequest, StoredAnswer, find_answer, store_answer
from banyan.infra.streams.log import Append, EventLog
from banyan.infra.telemetry.trace import current_traceparent
from banyan.kernel.clock import Clock, now_text
from banyan.kernel.errors import FieldError, InvalidInput
from banyan.kernel.events import NewEvent
from banyan.kernel.ids import is_id, new_id
from banyan.modules.notifications import ledger, store
from banyan.modules.notifications.channels import IN_APP, Channel, by_name
from banyan.modules.notifications.contract import (
    NOTIFICATION_CREATED,
    NOTIFICATION_DELETED,
    NOTIFICATION_READ,
    NOTIFICATION_UNREAD,
    BegunDelivery,
    NewNotification,
    NotificationNotFound,
    Outcome,
)
from banyan.modules.notifications.leases import DeliveryLeases
from banyan.modules.notifications.model import Delivery, Notification, first_delivery
from banyan.modules.users.contract import UserNotFound, Users

# Rows that one transaction changes when a whole inbox is marked or emptied: others' writes go in between.
ROWS_PER_TRANSACTION = 500


Change = Callable[[Transaction, str, Sequence[str], str], Awaitable[None]]
"""Changes some of a user's notifications: (tx, user_id, ids, actor)."""


class Sending(NamedTuple):
    """One notification that waits for its batch.

    channels: kinds that it goes through, besides the inbox; () for all that its person has set up. only: the one channel
    of theirs that it goes through instead. trace: the request that it belongs to; a batch belongs to none.
    """

    notification: Notification
    channels: tuple[str, ...]
    actor: str | None
    trace: str | None
    only: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """position: of the stream, in the snapshot that the page was read from. has_more: whether another page follows."""

    notifications: list[Notification]
    position: int
    has_more: bool


class NotificationService:
    """The inbox of every user of these shards; `contract.Notifications` and `contract.Deliveries` are parts of it.

    channels: how notifications can be sent; the inbox is one of them.
    """

    def __init__(
        self,
        shards: Shards,
        log: EventLog,
        clock: Clock,
        users: Users,
        channels: Sequence[Channel],
        leases: DeliveryLeases,
    ) -> None:
        self._shards = shards
        self._log = log
        self._clock = clock
        self._users = users
        self._channels = by_name(channels)
        self._leases = leases
        self._batches = {name: self._coalescer(name) for name in shards.names()}

    @property
    def channel_names(self) -> list[str]:
        return list(self._channels)

    async def notify(
        self, user_id: str, notification: NewNotification, *, notification_id: str | None = None
    ) -> str:
        """See contract.Notifications."""
        await self.require_user(user_id)
        sending = self._sending(user_id, notification, notification_id or new_id(), actor=None)
        if notification_id is not None:
            await self._shards.transact(user_id, self._create_unless_there, sending)
        else:
            await self._batches[self._shards.of(user_id).name].submit(sending)
        return sending.notification.id

    async def begin_delivery(
        self, user_id: str, notification_id: str, delivery_id: str, *, attempt: int
    ) -> BegunDelivery | None:
        """See contract.Deliveries."""
        return await self._leases.begin(user_id, notification_id, delivery_id, attempt)

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
        """See contract.Deliveries."""
        return await self._leases.settle(user_id, notification_id, delivery_id, attempt, outcome, error)

    async def send(
        self,
        user_id: str,
        notification: NewNotification,
        *,
        actor: str,
        idempotency: IdempotentRequest | None,
    ) -> StoredAnswer:
        """What POST /notify answers, once it is durable. The same request with the same key is answered the same.

        actor: the session that sends. Raises UserNotFound when the inbox is closed, IdempotencyKeyReused.
        """
        sending = self._sending(user_id, notification, new_id(), actor=actor)
        answer = StoredAnswer(202, to_json({"id": sending.notification.id, "status": "sent"}))
        if idempotency is not None:
            return await self._shards.transact(user_id, self._create_once, sending, idempotency, answer)
        await self._batches[self._shards.of(user_id).name].submit(sending)
        return answer

    async def require_user(self, user_id: str) -> None:
        """Raises UserNotFound."""
        if not is_id(user_id) or not await self._users.exists(user_id):
            raise UserNotFound(user_id=user_id)

    async def page(self, user_id: str, *, unread_only: bool, before: int | None, limit: int) -> Page:
        """Newest first, from below the position `before`; None for the beginning."""
        return await self._shards.read(user_id, self._page, user_id, unread_only, before, limit)

    async def unread_count(self, user_id: str) -> tuple[int, int]:
        """How many are unread, and the position of the stream in the same snapshot."""
        return await self._shards.read(user_id, self._unread_count, user_id)

    async def get(self, user_id: str, notification_id: str) -> Notification:
        """Raises NotificationNotFound."""
        return await self._shards.read(user_id, self._get, user_id, notification_id)

    async def deliveries(self, user_id: str, notification_id: str) -> list[Delivery]:
        """Raises NotificationNotFound."""
        return await self._shards.read(user_id, self._deliveries, user_id, notification_id)

    async def set_read(self, user_id: str, notification_id: str, *, read: bool, actor: str) -> Notification:
        """Mark as read or unread; when it is so already, nothing happens. Raises NotificationNotFound."""
        return await self._shards.transact(user_id, self._set_read, user_id, notification_id, read, actor)

    async def read_all(self, user_id: str, *, actor: str) -> int:
        """Mark as read all that was there when this was called; returns how many were unread."""
        return await self._change_all(user_id, self._mark_read, False, actor)

    async def delete(self, user_id: str, notification_id: str, *, actor: str) -> None:
        """Raises NotificationNotFound."""
        await self._shards.transact(user_id, self._delete, user_id, notification_id, actor)

    async def delete_all(self, user_id: str, *, read: bool | None, actor: str) -> None:
        """Delete all that was there when this was called. read: only the read or the unread ones."""
        await self._change_all(user_id, self._remove, read, actor)

    # Units of work, for this class and for handlers.py

    async def create(self, tx: Transaction, sendings: Sequence[Sending]) -> list[UserNotFound | None]:
        """Rows, events and ledger entries of many notifications; for each None, or why it could not be created."""
        doors = await store.doors(tx, {sending.notification.user_id for sending in sendings})
        gone = doors.closed
        open_ = [sending for sending in sendings if sending.notification.user_id not in gone]
        positions = await self._log.append_many(tx, [_created(sending) for sending in open_])
        rows = [
            replace(sending.notification, created_position=position)
            for sending, position in zip(open_, positions, strict=True)
        ]
        if rows:
            deliveries = [
                delivery
                for sending in open_
                for delivery in self._deliveries_of(
                    sending, doors.enabled.get(sending.notification.user_id, ())
                )
            ]
            await store.insert_all(tx, rows, deliveries)
        return [UserNotFound() if sending.notification.user_id in gone else None for sending in sendings]

    async def create_from_event(
        self, tx: Transaction, user_id: str, notification: NewNotification, event_id: str
    ) -> None:
        """The notification that an event brings about. Its id is the event's, so that there can be only one."""
        await self._create_unless_there(
            tx, self._sending(user_id, notification, event_id, actor=None), must_exist=False
        )

    async def create_for_channel(
        self, tx: Transaction, user_id: str, notification: NewNotification, channel_id: str, *, actor: str
    ) -> str:
        """A notification that goes through one of the person's channels and no other; its id. Raises UserNotFound."""
        sending = self._sending(user_id, notification, new_id(), actor=actor)._replace(only=channel_id)
        (refusal,) = await self.create(tx, [sending])
        if refusal is not None:
            raise refusal
        return sending.notification.id

    async def erase(self, tx: Transaction, user_id: str) -> None:
        """Forget all that a user's inbox held, its events too, and accept nothing for it any more."""
        await store.close_and_erase(tx, user_id)
        await self._log.erase(tx, user_id, before=store.PAST_ALL)

    async def _create_unless_there(
        self, tx: Transaction, sending: Sending, *, must_exist: bool = True
    ) -> None:
        if await store.find(tx, sending.notification.user_id, sending.notification.id) is None:
            (refusal,) = await self.create(tx, [sending])
            if refusal is not None and must_exist:
                raise refusal

    async def _create_once(
        self, tx: Transaction, sending: Sending, request: IdempotentRequest, answer: StoredAnswer
    ) -> StoredAnswer:
        earlier = await find_answer(tx, request)
        if earlier is not None:
            return earlier
        (refusal,) = await self.create(tx, [sending])
        if refusal is not None:
            raise refusal
        await store_answer(tx, request, answer, self._clock)
        return answer

    async def _page(
        self, tx: Transaction, user_id: str, unread_only: bool, before: int | None, limit: int
    ) -> Page:
        position = await self._log.position(tx, user_id)
        found = await store.page(
            tx,
            user_id,
            unread_only=unread_only,
            before=store.PAST_ALL if before is None else before,
            limit=limit + 1,
        )
        return Page(found[:limit], position, has_more=len(found) > limit)

    async def _unread_count(self, tx: Transaction, user_id: str) -> tuple[int, int]:
        return await store.unread_count(tx, user_id), await self._log.position(tx, user_id)

    async def _get(self, tx: Transaction, user_id: str, notification_id: str) -> Notification:
        found = await store.find(tx, user_id, notification_id)
        if found is None:
            raise NotificationNotFound(notification_id=notification_id)
        return found

    async def _deliveries(self, tx: Transaction, user_id: str, notification_id: str) -> list[Delivery]:
        await self._get(tx, user_id, notification_id)
        return await ledger.of_notification(tx, user_id, notification_id)

    async def _set_read(
        self, tx: Transaction, user_id: str, notification_id: str, read: bool, actor: str
    ) -> Notification:
        found = await self._get(tx, user_id, notification_id)
        if (found.read_at is not None) != read:
            await self._mark(tx, user_id, [notification_id], read=read, actor=actor)
        return await self._get(tx, user_id, notification_id)

    async def _mark_read(self, tx: Transaction, user_id: str, ids: Sequence[str], actor: str) -> None:
        await self._mark(tx, user_id, ids, read=True, actor=actor)

    async def _mark(
        self, tx: Transaction, user_id: str, ids: Sequence[str], *, read: bool, actor: str
    ) -> None:
        read_at = now_text(self._clock) if read else None
        kind = NOTIFICATION_READ if read else NOTIFICATION_UNREAD
        new = [NewEvent(kind, one, {"read": read, "read_at": read_at}) for one in ids]
        await store.mark(tx, user_id, ids, read_at)
        await self._log.append(tx, user_id, new, actor=actor)

    async def _delete(self, tx: Transaction, user_id: str, notification_id: str, actor: str) -> None:
        await self._get(tx, user_id, notification_id)
        await self._remove(tx, user_id, [notification_id], actor)

    async def _remove(self, tx: Transaction, user_id: str, ids: Sequence[str], actor: str) -> None:
        await store.delete_all(tx, user_id, ids)
        await self._log.append(tx, user_id, [NewEvent(NOTIFICATION_DELETED, one) for one in ids], actor=actor)

    async def _change_all(self, user_id: str, change: Change, read: bool | None, actor: str) -> int:
        """Change a whole inbox, newest first, a bounded number of rows in each transaction."""
        changed = 0
        before: int | None = None
        while before != 0:
            count, before = await self._shards.transact(
                user_id, self._change_some, user_id, change, read, actor, before
            )
            changed += count
        return changed

    async def _change_some(
        self, tx: Transaction, user_id: str, change: Change, read: bool | None, actor: str, before: int | None
    ) -> tuple[int, int]:
        """How many were changed, and the position below which others may be left; 0 when none are."""
        if before is None:
            before = store.PAST_ALL
        ids, last = await store.some_ids(tx, user_id, read=read, before=before, limit=ROWS_PER_TRANSACTION)
        if ids:
            await change(tx, user_id, ids, actor)
        return len(ids), last if len(ids) == ROWS_PER_TRANSACTION else 0

    def _sending(
        self, user_id: str, new: NewNotification, notification_id: str, *, actor: str | None
    ) -> Sending:
        unknown = [channel for channel in new.channels if channel not in self._channels]
        if unknown:
            available = ", ".join(self.channel_names)
            fault = FieldError("/channels", f"{', '.join(unknown)} is not available; available: {available}")
            raise InvalidInput(errors=[fault])
        notification = Notification(
            user_id=user_id,
            id=notification_id,
            kind=new.kind,
            title=new.title,
            message=new.message,
            data=new.data,
            created_at=now_text(self._clock),
        )
        return Sending(notification, new.channels, actor, current_traceparent())

    def _deliveries_of(self, sending: Sending, own: Sequence[tuple[str, str]]) -> list[Delivery]:
        """own: kind and id of the channels that its person has set up and enabled."""
        return [
            first_delivery(
                sending.notification,
                new_id(),
                kind,
                delivered=self._channels[kind].is_inbox,
                channel_id=channel_id,
            )
            for kind, channel_id in self._ways_of(sending, own)
        ]

    def _ways_of(self, sending: Sending, own: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str | None]]:
        yield IN_APP, None
        for kind in dict.fromkeys(sending.channels):
            if kind != IN_APP and not self._channels[kind].is_set_up:
                yield kind, None
        for kind, channel_id in own:
            # One of a kind that only another version knows is left to that version.
            is_meant = not sending.channels or kind in sending.channels
            if kind in self._channels and is_meant and sending.only in (None, channel_id):
                yield kind, channel_id

    def _coalescer(self, shard: str) -> Coalescer[Sending, None]:
        async def create(sendings: Sequence[Sending]) -> Sequence[UserNotFound | None]:
            return await self._shards.named(shard).transact(self.create, sendings)

        return Coalescer(create)


def _created(sending: Sending) -> Append:
    notification = sending.notification
    event = NewEvent(NOTIFICATION_CREATED, notification.id, notification.as_view())
    return Append(notification.user_id, [event], sending.actor, sending.trace)
