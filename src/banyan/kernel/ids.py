"""Identifiers: UUIDv7 as canonical lower-case strings."""

import os
import re
import threading
import time

_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")


class _Sequence:
    """Milliseconds and a counter that never repeat or run backwards within this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0

    def take(self) -> tuple[int, int]:
        with self._lock:
            now_ms = time.time_ns() // 1_000_000
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                # Half of the counter's room is left for the ids of this millisecond.
                self._counter = int.from_bytes(os.urandom(2)) & 0x7FF
            else:
                self._counter += 1
                if self._counter > 0xFFF:
                    self._last_ms += 1
                    self._counter = 0
            return self._last_ms, self._counter


_sequence = _Sequence()


def new_id() -> str:
    """A new UUIDv7: unique everywhere, and greater than every id this process made before.

    Source: RFC 9562, section 5.7 and 6.2 (method 1, a dedicated counter in `rand_a`).
    """
    ms, counter = _sequence.take()
    tail = int.from_bytes(os.urandom(8)) & 0x3FFFFFFFFFFFFFFF
    # In two halves: numbers of 64 bits are quicker than one of 128.
    high, low = f"{ms << 16 | 0x7000 | counter:016x}", f"{0b10 << 62 | tail:016x}"
    return f"{high[:8]}-{high[8:12]}-{high[12:]}-{low[:4]}-{low[4:]}"


def is_id(text: str) -> bool:
    """True for a UUID of any version in canonical form (lower case, with hyphens)."""
    return _CANONICAL.match(text) is not None
