"""Which requests are recorded, of those whose client has not decided it."""

import math
import random


class Sampler:
    """Each request with the same chance, and none is decided on twice: whoever cannot record leaves a request that will be
    recorded to somebody who can.

    share: 0 (none) to 1 (all).
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._before_next = self._gap()
        # Many may pass before the first that was left is taken: they are not to wait for it, and be left too.
        self._left = 0

    def pass_by(self) -> bool:
        """Whether this request is not recorded. False leaves it for `take`; until then others have their own chance."""
        if self._is_next():
            self._left += 1
            return False
        return True

    def take(self) -> bool:
        """Whether this request is recorded. When one was left before, it is this one or, which comes to the same, one that
        came between."""
        if self._left:
            self._left -= 1
            return True
        return self._is_next()

    def _is_next(self) -> bool:
        if self._before_next == 0:
            self._before_next = self._gap()
            return True
        self._before_next -= 1
        return False

    def _gap(self) -> float:
        """How many requests are not recorded until the next one is: geometrically distributed, as if each drew its own lot."""
        if self._share <= 0:
            return math.inf
        if self._share >= 1:
            return 0
        return math.floor(math.log(1 - random.random()) / math.log1p(-self._share))
