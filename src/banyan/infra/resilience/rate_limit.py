"""Rate limits: so many in a time, with a burst, for each key.

One algorithm behind one Protocol: GCRA (the generic cell rate algorithm, ITU-T I.371, annex A; a leaky bucket that needs
one number a key). In memory here; other stores pass the same contract suite.
"""

import heapq
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple, Protocol, Self

from banyan.kernel.errors import RateLimited

_UNITS = {
    "s": 1,
    "second": 1,
    "seconds": 1,
    "m": 60,
    "minute": 60,
    "minutes": 60,
    "h": 3600,
    "hour": 3600,
    "hours": 3600,
    "d": 86_400,
    "day": 86_400,
    "days": 86_400,
}
_TEXT = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{0,6})\s*([a-z]+)(?:\s+burst\s+(\d{1,9}))?\s*\Z", re.IGNORECASE)
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`limit` every `per` on average, and at most `burst` at one moment (as many as `limit`, unless said).

    After a burst the room comes back evenly: one every `per / limit`.
    """

    limit: int
    per: timedelta
    burst: int = 0
    interval_ns: int = field(init=False, repr=False, compare=False)
    """Nanoseconds until room for one more is back; rounded up, so never faster than said."""

    def __post_init__(self) -> None:
        if self.burst == 0:
            object.__setattr__(self, "burst", self.limit)
        if self.limit < 1 or self.burst < 1 or self.per <= timedelta(0):
            raise ValueError("a rate needs a limit, a time and a burst above zero")
        per_ns = self.per // timedelta(microseconds=1) * 1000
        object.__setattr__(self, "interval_ns", -(-per_ns // self.limit))

    @classmethod
    def parse(cls, text: str) -> Self:
        """`10/minute`, `5/10s`, `600/hour burst 50`. Raises ValueError with a sentence for the operator."""
        match = _TEXT.match(text)
        unit = _UNITS.get(match[3].lower()) if match else None
        if match is None or unit is None:
            raise ValueError(f"not a rate: {text!r}; write it like 10/minute, 5/10s or 600/hour burst 50")
        limit, count, burst = int(match[1]), int(match[2] or 1), int(match[4] or match[1])
        if limit < 1 or count < 1 or burst < 1:
            raise ValueError(f"a rate of nothing: {text!r}")
        return cls(limit, timedelta(seconds=count * unit), burst)

    def __str__(self) -> str:
        burst = "" if self.burst == self.limit else f" burst {self.burst}"
        return f"{self.limit}/{self.per / timedelta(seconds=1):g}s{burst}"


class Decision(NamedTuple):
    """The answer, and what the `RateLimit` and `Retry-After` headers say.

    remaining: how many more would be allowed now. reset_after_seconds: until the whole burst is back.
    retry_after_seconds: until the same cost would be allowed; 0 when it was.
    """

    allowed: bool
    remaining: int
    reset_after_seconds: float
    retry_after_seconds: float


def refused(policy: str, rate: Rate, decision: Decision) -> RateLimited:
    """The error of a refusal. policy: what is limited, as the `RateLimit` header names it: `user`, `address`, …"""
    window_seconds = max(1, round(rate.per / timedelta(seconds=1)))
    return RateLimited(
        retry_after_seconds=decision.retry_after_seconds, policy=(policy, rate.limit, window_seconds)
    )


class RateLimiter(Protocol):
    async def take(self, key: str, rate: Rate, cost: int = 1) -> Decision:
        """Take `cost` from the key's room if it is there; a refusal takes nothing.

        Within any time t no key is allowed more than burst + t × limit / per. `cost=0` only looks.
        The key names what is limited and by which rule (`login:address:…`): one key is always used with one rate.
        Raises ValueError when the cost is negative or over the burst (it could never be allowed).
        """
        ...

    def take_at_once(self, key: str, rate: Rate) -> bool:
        """`take` of one without waiting. False when that is not to be had here and now; nothing is taken then, and only `take`
        can say whether it is refused."""
        ...

    async def forget(self, key: str) -> None:
        """Give the key its whole burst back, as after the right password. Unknown keys are fine."""
        ...


class MemoryRateLimiter:
    """RateLimiter for one process. Time is monotonic: setting the machine's clock changes nothing.

    At most `max_keys` are remembered. A key whose burst is whole again is forgotten; when all are in use, the one with
    the most room left goes first, so that a flood of fresh keys pushes out itself and not the key that it tries to free.
    """

    def __init__(
        self, *, max_keys: int = 100_000, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._max_keys = max_keys
        self._monotonic_ns = monotonic_ns
        # key → the moment at which its burst is whole again (the "theoretical arrival time").
        self._full_at: dict[str, int] = {}
        # The same, by time: exactly one entry a key, brought up to date only when it comes to the front.
        self._order: list[tuple[int, str]] = []

    async def take(self, key: str, rate: Rate, cost: int = 1) -> Decision:
        return self.take_now(key, rate, cost)

    def take_at_once(self, key: str, rate: Rate) -> bool:
        return self.take_now(key, rate).allowed

    async def forget(self, key: str) -> None:
        self.forget_now(key)

    def forget_now(self, key: str) -> None:
        # The key stays until its entry in `_order` is due: the two must hold the same keys.
        if key in self._full_at:
            self._full_at[key] = self._monotonic_ns()

    def full_in_ns(self, key: str) -> int:
        """Nanoseconds until the key's burst is whole; 0 when it is."""
        now = self._monotonic_ns()
        return max(0, self._full_at.get(key, now) - now)

    def learn(self, key: str, full_in_ns: int) -> None:
        """Take over what a better informed limiter knows of the key."""
        now = self._monotonic_ns()
        if full_in_ns > 0 or key in self._full_at:
            self._store(key, now + full_in_ns, now)

    def take_now(self, key: str, rate: Rate, cost: int = 1) -> Decision:
        """`take` without a coroutine, for callers that know this adapter."""
        if not 0 <= cost <= rate.burst:
            raise ValueError("the cost must be between 0 and the burst")
        now = self._monotonic_ns()
        interval = rate.interval_ns
        room = interval * rate.burst
        before = max(self._full_at.get(key, now), now)
        after = before + cost * interval
        allowed = after - now <= room
        if allowed and cost:
            self._store(key, after, now)
        full_at = after if allowed else before
        return Decision(
            allowed=allowed,
            remaining=max(0, (room - (full_at - now)) // interval),
            reset_after_seconds=(full_at - now) / _SECOND_NS,
            retry_after_seconds=0.0 if allowed else (after - now - room) / _SECOND_NS,
        )

    def __len__(self) -> int:
        return len(self._full_at)

    def _store(self, key: str, full_at: int, now: int) -> None:
        if key not in self._full_at:
            self._drop_whole(now, at_most=2)
            if len(self._full_at) >= self._max_keys:
                self._drop_nearest()
            heapq.heappush(self._order, (full_at, key))
        self._full_at[key] = full_at

    def _drop_whole(self, now: int, at_most: int) -> None:
        # Two for each new key: the backlog shrinks, and no single request pays for all of it.
        for _ in range(at_most):
            if not self._order or self._order[0][0] > now:
                return
            self._drop_nearest(only_until=now)

    def _drop_nearest(self, only_until: int | None = None) -> None:
        """Forget the key that is whole first, bringing outdated entries up to date on the way."""
        while self._order:
            entered, key = self._order[0]
            full_at = self._full_at[key]
            if full_at > entered:
                heapq.heapreplace(self._order, (full_at, key))
                if only_until is not None:
                    return
                continue
            heapq.heappop(self._order)
            del self._full_at[key]
            return
