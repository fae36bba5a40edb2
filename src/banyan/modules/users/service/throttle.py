"""Throttling of guesses: by network address, and by account.

A failed login counts on its account, known or not; a device that is known to the account counts on its own, so that
whoever guesses from elsewhere cannot lock the owner out. When the limiter does not answer, nobody passes.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import IPv6Address, ip_address

from banyan.infra.auth.hashing_pool import PasswordQueueFull
from banyan.infra.auth.passwords import Verdict
from banyan.infra.resilience.rate_limit import Decision, Rate, RateLimiter, refused
from banyan.kernel.errors import BanyanError, RateLimited, Unavailable

# Mails that anybody can cause to one address; more would be a nuisance to its owner.
MAIL_RATE = Rate(10, timedelta(hours=1))

# A hash takes some 25 ms, and those of one account are computed one after another.
MOST_IN_TURN = 32


class Throttle:
    """register, login_address: by network address. login_account: failed guesses at one account's password."""

    def __init__(
        self, limiter: RateLimiter, *, register: Rate, login_address: Rate, login_account: Rate
    ) -> None:
        self._limiter = limiter
        self._register = register
        self._login_address = login_address
        self._login_account = login_account
        self._turns = _Turns()

    async def admit_registration(self, address: str) -> None:
        """Raises RateLimited."""
        await self._admit(f"register:{_network(address)}", self._register)

    async def admit_login(self, address: str) -> None:
        """One attempt to log in, to ask for a reset or to use one. Raises RateLimited."""
        await self._admit(f"login-address:{_network(address)}", self._login_address)

    async def admit_mail(self, kind: str, whom: str) -> None:
        """One mail of this kind to an address or account. Raises RateLimited."""
        await self._admit(f"mail-{kind}:{_short(whom)}", MAIL_RATE)

    async def guess(self, whom: str, verify: Callable[[], Awaitable[Verdict]]) -> Verdict:
        """Let one password be verified, if `whom` has guesses left. Raises RateLimited without verifying.

        A wrong one costs a guess, the right one gives all of them back. Guesses at the same account wait for each
        other: many at once must not all pass before the first has been counted.
        """
        key = f"guess:{_short(whom)}"
        async with self._turns.of(key):
            left = await self._asked(self._limiter.take(key, self._login_account, cost=0))
            if left.remaining < 1:
                raise RateLimited(
                    "Too many wrong passwords; wait a little.",
                    retry_after_seconds=_until_one(left, self._login_account),
                )
            verdict = await verify()
            if verdict.ok:
                await self._asked(self._limiter.forget(key))
            else:
                await self._asked(self._limiter.take(key, self._login_account))
            return verdict

    async def _admit(self, key: str, rate: Rate) -> None:
        decision = await self._asked(self._limiter.take(key, rate))
        if not decision.allowed:
            raise refused(key.partition(":")[0], rate, decision)

    async def _asked(self, answer: Awaitable) -> Decision:  # pyright: ignore[reportMissingTypeArgument]
        try:
            return await answer
        except BanyanError:
            raise
        except Exception as error:
            raise Unavailable("Logins cannot be counted at the moment, so none is let in.") from error


class _Turns:
    """One at a time for each key; keys that nobody waits for are forgotten.

    Raises PasswordQueueFull for one more than could be served within about a second: an early no is worth more than a
    late yes.
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, key: str) -> AsyncIterator[None]:
        lock, users = self._held.get(key, (asyncio.Lock(), 0))
        if users >= MOST_IN_TURN:
            raise PasswordQueueFull()
        self._held[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._held.pop(key)
            if users > 1:
                self._held[key] = (lock, users - 1)


def _network(address: str) -> str:
    """The address, or its /64: whoever has one IPv6 address has a whole network of them."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _until_one(decision: Decision, rate: Rate) -> float:
    """Seconds until one more fits into a bucket that is used up."""
    return max(0.0, decision.reset_after_seconds - (rate.burst - 1) * rate.interval_ns / 1e9)
