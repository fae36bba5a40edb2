"""The inbox as its events tell it, and as its table has it."""

from banyan.infra.db.transaction import Transaction
from banyan.infra.module import Fold, State
from banyan.kernel.events import Event
from banyan.modules.notifications import store
from banyan.modules.notifications.contract import (
    NOTIFICATION_CREATED,
    NOTIFICATION_DELETED,
    NOTIFICATION_READ,
    NOTIFICATION_UNREAD,
    STREAM,
)


def apply(state: State, event: Event) -> None:
    key = f"notification/{event.subject}"
    if event.type == NOTIFICATION_CREATED:
        state[key] = event.data
    elif event.type in (NOTIFICATION_READ, NOTIFICATION_UNREAD):
        state[key] = {**state[key], **event.data}
    elif event.type == NOTIFICATION_DELETED:
        del state[key]


async def stored(tx: Transaction, user_id: str) -> State:
    return {f"notification/{one.id}": one.as_view() for one in await store.everything(tx, user_id)}


FOLD = Fold(STREAM, apply, stored)
