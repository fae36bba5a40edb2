"""The loops' work in turns, for a process that does not stay."""

import asyncio
from collections.abc import Awaitable, Callable

from banyan.infra.loops import Loop
from banyan.infra.turns import work_off


async def _never(_stop: asyncio.Event) -> None:
    raise AssertionError("a loop that takes turns is not run")


def taking(*counts: int, then: Callable[[], None] | None = None) -> Callable[[], Awaitable[int]]:
    """A turn that does so much, and in the end nothing."""
    left = list(counts)

    async def turn() -> int:
        if then is not None and left:
            then()
        return left.pop(0) if left else 0

    return turn


async def test_rounds_go_on_until_one_finds_nothing() -> None:
    loops = [Loop("relay", _never, taking(500, 3)), Loop("mail", _never, taking(0, 2)), Loop("stays", _never)]
    result = await work_off(loops, has_time=lambda: True)
    assert result.done == {"relay": 503, "mail": 2}
    assert (result.finished, result.failed) == (True, [])


async def test_what_one_turn_leaves_for_a_former_one_is_done_too() -> None:
    waiting: list[int] = []

    async def deliver() -> int:
        done = len(waiting)
        waiting.clear()
        return done

    loops = [
        Loop("deliveries", _never, deliver),
        Loop("relay", _never, taking(1, then=lambda: waiting.append(1))),
    ]
    assert (await work_off(loops, has_time=lambda: True)).done == {"deliveries": 1, "relay": 1}


async def test_no_turn_begins_without_time() -> None:
    left = [True, True, False]
    loops = [Loop("relay", _never, taking(1, 1, 1)), Loop("mail", _never, taking(1))]
    result = await work_off(loops, has_time=lambda: left.pop(0))
    assert result.done == {"relay": 1, "mail": 1}
    assert not result.finished


async def test_a_turn_that_fails_keeps_no_other_from_its_work() -> None:
    tries = 0

    async def fails() -> int:
        nonlocal tries
        tries += 1
        raise ValueError

    loops = [Loop("mail", _never, fails), Loop("relay", _never, taking(1, 1))]
    result = await work_off(loops, has_time=lambda: True)
    assert (result.done, result.failed, tries) == ({"relay": 2}, ["mail"], 1)
