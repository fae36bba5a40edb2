"""Deadlines: no call inside a request waits longer than the request itself may take.

The outermost caller says how long it will wait; whatever is called on the way, in this process or the next one, has what
is left of it. Between services the rest travels in a header, as a duration: clocks of two machines differ, durations do not.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from banyan.kernel.errors import Unavailable

HEADER = b"banyan-deadline-ms"
# What a header may ask for at most; nothing here is meant to take longer.
LONGEST_SECONDS = 600.0

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


class DeadlineExceeded(Unavailable):
    detail = "It took longer than the caller would wait; try again shortly."


def remaining(most: float | None = None) -> float | None:
    """Seconds that are left, at most `most`; never below 0. None when neither says anything."""
    at = _deadline.get()
    if at is None:
        return most
    left = max(0.0, at - time.monotonic())
    return left if most is None else min(left, most)


def refuse_late() -> None:
    """Raises DeadlineExceeded when nothing is left: what nobody waits for need not begin."""
    if remaining() == 0:
        raise DeadlineExceeded()


@asynccontextmanager
async def within(seconds: float | None) -> AsyncIterator[None]:
    """Run the body with at most `seconds`, and never more than what was left outside. None: only what was left.

    Raises DeadlineExceeded when the time is over; the body is cancelled then.
    """
    left = remaining(seconds)
    if left is None:
        yield
        return
    if left <= 0:
        raise DeadlineExceeded()
    token = _deadline.set(time.monotonic() + left)
    scope = asyncio.timeout(left)
    try:
        async with scope:
            yield
    except TimeoutError as error:
        if not scope.expired():
            raise  # the body's own
        raise DeadlineExceeded() from error
    finally:
        _deadline.reset(token)


def to_header() -> tuple[bytes, bytes] | None:
    """The header for a call to another service; None without a deadline."""
    left = remaining()
    return None if left is None else (HEADER, b"%d" % (left * 1000))


def from_header(value: bytes | None) -> float | None:
    """Seconds that the caller will wait; None for a header that is absent or no number."""
    if value is None or not value.isdigit() or len(value) > 9:
        return None
    return min(int(value) / 1000, LONGEST_SECONDS)
