"""Circuit breaker: a dependency that does not answer is left alone, and its callers learn so at once.

    closed ── failures in a row, or a share of the calls ──▶ open ── pause is over ──▶ half-open: one probe
      ▲                                                        ▲                              │
      └────────────── the probe succeeds ──────────────────────┼──────────── it fails ────────┘

Source: M. Nygard, "Release It!", second edition, "Circuit Breaker". Drawn in docs/state_machines.md.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from banyan.kernel.errors import Unavailable

Value = TypeVar("Value")
State = Literal["closed", "open", "half_open"]

# What a dependency that is ill does: it cannot be reached, it does not answer in time, or it says so itself.
FAILURES: tuple[type[BaseException], ...] = (OSError, TimeoutError, Unavailable)


class CircuitOpen(Unavailable):
    """Refused without asking; `retry_after_seconds` is when the dependency is tried again."""


class Breaker:
    """Stands in front of one dependency of one process. For one event loop: nothing is locked.

    most_in_a_row: so many failures without a success between them open it.
    most_share: so does this share of the calls that ended in the present window, once there are `least_calls`.
    shortest_pause, longest_pause: seconds until a probe; the pause grows with each probe that fails, and is drawn at
    random, so that the replicas do not all knock at the same moment.
    patience_seconds: a call that is cancelled after so long has failed: its deadline is over. One that is cancelled earlier
    says nothing, so that callers in a hurry cannot open it.
    A probe that has not come back after the pause is given up, and another one is let through.
    """

    def __init__(
        self,
        name: str,
        *,
        most_in_a_row: int = 5,
        most_share: float = 0.5,
        least_calls: int = 20,
        window_seconds: float = 10.0,
        shortest_pause: float = 1.0,
        longest_pause: float = 5.0,
        patience_seconds: float = 0.5,
        monotonic: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self.name = name
        self._most_in_a_row = most_in_a_row
        self._most_share = most_share
        self._least_calls = least_calls
        self._window_seconds = window_seconds
        self._shortest_pause = shortest_pause
        self._longest_pause = longest_pause
        self._patience_seconds = patience_seconds
        self._monotonic = monotonic
        self._chance = chance or random.Random()
        self._is_open = False
        self._in_a_row = 0
        self._window_ends = 0.0
        self._calls = self._failures = 0
        self._probe_at = 0.0
        self._probes = 0
        # Tickets of calls: what began before the last change of state says nothing about the present one.
        self._era = 0
        # For metrics.
        self.times_opened = 0
        self.refused = 0

    @property
    def state(self) -> State:
        if not self._is_open:
            return "closed"
        return "half_open" if self._monotonic() >= self._probe_at else "open"

    async def run(
        self,
        call: Callable[[], Awaitable[Value]],
        failures: tuple[type[BaseException], ...] = FAILURES,
    ) -> Value:
        """What `call` returns or raises. Raises CircuitOpen, within microseconds and without calling, while open.

        failures: the errors that speak against the dependency; with any other one it has answered.
        """
        ticket = self.admit()
        began = self._monotonic()
        try:
            value = await call()
        except asyncio.CancelledError:
            if self._monotonic() - began >= self._patience_seconds:
                self.failed(ticket)
            else:
                self.abandoned(ticket)
            raise
        except failures:
            self.failed(ticket)
            raise
        except BaseException:
            self.succeeded(ticket)
            raise
        self.succeeded(ticket)
        return value

    def admit(self) -> int:
        """A ticket for one call, to be handed to one of the three methods below. Raises CircuitOpen."""
        if self._is_open:
            now = self._monotonic()
            if now < self._probe_at:
                self.refused += 1
                raise CircuitOpen(
                    f"{self.name} does not answer at the moment; try again shortly.",
                    retry_after_seconds=self._probe_at - now,
                )
            # This caller is the probe. The others are refused until it is back, or has had its time.
            self._era += 1
            self._pause(now)
        return self._era

    def succeeded(self, ticket: int) -> None:
        if ticket != self._era:
            return
        if self._is_open:
            self._is_open = False
            self._era += 1
            self._probes = self._in_a_row = self._calls = self._failures = 0
            return
        self._in_a_row = 0
        self._count(failed=False)

    def failed(self, ticket: int) -> None:
        if ticket != self._era or self._is_open:  # a probe that failed has its pause already
            return
        self._in_a_row += 1
        self._count(failed=True)
        if self._in_a_row >= self._most_in_a_row or (
            self._calls >= self._least_calls and self._failures >= self._most_share * self._calls
        ):
            self._is_open = True
            self._era += 1
            self.times_opened += 1
            self._probes = 0
            self._pause(self._monotonic())

    def abandoned(self, ticket: int) -> None:
        """The caller went away before it knew. After a probe, the next caller is the probe."""
        if self._is_open and ticket == self._era:
            self._probe_at = self._monotonic()

    def _count(self, *, failed: bool) -> None:
        now = self._monotonic()
        if now >= self._window_ends:
            self._window_ends = now + self._window_seconds
            self._calls = self._failures = 0
        self._calls += 1
        self._failures += failed

    def _pause(self, now: float) -> None:
        self._probes += 1
        longest = min(self._longest_pause, self._shortest_pause * 2**self._probes)
        self._probe_at = now + self._chance.uniform(self._shortest_pause, longest)
