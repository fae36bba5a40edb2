"""How full a pool of connections is, and who waits for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class PoolUse:
    """size: connections at most. in_use: now. The rest since the start: waits: who had to wait; wait_seconds: of all of them, together, so
    that its growth in a second is how many wait. refused: those who waited in vain.
    """

    size: int = 0
    in_use: int = 0
    waits: int = 0
    wait_seconds: float = 0.0
    refused: int = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Somebody waits in this block. A time-out is a refusal, and passed on."""
        self.waits += 1
        began = time.perf_counter()
        try:
            yield
        except TimeoutError:
            self.refused += 1
            raise
        finally:
            self.wait_seconds += time.perf_counter() - began
