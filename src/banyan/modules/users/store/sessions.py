"""SQL of sessions, and of the memory of those that ended."""

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, insert, select, update

from banyan.infra.auth.sessions import EndedSession
from banyan.infra.db.tables import upsert
from banyan.infra.db.transaction import Row, Transaction
from banyan.modules.users.model import Session
from banyan.modules.users.tables import session_revocations, sessions

s = sessions.c

_START = insert(sessions).values({column.name: bindparam(column.name) for column in sessions.columns})
_OF_USER = select(sessions).where(s.user_id == bindparam("user_id")).order_by(s.last_used_at.desc(), s.id)
_FIND = select(sessions).where(s.user_id == bindparam("user_id"), s.id == bindparam("session_id"))
_COUNT = select(func.count()).where(s.user_id == bindparam("user_id"))
_LEAST_USED = (
    select(s.id).where(s.user_id == bindparam("user_id")).order_by(s.last_used_at).limit(bindparam("limit"))
)
_ROTATE = (
    update(sessions)
    .where(s.user_id == bindparam("of_user"), s.id == bindparam("session_id"))
    .values(
        refresh_digest=bindparam("new_digest"),
        previous_digest=bindparam("old_digest"),
        rotated_at=bindparam("now"),
        last_used_at=bindparam("now"),
        address=bindparam("new_address"),
        expires_at=bindparam("new_expires_at"),
    )
)
_END = delete(sessions).where(s.user_id == bindparam("user_id"), s.id == bindparam("session_id"))
_EXPIRED = (
    select(s.user_id, s.id)
    .where(s.expires_at <= bindparam("now"))
    .order_by(s.expires_at)
    .limit(bindparam("limit"))
)

_remember = upsert(session_revocations).values(
    user_id=bindparam("user_id"), session_id=bindparam("session_id"), revoked_at=bindparam("revoked_at")
)
_REMEMBER = _remember.on_conflict_do_nothing(index_elements=["user_id", "session_id"])
_REVOKED_SINCE = select(session_revocations).where(session_revocations.c.revoked_at > bindparam("since"))
_FORGET = delete(session_revocations).where(session_revocations.c.revoked_at <= bindparam("before"))


@dataclass(frozen=True, slots=True)
class RotatingSession:
    """A session with what its refresh tokens are compared to."""

    session: Session
    refresh_digest: str
    previous_digest: str | None
    rotated_at: str


async def start(tx: Transaction, session: Session, refresh_digest: str) -> None:
    await tx.run(
        _START,
        {
            "user_id": session.user_id,
            "id": session.id,
            "device": session.device,
            "address": session.address,
            "created_at": session.created_at,
            "last_used_at": session.last_used_at,
            "expires_at": session.expires_at,
            "refresh_digest": refresh_digest,
            "previous_digest": None,
            "rotated_at": session.created_at,
        },
    )


async def of_user(tx: Transaction, user_id: str) -> list[Session]:
    """The last used first."""
    return [_session(row) for row in await tx.all(_OF_USER, {"user_id": user_id})]


async def find(tx: Transaction, user_id: str, session_id: str) -> RotatingSession | None:
    row = await tx.one(_FIND, {"user_id": user_id, "session_id": session_id})
    if row is None:
        return None
    return RotatingSession(_session(row), row["refresh_digest"], row["previous_digest"], row["rotated_at"])


async def over_limit(tx: Transaction, user_id: str, limit: int) -> list[str]:
    """The ids of the least used sessions, as many as there are past `limit`."""
    excess = await tx.value(_COUNT, {"user_id": user_id}) - limit
    if excess <= 0:
        return []
    return [row["id"] for row in await tx.all(_LEAST_USED, {"user_id": user_id, "limit": excess})]


async def rotate(
    tx: Transaction, found: RotatingSession, *, digest: str, now: str, expires_at: str, address: str
) -> None:
    await tx.run(
        _ROTATE,
        {
            "of_user": found.session.user_id,
            "session_id": found.session.id,
            "new_digest": digest,
            "old_digest": found.refresh_digest,
            "now": now,
            "new_expires_at": expires_at,
            "new_address": address,
        },
    )


async def end(tx: Transaction, user_id: str, session_id: str, now: str) -> bool:
    """Delete a session and remember that it ended; False when it had ended before."""
    key = {"user_id": user_id, "session_id": session_id}
    if await tx.run(_END, key) == 0:
        return False
    await tx.run(_REMEMBER, {**key, "revoked_at": now})
    return True


async def expired(tx: Transaction, now: str, limit: int) -> list[tuple[str, str]]:
    """(user id, session id) of sessions of the whole shard that nobody has used for too long."""
    return [(row["user_id"], row["id"]) for row in await tx.all(_EXPIRED, {"now": now, "limit": limit})]


async def ended_since(tx: Transaction, since: str) -> list[EndedSession]:
    rows = await tx.all(_REVOKED_SINCE, {"since": since})
    return [EndedSession(row["user_id"], row["session_id"], row["revoked_at"]) for row in rows]


async def forget_revocations(tx: Transaction, before: str) -> int:
    return await tx.run(_FORGET, {"before": before})


def _session(row: Row) -> Session:
    return Session(
        user_id=row["user_id"],
        id=row["id"],
        device=row["device"],
        address=row["address"],
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
        expires_at=row["expires_at"],
    )
