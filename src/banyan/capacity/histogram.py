"""Latencies in little memory: a log-linear histogram, as HdrHistogram has it (http://hdrhistogram.org/)."""

from collections.abc import Iterator

# Values below 2**8 µs have a bucket each; above, each power of two has 2**7, so that a value is known to less than 0.8 %.
EXACT_BITS = 8
SUB_BUCKETS = 1 << (EXACT_BITS - 1)
# About 19 hours: longer than any run.
MOST_MICROSECONDS = (1 << 36) - 1


def _bucket(microseconds: int) -> int:
    shift = microseconds.bit_length() - EXACT_BITS
    return microseconds if shift <= 0 else shift * SUB_BUCKETS + (microseconds >> shift)


def _highest(bucket: int) -> int:
    """The greatest number of microseconds that the bucket holds."""
    shift = bucket // SUB_BUCKETS - 1
    if shift <= 0:
        return bucket
    return ((bucket - shift * SUB_BUCKETS + 1) << shift) - 1


class Histogram:
    """Counts of durations. Percentiles are at most 0.8 % above the true value, never below it; `maximum` is exact."""

    def __init__(self) -> None:
        self._counts = [0] * (_bucket(MOST_MICROSECONDS) + 1)
        self.count = 0
        self.maximum = 0.0

    def record(self, seconds: float) -> None:
        """Negative counts as 0."""
        microseconds = min(max(int(seconds * 1e6), 0), MOST_MICROSECONDS)
        self._counts[_bucket(microseconds)] += 1
        self.count += 1
        if seconds > self.maximum:
            self.maximum = seconds

    def percentile(self, percent: float) -> float:
        """Seconds within which `percent` of all are; 0 when there are none."""
        wanted = self.count * percent / 100
        seen = 0
        for bucket, count in self._filled():
            seen += count
            if seen >= wanted:
                # A bucket's end may lie past the greatest value.
                return min((_highest(bucket) + 1) / 1e6, self.maximum)
        return 0.0

    def _filled(self) -> Iterator[tuple[int, int]]:
        return ((bucket, count) for bucket, count in enumerate(self._counts) if count)
