"""SQL of accounts and of the e-mail directory."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from banyan.infra.db.errors import UniqueViolation
from banyan.infra.db.tables import batch_of_keys
from banyan.infra.db.transaction import Row, Transaction
from banyan.infra.streams.log import as_json
from banyan.modules.users.contract import Account, EmailTaken, UserNotFound
from banyan.modules.users.model import Credentials, email_key_of, search_text
from banyan.modules.users.tables import emails, outgoing_mails, sessions, users

_CLAIM_EMAIL = insert(emails).values(email_key=bindparam("email_key"), user_id=bindparam("user_id"))
_RELEASE_EMAIL = delete(emails).where(
    emails.c.email_key == bindparam("email_key"), emails.c.user_id == bindparam("user_id")
)
_OWNER_OF_EMAIL = select(emails.c.user_id).where(emails.c.email_key == bindparam("email_key"))

_CREATE = insert(users).values({column.name: bindparam(column.name) for column in users.columns})
_FIND = select(users).where(users.c.user_id == bindparam("user_id"))
_wanted = batch_of_keys("wanted", users.c.user_id)
_EXISTING = select(users.c.user_id).where(users.c.user_id.in_(select(_wanted.c.user_id)))
_mine = users.c.user_id == bindparam("of_user")
_CHANGE = (
    update(users)
    .where(_mine)
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in (
                "name",
                "email",
                "email_verified",
                "role",
                "locale",
                "time_zone",
                "avatar_url",
                "search_text",
                "updated_at",
                "disabled_at",
            )
        }
    )
)
_SET_PASSWORD = update(users).where(_mine).values(password_hash=bindparam("new_hash"))
_newest_first = select(users).order_by(users.c.user_id.desc()).limit(bindparam("limit"))
_LIST = _newest_first.where(users.c.user_id < bindparam("before"))
_SEARCH = _LIST.where(users.c.search_text.like(bindparam("pattern"), escape="\\"))
# Everything of a user but the directory's entry and the events, which have steps of their own.
_ERASE = [
    delete(table).where(table.c.user_id == bindparam("user_id"))
    for table in (sessions, outgoing_mails, users)
]

# After every id.
END = "~"


async def claim_email(tx: Transaction, email: str, user_id: str) -> None:
    """Enter an address into the directory. Raises EmailTaken."""
    try:
        await tx.run(_CLAIM_EMAIL, {"email_key": email_key_of(email), "user_id": user_id})
    except UniqueViolation as error:
        raise EmailTaken() from error


async def release_email(tx: Transaction, email: str, user_id: str) -> None:
    await tx.run(_RELEASE_EMAIL, {"email_key": email_key_of(email), "user_id": user_id})


async def owner_of_email(tx: Transaction, email_key: str) -> str | None:
    return await tx.value(_OWNER_OF_EMAIL, {"email_key": email_key})


async def create(tx: Transaction, account: Account, password_hash: str) -> None:
    await tx.run(
        _CREATE,
        {
            **_columns(account),
            "user_id": account.id,
            "created_at": account.created_at,
            "password_hash": password_hash,
        },
    )


async def existing(tx: Transaction, user_ids: Sequence[str]) -> set[str]:
    rows = await tx.all(_EXISTING, {"wanted": as_json([[user_id] for user_id in user_ids])})
    return {row["user_id"] for row in rows}


async def find(tx: Transaction, user_id: str) -> Account | None:
    row = await tx.one(_FIND, {"user_id": user_id})
    return _account(row) if row is not None else None


async def get(tx: Transaction, user_id: str) -> Account:
    """Raises UserNotFound."""
    account = await find(tx, user_id)
    if account is None:
        raise UserNotFound()
    return account


async def credentials(tx: Transaction, user_id: str) -> Credentials | None:
    row = await tx.one(_FIND, {"user_id": user_id})
    return Credentials(_account(row), row["password_hash"]) if row is not None else None


async def change(tx: Transaction, account: Account) -> None:
    """Store the account as it is now; its id, its time of creation and its password stay."""
    await tx.run(
        _CHANGE,
        {"of_user": account.id, **{f"new_{name}": value for name, value in _columns(account).items()}},
    )


async def set_password_hash(tx: Transaction, user_id: str, password_hash: str) -> None:
    await tx.run(_SET_PASSWORD, {"of_user": user_id, "new_hash": password_hash})


async def listed(tx: Transaction, *, query: str | None, before: str | None, limit: int) -> list[Account]:
    """Newest first, older than the account `before`; with `query`, those that hold it in name or address."""
    values: dict[str, Any] = {"before": before or END, "limit": limit}
    if query is None:
        return [_account(row) for row in await tx.all(_LIST, values)]
    literal = search_text(query, "").rstrip("\n")
    for special in ("\\", "%", "_"):
        literal = literal.replace(special, "\\" + special)
    return [_account(row) for row in await tx.all(_SEARCH, {**values, "pattern": f"%{literal}%"})]


async def erase(tx: Transaction, user_id: str) -> None:
    """Delete the account and what hangs on it."""
    for statement in _ERASE:
        await tx.run(statement, {"user_id": user_id})


def _columns(account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "email": account.email,
        "email_verified": account.email_verified,
        "role": account.role,
        "locale": account.locale,
        "time_zone": account.time_zone,
        "avatar_url": account.avatar_url,
        "search_text": search_text(account.name, account.email),
        "updated_at": account.updated_at,
        "disabled_at": account.disabled_at,
    }


def _account(row: Row) -> Account:
    return Account(
        id=row["user_id"],
        name=row["name"],
        email=row["email"],
        email_verified=bool(row["email_verified"]),
        role=row["role"],
        locale=row["locale"],
        time_zone=row["time_zone"],
        avatar_url=row["avatar_url"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        disabled_at=row["disabled_at"],
    )
