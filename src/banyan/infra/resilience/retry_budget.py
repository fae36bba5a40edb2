"""Retry budget: how many repetitions a process may add to its calls, all together.

Retries help when a call in a hundred fails. When all fail they multiply the load on what is ill already, so
their number is bound to the number of first tries. Source: "Addressing Cascading Failures", Site Reliability Engineering.
"""

import time
from collections.abc import Callable


class RetryBudget:
    """A bucket of tokens: each first try puts `ratio` of one in, each retry takes a whole one out.

    ratio: retries for each first try, in the long run. least_per_second: so many come back by themselves, so that a
    process with few calls may retry at all. most_saved: what a quiet time can save up for a bad one.
    """

    def __init__(
        self,
        *,
        ratio: float = 0.1,
        least_per_second: float = 1.0,
        most_saved: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ratio = ratio
        self._least_per_second = least_per_second
        self._most_saved = most_saved
        self._monotonic = monotonic
        self._tokens = most_saved
        self._filled_at = monotonic()
        # For metrics.
        self.spent = 0
        self.refused = 0

    def tried(self) -> None:
        """Somebody makes a call for the first time."""
        self._tokens = min(self._most_saved, self._tokens + self._ratio)

    def may_retry(self) -> bool:
        """Take one retry out, if there is one."""
        now = self._monotonic()
        self._tokens = min(self._most_saved, self._tokens + (now - self._filled_at) * self._least_per_second)
        self._filled_at = now
        if self._tokens < 1:
            self.refused += 1
            return False
        self._tokens -= 1
        self.spent += 1
        return True
