"""SQL of tokens that work once."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import bindparam, delete, insert

from banyan.infra.db.transaction import Transaction
from banyan.modules.users.tables import one_time_tokens

Purpose = Literal["verify", "reset", "ticket"]

t = one_time_tokens.c
_STORE = insert(one_time_tokens).values(
    {column.name: bindparam(column.name) for column in one_time_tokens.columns}
)
_USE_UP = (
    delete(one_time_tokens)
    .where(
        t.user_id == bindparam("user_id"), t.digest == bindparam("digest"), t.purpose == bindparam("purpose")
    )
    .returning(t.email, t.session_id, t.expires_at)
)
_FORGET_KIND = delete(one_time_tokens).where(
    t.user_id == bindparam("user_id"), t.purpose == bindparam("purpose")
)
_FORGET_ALL = delete(one_time_tokens).where(t.user_id == bindparam("user_id"))
_FORGET_EXPIRED = delete(one_time_tokens).where(t.expires_at <= bindparam("now"))


@dataclass(frozen=True, slots=True)
class UsedToken:
    """What a token that was just used up stood for."""

    email: str | None
    session_id: str | None


async def store(
    tx: Transaction,
    user_id: str,
    digest: str,
    purpose: Purpose,
    *,
    expires_at: str,
    email: str | None = None,
    session_id: str | None = None,
) -> None:
    await tx.run(
        _STORE,
        {
            "user_id": user_id,
            "digest": digest,
            "purpose": purpose,
            "email": email,
            "session_id": session_id,
            "expires_at": expires_at,
        },
    )


async def use_up(tx: Transaction, user_id: str, digest: str, purpose: Purpose, now: str) -> UsedToken | None:
    """Delete the token; None when there was none, or when it had expired."""
    row = await tx.one(_USE_UP, {"user_id": user_id, "digest": digest, "purpose": purpose})
    if row is None or row["expires_at"] <= now:
        return None
    return UsedToken(row["email"], row["session_id"])


async def forget(tx: Transaction, user_id: str, *purposes: Purpose) -> None:
    """Delete a user's tokens for these purposes."""
    for purpose in purposes:
        await tx.run(_FORGET_KIND, {"user_id": user_id, "purpose": purpose})


async def forget_all(tx: Transaction, user_id: str) -> None:
    await tx.run(_FORGET_ALL, {"user_id": user_id})


async def forget_expired(tx: Transaction, now: str) -> int:
    return await tx.run(_FORGET_EXPIRED, {"now": now})
