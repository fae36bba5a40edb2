"""Deliveries by way of the task queue: each attempt is sent once, whatever is repeated, lost or late."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.handed_tasks import Handed
from tests.support.inboxes import ADA, Inboxes, opened_inboxes

from banyan.modules.notifications.channels import Undeliverable, by_name
from banyan.modules.notifications.model import HANDED_OVER_FOR, LEASE, MAX_ATTEMPTS, RETRY_PAUSES
from banyan.modules.notifications.tasks import DeliveryHandover, delivery_kind


class Post:
    """Both sides: who has the ledger, and the worker."""

    def __init__(self, inboxes: Inboxes) -> None:
        self.inboxes = inboxes
        self.queue = Handed()
        self.handover = DeliveryHandover(inboxes.shards, inboxes.clock, self.queue, inboxes.log)
        self.do = delivery_kind(inboxes.service, by_name([inboxes.channel]), inboxes.box).handle

    async def work(self) -> int:
        tasks = self.queue.take_all()
        for task in tasks:
            await self.do(task)
        return len(tasks)


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    async with opened_inboxes(tmp_path) as opened:
        yield Post(opened)


async def test_what_is_due_is_put_once_and_sent_by_the_worker(post: Post):
    sent = await post.inboxes.send(through_memory=True)
    assert await post.handover.hand_over_due() == 1
    assert await post.handover.hand_over_due() == 0
    assert (await post.inboxes.states(sent))["memory"] == ("queued", 0)
    assert await post.work() == 1
    assert (await post.inboxes.states(sent))["memory"] == ("delivered", 1)
    (received,) = post.inboxes.channel.received.values()
    assert (received.id, received.message, received.kind) == (sent, "Hello", "message")
    post.inboxes.clock.advance(timedelta(days=1))
    assert await post.handover.hand_over_due() == 0


async def test_a_task_that_comes_twice_sends_once(post: Post):
    await post.inboxes.send(through_memory=True)
    await post.handover.hand_over_due()
    (task,) = post.queue.take_all()
    for _ in range(3):
        await post.do(task)
    assert post.inboxes.channel.sendings == 1


async def test_a_task_that_is_late_is_put_again_and_only_the_first_of_both_sends(post: Post):
    await post.inboxes.send(through_memory=True)
    await post.handover.hand_over_due()
    post.inboxes.clock.advance(HANDED_OVER_FOR)
    assert await post.handover.hand_over_due() == 1
    assert await post.work() == 2
    assert post.inboxes.channel.sendings == 1


async def test_a_queue_that_takes_nothing_leaves_it_due_and_uses_up_no_attempt(post: Post):
    sent = await post.inboxes.send(through_memory=True)
    post.queue.unavailable = True
    for _ in range(MAX_ATTEMPTS + 2):
        assert await post.handover.hand_over_due() == 1
    assert (await post.inboxes.states(sent))["memory"] == ("queued", 0)
    post.queue.unavailable = False
    assert await post.handover.hand_over_due() == 1
    await post.work()
    assert (await post.inboxes.states(sent))["memory"] == ("delivered", 1)


async def test_a_refusal_comes_again_after_its_pause_as_the_next_attempt(post: Post):
    post.inboxes.channel.faults.append(ConnectionError("an address"))
    sent = await post.inboxes.send(through_memory=True)
    await post.handover.hand_over_due()
    await post.work()
    assert (await post.inboxes.states(sent))["memory"] == ("retrying", 1)
    assert await post.handover.hand_over_due() == 0
    post.inboxes.clock.advance(RETRY_PAUSES[0])
    assert await post.handover.hand_over_due() == 1
    await post.work()
    assert (await post.inboxes.states(sent))["memory"] == ("delivered", 2)


async def test_a_useless_attempt_is_the_last(post: Post):
    post.inboxes.channel.faults.append(Undeliverable("gone"))
    sent = await post.inboxes.send(through_memory=True)
    await post.handover.hand_over_due()
    await post.work()
    assert (await post.inboxes.states(sent))["memory"] == ("failed", 1)
    errors = {one.channel: one.error for one in await post.inboxes.service.deliveries(ADA, sent)}
    assert errors["memory"] == "gone"


async def test_what_a_killed_worker_had_begun_is_sent_by_another_when_its_lease_is_over(post: Post):
    sent = await post.inboxes.send(through_memory=True)
    await post.handover.hand_over_due()
    (task,) = post.queue.take_all()
    begun = await post.inboxes.service.begin_delivery(
        ADA, sent, task.data["delivery_id"], attempt=task.data["attempt"]
    )
    assert begun is not None
    await post.do(task)  # the queue delivers it again: but who had it may still be sending
    assert post.inboxes.channel.sendings == 0
    post.inboxes.clock.advance(LEASE)
    assert await post.handover.hand_over_due() == 1
    await post.work()
    assert (await post.inboxes.states(sent))["memory"] == ("delivered", 2)
    assert not await post.inboxes.service.settle_delivery(
        ADA, sent, begun.id, attempt=begun.attempt, outcome="refused"
    )
    assert (await post.inboxes.states(sent))["memory"] == ("delivered", 2)


async def test_an_attempt_that_kills_every_worker_is_given_up(post: Post):
    sent = await post.inboxes.send(through_memory=True)
    for attempt in range(MAX_ATTEMPTS):
        assert await post.handover.hand_over_due() == 1
        (task,) = post.queue.take_all()
        begun = await post.inboxes.service.begin_delivery(
            ADA, sent, task.data["delivery_id"], attempt=attempt
        )
        assert begun is not None
        post.inboxes.clock.advance(LEASE)
    assert await post.handover.hand_over_due() == 0
    assert (await post.inboxes.states(sent))["memory"] == ("failed", MAX_ATTEMPTS)


async def test_what_was_deleted_meanwhile_is_not_sent(post: Post):
    sent = await post.inboxes.send(through_memory=True)
    await post.handover.hand_over_due()
    await post.inboxes.service.delete(ADA, sent, actor="session")
    await post.work()
    assert post.inboxes.channel.sendings == 0
