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
    value = (ms << 80) | (0x7 << 76) | (counter << 64) | (0b10 << 62) | tail
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_id(text: str) -> bool:
    """True for a UUID of any version in canonical form (lower case, with hyphens)."""
    return _CANONICAL.match(text) is not None
