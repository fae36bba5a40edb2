"""Plain numbers that parts keep about themselves; telemetry reads them (readings.py)."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from banyan.infra.telemetry.readings import Reading


class Sizes:
    """A histogram for one thread: an observation is a look-up and two additions, without a lock.

    bounds: upper limits of the buckets, rising; what is larger counts only in the last, endless one.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, size: float) -> None:
        self._counts[bisect_left(self._bounds, size)] += 1
        self._sum += size

    def readings(self) -> Iterator[Reading]:
        """Whoever reads in another thread may miss the newest observation in one of the samples."""
        counts = list(self._counts)
        below = 0
        for bound, count in zip((*map(float, self._bounds), float("inf")), counts, strict=True):
            below += count
            yield Reading(below, {"le": "+Inf" if bound == float("inf") else str(bound)}, "_bucket")
        yield Reading(below, suffix="_count")
        yield Reading(self._sum, suffix="_sum")


class CacheUse:
    """How often a cache was asked. hits: it had the answer."""

    __slots__ = ("hits", "misses")

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
