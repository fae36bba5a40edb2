"""Password hashes: argon2id, exactly one hash of the same cost on each path, in threads of their own."""

import secrets
from contextlib import suppress
from dataclasses import dataclass

from argon2 import PasswordHasher as Argon2
from argon2.exceptions import Argon2Error, InvalidHashError

from banyan.infra.auth.hashing_pool import HashingPool
from banyan.infra.auth.password_policy import MAX_PASSWORD_CHARS, normalized

MIN_MEMORY_KIB = 19_456
MIN_PASSES = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """ok: the password is right. rehash: then, a new hash to store, when the stored one was made with other costs."""

    ok: bool
    rehash: str | None = None


class PasswordHasher:
    """Hashes and verifies passwords with argon2id (RFC 9106), never fewer and never more than once on a refusal.

    Who asks about an unknown account (`verify(password, None)`), an account whose hash is unusable, or with a password
    that nobody can have (too long, not text) waits for one hash of the present cost, as with a wrong password: the time
    does not tell whether an account exists. After the costs were raised, an account that has not logged in since still
    has a hash of the old cost; its refusals are that much quicker until its owner logs in once.
    """

    def __init__(
        self,
        pool: HashingPool,
        *,
        memory_kib: int = MIN_MEMORY_KIB,
        passes: int = MIN_PASSES,
        parallelism: int = 1,
    ) -> None:
        """Raises ValueError for costs under the floor of RELIABILITY.md (memory 19,456 KiB, 2 passes; OWASP's minimum)."""
        if memory_kib < MIN_MEMORY_KIB or passes < MIN_PASSES or parallelism < 1:
            raise ValueError(f"argon2id needs at least {MIN_MEMORY_KIB} KiB and {MIN_PASSES} passes")
        self.pool = pool
        self._argon2 = Argon2(time_cost=passes, memory_cost=memory_kib, parallelism=parallelism)

    async def hash(self, password: str) -> str:
        """The PHC string of `password` with a fresh salt.

        The password is expected to have passed `check_password`. Raises PasswordQueueFull when the queue is full, ValueError
        when the password is not text that can be encoded.
        """
        secret = normalized(password).encode("utf-8")
        return await self.pool.run(lambda: self._argon2.hash(secret))

    async def verify(self, password: str, stored: str | None) -> Verdict:
        """Whether `password` is the one whose hash is `stored`; None stands for an account that does not exist.

        Raises PasswordQueueFull when the queue is full: nothing was verified then.
        """
        secret: bytes | None = None
        # Too long was never accepted, and normalising it could be made costly.
        if len(password) <= MAX_PASSWORD_CHARS:
            # A lone surrogate cannot be encoded, and no stored password has one.
            with suppress(UnicodeEncodeError):
                secret = normalized(password).encode("utf-8")
        return await self.pool.run(lambda: self._verify(secret, stored))

    def _verify(self, secret: bytes | None, stored: str | None) -> Verdict:
        if secret is None or stored is None:
            return self._burn()
        try:
            self._argon2.verify(stored, secret)
        except (InvalidHashError, UnicodeError):
            return self._burn()
        except Argon2Error:
            # A mismatch, after one hash. A damaged hash of the right prefix ends here too, quicker; no request makes one.
            return Verdict(ok=False)
        if self._argon2.check_needs_rehash(stored):
            return Verdict(ok=True, rehash=self._argon2.hash(secret))
        return Verdict(ok=True)

    def _burn(self) -> Verdict:
        self._argon2.hash(secrets.token_bytes(16))
        return Verdict(ok=False)
