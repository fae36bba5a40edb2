"""One receiver that hangs or is down is not felt by the others, and is left alone for a while."""

import asyncio

import pytest

from banyan.infra.outbound import receivers as module
from banyan.infra.outbound.errors import NotReached
from banyan.infra.outbound.receivers import FAILURES_IN_A_ROW, Receivers


async def test_a_receiver_has_so_many_places_and_the_others_have_theirs() -> None:
    receivers = Receivers(most_at_once=2, stalled_seconds=0.05)
    let_go = asyncio.Event()

    async def hang() -> None:
        async with receivers.admitted("slow.test"):
            await let_go.wait()

    hanging = [asyncio.create_task(hang()) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(NotReached) as refused:
        async with receivers.admitted("slow.test"):
            pass
    assert refused.value.reason == "ReceiverBusy"
    async with receivers.admitted("quick.test"):
        pass
    let_go.set()
    await asyncio.gather(*hanging)
    async with receivers.admitted("slow.test"):
        pass


async def test_whoever_comes_to_one_that_answers_waits_for_a_place() -> None:
    receivers = Receivers(most_at_once=1, stalled_seconds=30)
    order: list[int] = []

    async def send(number: int) -> None:
        async with receivers.admitted("busy.test"):
            await asyncio.sleep(0)
            order.append(number)

    await asyncio.gather(*(send(number) for number in range(5)))
    assert order == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("error", [TimeoutError(), NotReached("NotConnected")])
async def test_one_that_fails_in_a_row_is_left_alone(error: Exception) -> None:
    receivers = Receivers()
    for _ in range(FAILURES_IN_A_ROW):
        with pytest.raises(type(error)):
            async with receivers.admitted("down.test"):
                raise error
    entered = False
    with pytest.raises(NotReached) as refused:
        async with receivers.admitted("down.test"):
            entered = True
    assert (refused.value.reason, entered) == ("ReceiverDown", False)
    async with receivers.admitted("other.test"):
        pass


async def test_an_error_of_ours_says_nothing_about_it() -> None:
    receivers = Receivers()
    for _ in range(2 * FAILURES_IN_A_ROW):
        with pytest.raises(ValueError):
            async with receivers.admitted("well.test"):
                raise ValueError
    async with receivers.admitted("well.test"):
        pass


async def test_no_more_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 3)
    receivers = Receivers()
    async with receivers.admitted("held.test"):
        for number in range(10):
            async with receivers.admitted(f"{number}.test"):
                pass
        assert len(receivers._known) == 3
        assert "held.test" in receivers._known
