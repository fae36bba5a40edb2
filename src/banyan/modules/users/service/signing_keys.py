"""The signing keys of all processes: stored sealed, loaded into each process's ring.

See infra/auth/keys.py for the states of a key.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from banyan.infra.auth.keys import KeyRing, SigningKey, rotate
from banyan.infra.auth.secret_box import SecretBox
from banyan.infra.auth.token_cache import VerifiedTokenCache
from banyan.infra.auth.tokens import MAX_LEEWAY
from banyan.infra.db.shards import GLOBAL, Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.loops import Loop, wait_for
from banyan.infra.streams.log import EventLog
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.clock import Clock, now_text, to_text
from banyan.modules.users.contract import SigningKeyInfo
from banyan.modules.users.store import keys as store
from banyan.modules.users.store.keys import StoredKey

log = get_logger(__name__)

RELOAD_SECONDS = 10.0
# A process that has not heard of a rotation yet signs with the former key until its next look.
REACHES_EVERYBODY = timedelta(seconds=2 * RELOAD_SECONDS)


class SigningKeys:
    def __init__(
        self,
        shards: Shards,
        log_: EventLog,
        clock: Clock,
        *,
        ring: KeyRing,
        box: SecretBox,
        token_cache: VerifiedTokenCache,
        token_lifetime: timedelta,
    ) -> None:
        self._shards = shards
        self._log = log_
        self._clock = clock
        self._ring = ring
        self._box = box
        self._token_cache = token_cache
        self._verified_for = (token_lifetime + MAX_LEEWAY + REACHES_EVERYBODY).total_seconds()

    async def load(self) -> None:
        """Fill this process's ring; the very first process makes the keys. Raises WrongSecret."""
        stored = await self._shards.read(GLOBAL, store.all_keys)
        if not stored or len(self._needed(stored)) < len(stored):
            self._use(await self._shards.transact(GLOBAL, self._kept))
        else:
            self._use(self._unsealed(stored))

    async def listed(self) -> list[SigningKeyInfo]:
        order = {"active": 0, "next": 1, "retired": 2}
        stored = await self._shards.read(GLOBAL, store.all_keys)
        return [_info(key) for key in sorted(stored, key=lambda key: order[key.state])]

    async def rotate(self, *, withdraw: bool = False) -> list[SigningKeyInfo]:
        """See UserAdministration.rotate_keys."""
        self._use(await self._shards.transact(GLOBAL, self._rotate, withdraw))
        return await self.listed()

    def published(self) -> tuple[str, dict[str, Any]]:
        """This moment, as text, and the JWKS of it."""
        now = self._clock.now()
        return to_text(now), self._ring.jwks(now.timestamp())

    def loop(self) -> Loop:
        """Takes over what other processes changed, and drops retired keys whose last token has expired."""

        async def run(stop: asyncio.Event) -> None:
            while not await wait_for(stop, RELOAD_SECONDS):
                await self.load()

        return Loop("signing-keys", run)

    async def _kept(self, tx: Transaction) -> list[SigningKey]:
        """The keys that are still needed; made here when there are none. Two first processes agree: one of them gets hold
        of the stream first, and the other finds its keys."""
        await self._log.hold(tx, GLOBAL)
        stored = await store.all_keys(tx)
        if not stored:
            return await self._rotate(tx, withdraw=False)
        needed = self._needed(stored)
        if len(needed) < len(stored):
            await store.replace_all(tx, stored, needed)
        return self._unsealed(needed)

    async def _rotate(self, tx: Transaction, withdraw: bool) -> list[SigningKey]:
        await self._log.hold(tx, GLOBAL)
        stored = await store.all_keys(tx)
        former = [] if withdraw else self._unsealed(stored)
        keys = rotate(former, self._now(), self._verified_for)
        by_kid = {key.kid: key for key in stored}
        made_at = now_text(self._clock)
        await store.replace_all(tx, stored, [self._sealed(key, by_kid.get(key.kid), made_at) for key in keys])
        return keys

    def _sealed(self, key: SigningKey, stored: StoredKey | None, made_at: str) -> StoredKey:
        sealed = stored.sealed if stored else key.seal(self._box)
        return StoredKey(
            key.kid, key.state, sealed, key.verify_until, stored.created_at if stored else made_at
        )

    def _unsealed(self, stored: Sequence[StoredKey]) -> list[SigningKey]:
        return [
            SigningKey.unseal(key.sealed, key.kid, key.state, self._box, key.verify_until) for key in stored
        ]

    def _use(self, keys: list[SigningKey]) -> None:
        gone = {key.kid for key in self._ring.keys} - {key.kid for key in keys}
        self._ring.replace(keys)
        if gone:
            self._token_cache.clear()
            log.info("signing_keys_dropped", kids=sorted(gone))

    def _needed(self, stored: Sequence[StoredKey]) -> Sequence[StoredKey]:
        now = self._now()
        return [key for key in stored if key.verify_until is None or key.verify_until > now]

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _info(key: StoredKey) -> SigningKeyInfo:
    until = None if key.verify_until is None else to_text(datetime.fromtimestamp(key.verify_until, UTC))
    return SigningKeyInfo(key.kid, key.state, key.created_at, until)
