"""Finding the knee: the highest rate that a server still holds.

First the rate doubles until a step fails, then the gap between the highest that held and the lowest that failed is halved, on
a logarithmic scale, until it is as narrow as asked. A step is noisy: one slow moment of the machine fails it, and near the
knee luck lets it pass. So two results that agree out of at most three decide, but for the doubling, where each pass is proven by
the next; and at the end both sides of the gap are looked at once more.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

RAMP_FACTOR = 2.0
# A server that does not hold even this many requests a second has no capacity to speak of.
LEAST_RATE = 1.0
AGREEING = 2


@dataclass(frozen=True, slots=True)
class Found:
    """held: the highest rate that held, None when none did. failed: the lowest that did not, None when all did.

    is_narrow: false when the time was over before the gap between the two was as narrow as asked.
    """

    held: float | None
    failed: float | None
    is_narrow: bool


class Search:
    """attempt: one step at a rate; whether it held. Its exceptions end the search; `found` then says what is known.

    start: the first rate. most: never above this one. precision: 0.05 stops at a gap of 5 %. is_over: no more steps once true.
    """

    def __init__(
        self,
        attempt: Callable[[float], bool],
        *,
        start: float,
        most: float,
        precision: float,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._attempt = attempt
        self._start = min(start, most)
        self._most = most
        self._precision = precision
        self._is_over = is_over
        # In the order in which they held: each is above the one before.
        self._held: list[float] = []
        self._failed: float | None = None
        self._is_confirmed = False

    @property
    def found(self) -> Found:
        held = self._held[-1] if self._held else None
        return Found(held, self._failed, self._is_confirmed)

    def run(self) -> Found:
        while not self._is_over():
            rate = self._next()
            if rate is None:
                break
            if rate == self._most and self._failed is None and self._held[-1:] == [rate]:
                self._is_confirmed = True
                break
            # Only a pass that a higher rate will prove may be believed at once.
            self._take(rate, self._holds(rate, once=self._failed is None and rate < self._most))
            if self._is_as_narrow_as_asked and self._confirm():
                break
        return self.found

    def _next(self) -> float | None:
        held, failed = (self._held[-1] if self._held else None), self._failed
        if held is None:
            rate = self._start if failed is None else failed / RAMP_FACTOR
            return rate if rate >= LEAST_RATE else None
        if failed is None:
            return min(held * RAMP_FACTOR, self._most)
        return math.sqrt(held * failed)

    def _take(self, rate: float, held: bool) -> None:
        if held:
            self._held.append(rate)
        else:
            self._failed = rate
            self._held = [lower for lower in self._held if lower < rate]

    @property
    def _is_as_narrow_as_asked(self) -> bool:
        return bool(self._held) and (
            self._failed is not None and self._failed / self._held[-1] <= 1 + self._precision
        )

    def _confirm(self) -> bool:
        """Both sides once more. A side that was luck is taken back, and the search goes on from there."""
        assert self._failed is not None
        held, failed = self._held[-1], self._failed
        if self._is_over():
            return True
        if not self._holds(held):
            self._take(held, held=False)
            return False
        if self._is_over():
            return True
        if self._holds(failed):
            self._failed = None
            self._held.append(failed)
            return False
        self._is_confirmed = True
        return True

    def _holds(self, rate: float, *, once: bool = False) -> bool:
        """once: a first pass is enough."""
        passes = fails = 0
        while passes < AGREEING and fails < AGREEING:
            if self._attempt(rate):
                passes += 1
                if once and passes == 1 and not fails:
                    return True
            else:
                fails += 1
            if self._is_over():
                break
        return passes > fails
