"""SQL of mails on their way out, and of asked-for password resets."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, insert, or_, select, update

from banyan.infra.db.transaction import Transaction
from banyan.infra.mail.mail import Mail
from banyan.kernel.ids import new_id
from banyan.modules.users.tables import outgoing_mails, reset_requests

m = outgoing_mails.c
_ENQUEUE = insert(outgoing_mails).values(
    {column.name: bindparam(column.name) for column in outgoing_mails.columns}
)
_DUE = (
    select(outgoing_mails)
    .where(m.state == "queued", m.next_try_at <= bindparam("now"))
    .order_by(m.next_try_at)
    .limit(bindparam("limit"))
)
_this = (m.user_id == bindparam("of_user")) & (m.id == bindparam("mail_id"))
_LEASE = (
    update(outgoing_mails).where(_this).values(attempts=m.attempts + 1, next_try_at=bindparam("lease_until"))
)
_POSTPONE = update(outgoing_mails).where(_this).values(next_try_at=bindparam("at"), error=bindparam("reason"))
_GIVE_BACK = update(outgoing_mails).where(_this).values(attempts=m.attempts - 1, next_try_at=bindparam("at"))
_FINISH = (
    update(outgoing_mails)
    .where(_this)
    .values(
        state=bindparam("new_state"),
        text="",
        html=None,
        next_try_at=bindparam("at"),
        error=bindparam("reason"),
    )
)
_NEXT = select(func.min(m.next_try_at)).where(m.state == "queued")
# By name and not "all but queued", for which PostgreSQL would read a month's mails each time.
_FORGET_OLD = delete(outgoing_mails).where(
    or_(m.state == "sent", m.state == "failed"), m.next_try_at <= bindparam("before")
)

_REQUEST_RESET = insert(reset_requests).values(id=bindparam("id"), email_key=bindparam("email_key"))
_RESET_REQUESTS = select(reset_requests).order_by(reset_requests.c.id).limit(bindparam("limit"))
_SETTLE_RESET = delete(reset_requests).where(reset_requests.c.id == bindparam("request_id"))


@dataclass(frozen=True, slots=True)
class QueuedMail:
    """attempts: how often it was tried, this time included."""

    user_id: str
    mail: Mail
    attempts: int


@dataclass(frozen=True, slots=True)
class ResetRequest:
    id: str
    email_key: str


async def enqueue(tx: Transaction, user_id: str, mail: Mail, now: str) -> None:
    await tx.run(
        _ENQUEUE,
        {
            "user_id": user_id,
            "id": mail.id,
            "to_address": mail.to,
            "subject": mail.subject,
            "text": mail.text,
            "html": mail.html,
            "state": "queued",
            "attempts": 0,
            "next_try_at": now,
            "error": None,
        },
    )


async def lease_due(tx: Transaction, *, now: str, lease_until: str, limit: int) -> list[QueuedMail]:
    """Take the mails that are due; until `lease_until` nobody else gets them."""
    rows = await tx.all(_DUE, {"now": now, "limit": limit})
    await tx.run_many(
        _LEASE, [{"of_user": r["user_id"], "mail_id": r["id"], "lease_until": lease_until} for r in rows]
    )
    return [
        QueuedMail(
            r["user_id"],
            Mail(to=r["to_address"], subject=r["subject"], text=r["text"], html=r["html"], id=r["id"]),
            r["attempts"] + 1,
        )
        for r in rows
    ]


async def finish(
    tx: Transaction, done: Sequence[QueuedMail], state: str, now: str, error: str | None = None
) -> None:
    """`sent` or `failed`: what the mail said is wiped, it may hold a link that opens an account."""
    await tx.run_many(
        _FINISH,
        [
            {"of_user": d.user_id, "mail_id": d.mail.id, "new_state": state, "at": now, "reason": error}
            for d in done
        ],
    )


async def postpone(tx: Transaction, queued: QueuedMail, until: str, error: str) -> None:
    await tx.run(
        _POSTPONE, {"of_user": queued.user_id, "mail_id": queued.mail.id, "at": until, "reason": error}
    )


async def give_back(tx: Transaction, leased: Sequence[QueuedMail], now: str) -> None:
    """End a lease as if it had not been: due at once, and no attempt used up."""
    await tx.run_many(
        _GIVE_BACK, [{"of_user": one.user_id, "mail_id": one.mail.id, "at": now} for one in leased]
    )


async def next_due(tx: Transaction) -> str | None:
    """When the next mail of this shard is due."""
    return await tx.value(_NEXT)


async def forget_old(tx: Transaction, before: str) -> int:
    return await tx.run(_FORGET_OLD, {"before": before})


async def request_reset(tx: Transaction, email_key: str) -> str:
    """Returns the request's id."""
    made = new_id()
    await tx.run(_REQUEST_RESET, {"id": made, "email_key": email_key})
    return made


async def reset_requested(tx: Transaction, limit: int) -> list[ResetRequest]:
    return [
        ResetRequest(row["id"], row["email_key"]) for row in await tx.all(_RESET_REQUESTS, {"limit": limit})
    ]


async def settle_reset(tx: Transaction, request_id: str) -> bool:
    """False when another process was quicker."""
    return await tx.run(_SETTLE_RESET, {"request_id": request_id}) == 1
