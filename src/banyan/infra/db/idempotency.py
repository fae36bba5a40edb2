"""Idempotency keys: a request that is sent twice has one effect, and the same answer twice.

The key and the answer are stored in the transaction of the effect, so that there is never one without the other. Two
requests with one key are serialized by the database; the later one finds the answer of the earlier.
Source: IETF draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from pydantic_core import to_json
from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
)

from banyan.infra.db.tables import Id, Instant, batch, batch_of_keys, metadata
from banyan.infra.db.transaction import Row, Transaction
from banyan.kernel.clock import Clock, now_text, to_text
from banyan.kernel.errors import FieldError, InvalidInput

KEPT = timedelta(hours=24)
MAX_KEY_CHARS = 255

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("key", String(MAX_KEY_CHARS), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("location", String(2048)),
    Column("etag", String(64)),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("user_id", "key"),
)
Index("ix_idempotency_keys_created_at", idempotency_keys.c.created_at)

_FIND = select(idempotency_keys).where(
    idempotency_keys.c.user_id == bindparam("user_id"), idempotency_keys.c.key == bindparam("key")
)
_STORE = insert(idempotency_keys).values(
    {column.name: bindparam(column.name) for column in idempotency_keys.columns}
)
_wanted = batch_of_keys("wanted", idempotency_keys.c.user_id, idempotency_keys.c.key)
_FIND_MANY = select(idempotency_keys).join(
    _wanted, (idempotency_keys.c.user_id == _wanted.c.user_id) & (idempotency_keys.c.key == _wanted.c.key)
)
STORE_MANY = insert(idempotency_keys).from_select(
    [column.name for column in idempotency_keys.columns], batch("answers", *idempotency_keys.columns)
)
"""Insert the `answers` that `as_batch` makes."""
_FORGET = delete(idempotency_keys).where(idempotency_keys.c.created_at < bindparam("before"))


class IdempotencyKeyReused(InvalidInput):
    code = "idempotency_key_reused"
    detail = "This Idempotency-Key was used for another request: make a new key for each new request."


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """One request that carries a key. fingerprint: of the operation and its payload."""

    user_id: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    status: int
    body: bytes
    location: str | None = None
    etag: str | None = None


def idempotent_request(
    user_id: str, key: str | None, operation: str, body: bytes
) -> IdempotentRequest | None:
    """The request to remember; None when the client sent no key. Raises InvalidInput for a key that cannot be kept."""
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY_CHARS or not key.isascii() or not key.isprintable():
        fault = FieldError(
            "header/Idempotency-Key", f"must be 1 to {MAX_KEY_CHARS} printable ASCII characters"
        )
        raise InvalidInput(errors=[fault])
    fingerprint = hashlib.sha256(operation.encode() + b"\n" + body).hexdigest()
    return IdempotentRequest(user_id, key, fingerprint)


async def find_answer(tx: Transaction, request: IdempotentRequest) -> StoredAnswer | None:
    """What was answered to the same request before. Raises IdempotencyKeyReused when it was another one."""
    row = await tx.one(_FIND, {"user_id": request.user_id, "key": request.key})
    if row is None:
        return None
    if row["fingerprint"] != request.fingerprint:
        raise IdempotencyKeyReused()
    return _answer_of(row)


async def find_answers(
    tx: Transaction, requests: Sequence[IdempotentRequest]
) -> list[StoredAnswer | IdempotencyKeyReused | None]:
    """What `find_answer` returns or raises for each of them, in their order."""
    if not requests:
        return []
    wanted = to_json([[request.user_id, request.key] for request in requests]).decode()
    rows = {(row["user_id"], row["key"]): row for row in await tx.all(_FIND_MANY, {"wanted": wanted})}
    found: list[StoredAnswer | IdempotencyKeyReused | None] = []
    for request in requests:
        row = rows.get((request.user_id, request.key))
        if row is None:
            found.append(None)
        elif row["fingerprint"] != request.fingerprint:
            found.append(IdempotencyKeyReused())
        else:
            found.append(_answer_of(row))
    return found


async def store_answer(
    tx: Transaction, request: IdempotentRequest, answer: StoredAnswer, clock: Clock
) -> None:
    """Remember the answer, in the transaction of its effect."""
    await tx.run(
        _STORE,
        {
            "user_id": request.user_id,
            "key": request.key,
            "fingerprint": request.fingerprint,
            "status": answer.status,
            "location": answer.location,
            "etag": answer.etag,
            "body": answer.body,
            "created_at": now_text(clock),
        },
    )


def as_batch(answers: Sequence[tuple[IdempotentRequest, StoredAnswer]], clock: Clock) -> str:
    """The rows of STORE_MANY. Bodies have to be UTF-8."""
    now = now_text(clock)
    rows = [
        [
            request.user_id,
            request.key,
            request.fingerprint,
            answer.status,
            answer.location,
            answer.etag,
            answer.body.decode(),
            now,
        ]
        for request, answer in answers
    ]
    return to_json(rows).decode()


async def store_answers(
    tx: Transaction, answers: Sequence[tuple[IdempotentRequest, StoredAnswer]], clock: Clock
) -> None:
    """Remember answers whose bodies are UTF-8, in one statement, in the transaction of their effects."""
    if answers:
        await tx.run(STORE_MANY, {"answers": as_batch(answers, clock)})


def _answer_of(row: Row) -> StoredAnswer:
    return StoredAnswer(row["status"], row["body"], row["location"], row["etag"])


async def forget_old(tx: Transaction, clock: Clock) -> int:
    """Forget the keys of more than 24 hours ago; returns how many."""
    return await tx.run(_FORGET, {"before": to_text(clock.now() - KEPT)})
