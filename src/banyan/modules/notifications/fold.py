"""The inbox as its events tell it, and as its table has it."""

from banyan.infra.db.transaction import Transaction
from banyan.infra.module import Fold, State
from banyan.kernel.events import Event
from banyan.modules.notifications import channel_store, store
from banyan.modules.notifications.contract import (
    CHANNEL_CHANGED,
    CHANNEL_CREATED,
    CHANNEL_DELETED,
    NOTIFICATION_CREATED,
    NOTIFICATION_DELETED,
    NOTIFICATION_READ,
    NOTIFICATION_UNREAD,
    STREAM,
)


def apply(state: State, event: Event) -> None:
    channel = f"channel/{event.subject}"
    if event.type == CHANNEL_CREATED:
        state[channel] = event.data
    elif event.type == CHANNEL_CHANGED:
        state[channel] = {**state[channel], **event.data}
    elif event.type == CHANNEL_DELETED:
        del state[channel]
    else:
        _apply_to_inbox(state, event)


def _apply_to_inbox(state: State, event: Event) -> None:
    key = f"notification/{event.subject}"
    if event.type == NOTIFICATION_CREATED:
        state[key] = event.data
    elif event.type in (NOTIFICATION_READ, NOTIFICATION_UNREAD):
        state[key] = {**state[key], **event.data}
    elif event.type == NOTIFICATION_DELETED:
        del state[key]


async def stored(tx: Transaction, user_id: str) -> State:
    inbox = {f"notification/{one.id}": one.as_view() for one in await store.everything(tx, user_id)}
    channels = {f"channel/{one.id}": one.as_event() for one in await channel_store.all_of(tx, user_id)}
    return inbox | channels


FOLD = Fold(STREAM, apply, stored)
