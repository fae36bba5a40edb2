"""SQL of signing keys."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select

from banyan.infra.auth.keys import KeyState
from banyan.infra.db.tables import upsert
from banyan.infra.db.transaction import Transaction
from banyan.modules.users.tables import signing_keys

_ALL = select(signing_keys).order_by(signing_keys.c.created_at, signing_keys.c.kid)
_store = upsert(signing_keys).values({column.name: bindparam(column.name) for column in signing_keys.columns})
_STORE = _store.on_conflict_do_update(
    index_elements=["kid"],
    set_={"state": _store.excluded.state, "verify_until": _store.excluded.verify_until},
)
_DELETE = delete(signing_keys).where(signing_keys.c.kid == bindparam("kid"))


@dataclass(frozen=True, slots=True)
class StoredKey:
    kid: str
    state: KeyState
    sealed: str
    verify_until: int | None
    created_at: str


async def all_keys(tx: Transaction) -> list[StoredKey]:
    rows = await tx.all(_ALL)
    return [StoredKey(r["kid"], r["state"], r["sealed"], r["verify_until"], r["created_at"]) for r in rows]


async def replace_all(tx: Transaction, former: Sequence[StoredKey], keys: Sequence[StoredKey]) -> None:
    """Make the table hold `keys`. A key that stays keeps its seal and its time of creation."""
    kept = {key.kid for key in keys}
    await tx.run_many(_DELETE, [{"kid": key.kid} for key in former if key.kid not in kept])
    await tx.run_many(
        _STORE,
        [
            {
                "kid": key.kid,
                "state": key.state,
                "sealed": key.sealed,
                "verify_until": key.verify_until,
                "created_at": key.created_at,
            }
            for key in keys
        ],
    )
