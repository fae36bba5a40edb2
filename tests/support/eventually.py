"""Waiting for what the API promises to show a moment later, for a client that is told of it by no signal."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_SECONDS = 0.02


def eventually(
    look: Callable[[], T | None],
    what: str,
    *,
    within_seconds: float = 10.0,
    every_seconds: float = LOOK_SECONDS,
) -> T:
    """What `look` finds, as soon as it finds something. Raises AssertionError, naming `what`, after the deadline.

    every_seconds: the pause between two looks; longer for what changes now and then, and costs something to look at.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_seconds:g} s: {what}")
        time.sleep(every_seconds)


async def soon(look: Callable[[], Awaitable[T | None]], what: str, *, within_seconds: float = 10.0) -> T:
    """The same in a coroutine."""
    deadline = time.monotonic() + within_seconds
    while True:
        found = await look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_seconds:g} s: {what}")
        await asyncio.sleep(LOOK_SECONDS)
