"""The delivery loop: each delivery is tried until it succeeds or is parked, whatever is killed in between."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.inboxes import ADA, Inboxes, opened_inboxes

from banyan.infra.loops import Loop, LoopRunner
from banyan.modules.notifications import ledger
from banyan.modules.notifications.channels import Target, Undeliverable
from banyan.modules.notifications.channels import channel as channels_module
from banyan.modules.notifications.model import LEASE, MAX_ATTEMPTS, RETRY_PAUSES, Delivery, Notification

DAY = timedelta(days=1)


@pytest.fixture
async def inboxes(tmp_path: Path) -> AsyncIterator[Inboxes]:
    async with opened_inboxes(tmp_path) as opened:
        yield opened


async def test_the_inbox_is_delivered_with_the_notification_itself(inboxes: Inboxes):
    sent = await inboxes.send()
    assert await inboxes.states(sent) == {"in_app": ("delivered", 1)}
    assert await inboxes.loop.deliver_due() == 0


async def test_another_channel_is_queued_and_then_delivered(inboxes: Inboxes):
    sent = await inboxes.send("Hello", through_memory=True)
    assert await inboxes.states(sent) == {"in_app": ("delivered", 1), "memory": ("queued", 0)}
    assert await inboxes.loop.deliver_due() == 1
    assert await inboxes.states(sent) == {"in_app": ("delivered", 1), "memory": ("delivered", 1)}
    (received,) = inboxes.channel.received.values()
    assert (received.message, received.id) == ("Hello", sent)
    inboxes.clock.advance(DAY)
    assert await inboxes.loop.deliver_due() == 0


async def test_a_failure_is_tried_again_after_its_pause(inboxes: Inboxes):
    inboxes.channel.faults.extend([ConnectionError("secret address"), TimeoutError()])
    sent = await inboxes.send(through_memory=True)
    await inboxes.loop.deliver_due()
    assert (await inboxes.states(sent))["memory"] == ("retrying", 1)
    inboxes.clock.advance(RETRY_PAUSES[0] - timedelta(milliseconds=1))
    assert await inboxes.loop.deliver_due() == 0
    inboxes.clock.advance(timedelta(milliseconds=1))
    assert await inboxes.loop.deliver_due() == 1
    assert (await inboxes.states(sent))["memory"] == ("retrying", 2)
    inboxes.clock.advance(RETRY_PAUSES[1])
    await inboxes.loop.deliver_due()
    assert (await inboxes.states(sent))["memory"] == ("delivered", 3)


async def test_the_ledger_names_the_error_and_not_its_text(inboxes: Inboxes):
    inboxes.channel.faults.append(ConnectionError("ada@example.org refused"))
    sent = await inboxes.send(through_memory=True)
    await inboxes.loop.deliver_due()
    errors = {one.channel: one.error for one in await inboxes.service.deliveries(ADA, sent)}
    assert errors == {"in_app": None, "memory": "ConnectionError"}


async def test_after_its_last_attempt_it_is_parked_until_somebody_redrives_it(inboxes: Inboxes):
    inboxes.channel.faults.extend([ConnectionError()] * MAX_ATTEMPTS)
    sent = await inboxes.send(through_memory=True)
    for _ in range(MAX_ATTEMPTS + 3):
        await inboxes.loop.deliver_due()
        inboxes.clock.advance(DAY)
    assert inboxes.channel.sendings == MAX_ATTEMPTS
    assert (await inboxes.states(sent))["memory"] == ("failed", MAX_ATTEMPTS)
    assert await inboxes.shards.transact(ADA, ledger.redrive, inboxes.clock.now()) == 1
    assert (await inboxes.states(sent))["memory"] == ("queued", 0)
    await inboxes.loop.deliver_due()
    assert (await inboxes.states(sent))["memory"] == ("delivered", 1)


async def test_what_is_useless_is_parked_at_once(inboxes: Inboxes):
    inboxes.channel.faults.append(Undeliverable("address rejected"))
    sent = await inboxes.send(through_memory=True)
    await inboxes.loop.deliver_due()
    assert (await inboxes.states(sent))["memory"] == ("failed", 1)
    ledger_now = await inboxes.service.deliveries(ADA, sent)
    assert [one.error for one in ledger_now if one.channel == "memory"] == ["address rejected"]


async def test_one_failure_does_not_hold_up_the_others(inboxes: Inboxes):
    inboxes.channel.faults.append(ConnectionError())
    sent = [await inboxes.send(str(number), through_memory=True) for number in range(5)]
    assert await inboxes.loop.deliver_due() == 5
    states = [(await inboxes.states(one))["memory"] for one in sent]
    assert sorted(states) == [("delivered", 1)] * 4 + [("retrying", 1)]


async def test_a_leased_delivery_is_left_alone_until_its_lease_runs_out(inboxes: Inboxes):
    sent = await inboxes.send(through_memory=True)
    assert len(await inboxes.claim()) == 1  # by a process that dies now
    assert await inboxes.loop.deliver_due() == 0
    inboxes.clock.advance(LEASE - timedelta(milliseconds=1))
    assert await inboxes.loop.deliver_due() == 0
    inboxes.clock.advance(timedelta(milliseconds=1))
    assert await inboxes.loop.deliver_due() == 1
    assert (await inboxes.states(sent))["memory"] == ("delivered", 2)


async def test_one_that_kills_every_sender_is_parked(inboxes: Inboxes):
    sent = await inboxes.send(through_memory=True)
    for _ in range(MAX_ATTEMPTS):
        assert len(await inboxes.claim()) == 1
        inboxes.clock.advance(LEASE)
    assert await inboxes.claim() == []
    assert (await inboxes.states(sent))["memory"] == ("failed", MAX_ATTEMPTS)
    inboxes.clock.advance(DAY)
    assert await inboxes.claim() == []


async def test_a_sender_whose_lease_ran_out_settles_nothing(inboxes: Inboxes):
    sent = await inboxes.send(through_memory=True)
    (slow,) = await inboxes.claim()
    inboxes.clock.advance(LEASE)
    (quick,) = await inboxes.claim()
    now = inboxes.clock.now()
    move = ledger.move
    late = slow.delivery.refused(now, "TooLate", for_good=True)
    assert await inboxes.shards.transact(ADA, move, slow.delivery, late) is False
    assert (await inboxes.states(sent))["memory"] == ("sending", 2)
    assert await inboxes.shards.transact(ADA, move, quick.delivery, quick.delivery.delivered(now)) is True
    assert (await inboxes.states(sent))["memory"] == ("delivered", 2)


async def test_two_loops_never_claim_the_same(inboxes: Inboxes):
    for number in range(20):
        await inboxes.send(str(number), through_memory=True)
    claims = await asyncio.gather(*(inboxes.claim() for _ in range(5)))
    ids = [claim.delivery.id for batch in claims for claim in batch]
    assert len(ids) == len(set(ids)) == 20


async def test_what_was_waiting_goes_out_after_a_restart(tmp_path: Path):
    async with opened_inboxes(tmp_path) as before:
        queued = await before.send("queued", through_memory=True)
        before.channel.faults.append(ConnectionError())
        leased = await before.send("leased", through_memory=True)
        await before.claim()
        clock = before.clock
    clock.advance(LEASE)
    async with opened_inboxes(tmp_path, clock) as after:
        assert await after.loop.deliver_due() == 2
        assert sorted(one.message for one in after.channel.received.values()) == ["leased", "queued"]
        for sent in (queued, leased):
            assert (await after.states(sent))["memory"] == ("delivered", 2)


async def test_a_deleted_notification_is_not_sent_any_more(inboxes: Inboxes):
    sent = await inboxes.send(through_memory=True)
    await inboxes.service.delete(ADA, sent, actor="s")
    assert await inboxes.loop.deliver_due() == 0
    assert inboxes.channel.received == {}


async def test_a_notification_that_is_deleted_while_it_is_sent_harms_nobody(inboxes: Inboxes):
    sent = await inboxes.send(through_memory=True)
    (claim,) = await inboxes.claim()
    await inboxes.service.delete(ADA, sent, actor="s")
    await inboxes.loop._deliver(claim)
    assert len(inboxes.channel.received) == 1


async def test_a_channel_that_this_version_does_not_know_is_tried_later(inboxes: Inboxes):
    sent = await inboxes.send(through_memory=True)
    ignorant = inboxes.loop_through([])
    await ignorant.deliver_due()
    assert (await inboxes.states(sent))["memory"] == ("retrying", 1)
    inboxes.clock.advance(RETRY_PAUSES[0])
    await inboxes.loop.deliver_due()
    assert (await inboxes.states(sent))["memory"] == ("delivered", 2)


async def test_a_sending_that_takes_too_long_is_broken_off(inboxes: Inboxes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(channels_module, "SEND_TIMEOUT", timedelta(milliseconds=20))

    async def hangs(delivery: Delivery, notification: Notification, target: Target) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(inboxes.channel, "send", hangs)
    sent = await inboxes.send(through_memory=True)
    await asyncio.wait_for(inboxes.loop.deliver_due(), 5)
    assert (await inboxes.states(sent))["memory"] == ("retrying", 1)


async def test_the_loop_is_woken_by_a_commit_and_stops_at_once(
    inboxes: Inboxes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("banyan.modules.notifications.delivery.LOOK_SECONDS", 3600.0)
    arrived = asyncio.Event()
    real = inboxes.channel.send

    async def send(delivery: Delivery, notification: Notification, target: Target) -> None:
        await real(delivery, notification, target)
        arrived.set()

    monkeypatch.setattr(inboxes.channel, "send", send)
    runner = LoopRunner([Loop("deliveries", inboxes.loop.run)])
    runner.start()
    for _ in range(3):
        arrived.clear()
        await inboxes.send(through_memory=True)
        await asyncio.wait_for(arrived.wait(), 5)
    await asyncio.wait_for(runner.stop(timeout_seconds=60), 5)
    assert runner.failures == {}


async def test_one_that_hangs_holds_its_own_place_and_nobody_elses(
    inboxes: Inboxes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("banyan.modules.notifications.delivery.LOOK_SECONDS", 3600.0)
    arrived: asyncio.Queue[str] = asyncio.Queue()
    let_go = asyncio.Event()

    async def send(delivery: Delivery, notification: Notification, target: Target) -> None:
        if notification.message == "hangs":
            await let_go.wait()
        arrived.put_nowait(notification.message)

    monkeypatch.setattr(inboxes.channel, "send", send)
    runner = LoopRunner([Loop("deliveries", inboxes.loop.run)])
    runner.start()
    await inboxes.send("hangs", through_memory=True)
    for message in ("first", "second"):
        await inboxes.send(message, through_memory=True)
        assert await asyncio.wait_for(arrived.get(), 5) == message
    let_go.set()
    assert await asyncio.wait_for(arrived.get(), 5) == "hangs"
    await asyncio.wait_for(runner.stop(timeout_seconds=60), 5)
    assert runner.failures == {}


async def test_when_all_places_are_taken_the_next_waits_for_one(
    inboxes: Inboxes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("banyan.modules.notifications.delivery.LOOK_SECONDS", 3600.0)
    monkeypatch.setattr("banyan.modules.notifications.delivery.MOST_AT_ONCE", 2)
    inside = most = 0
    done = asyncio.Event()

    async def send(delivery: Delivery, notification: Notification, target: Target) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        inboxes.channel.sendings += 1
        if inboxes.channel.sendings == 7:
            done.set()

    monkeypatch.setattr(inboxes.channel, "send", send)
    for number in range(7):
        await inboxes.send(str(number), through_memory=True)
    runner = LoopRunner([Loop("deliveries", inboxes.loop.run)])
    runner.start()
    await asyncio.wait_for(done.wait(), 5)
    await asyncio.wait_for(runner.stop(timeout_seconds=60), 5)
    assert most == 2
    assert runner.failures == {}
