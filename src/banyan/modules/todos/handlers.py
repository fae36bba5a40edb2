"""What the to-dos module does when something happens elsewhere."""

from sqlalchemy import bindparam, delete

from banyan.infra.db.idempotency import idempotency_keys
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.consumers import Consumer, forget_set_aside
from banyan.infra.streams.log import EventLog
from banyan.kernel.events import Event
from banyan.modules.todos import list_store, stats, store

_FORGET_KEYS = delete(idempotency_keys).where(idempotency_keys.c.user_id == bindparam("user_id"))


def account_deletion(log: EventLog) -> Consumer:
    """When an account is deleted, everything of it goes: to-dos, lists, counts and their events."""

    async def erase(tx: Transaction, event: Event) -> None:
        user_id = event.user_id
        await store.erase(tx, user_id)
        await list_store.erase(tx, user_id)
        await stats.clear(tx, user_id)
        await tx.run(_FORGET_KEYS, {"user_id": user_id})
        await forget_set_aside(tx, event)
        await log.erase(tx, user_id, before=await log.position(tx, user_id) + 1)

    return Consumer("todos-account-deletion", frozenset({"users"}), erase, frozenset({"UserDeleted"}))
