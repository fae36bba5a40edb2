"""Which requests are recorded, of those whose client has not decided it."""

import math
import random


class Sampler:
    """Each request with the same chance, by a number that is drawn when the last one was recorded, and counted down.

    share: 0 (none) to 1 (all).
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._before_next = self._gap()

    def take(self) -> bool:
        """Whether this request is recorded. To be asked once for each."""
        if self._before_next > 0:
            self._before_next -= 1
            return False
        self._before_next = self._gap()
        return True

    def _gap(self) -> float:
        """How many requests are not recorded until the next one is: geometrically distributed, as if each drew its own lot."""
        if self._share <= 0:
            return math.inf
        if self._share >= 1:
            return 0
        return math.floor(math.log(1 - random.random()) / math.log1p(-self._share))
