"""The contract of a channel: handed over once it returns, repeats bear the delivery's id, failures are told apart."""

import pytest

from banyan.kernel.clock import ManualClock, to_text
from banyan.modules.notifications.channels import Channel, InAppChannel, MemoryChannel, Undeliverable, by_name
from banyan.modules.notifications.model import Delivery, Notification, first_delivery

AT = to_text(ManualClock().now())
NOTE = Notification("ada", "n", "message", None, "Hello", {}, AT)


@pytest.fixture(params=[InAppChannel, MemoryChannel])
def channel(request: pytest.FixtureRequest) -> Channel:
    return request.param()


def delivery_through(channel: Channel) -> Delivery:
    return first_delivery(NOTE, "d", channel.name, delivered=channel.is_inbox)


async def test_it_has_a_name_for_the_api_and_the_ledger(channel: Channel):
    assert channel.name.isidentifier()
    assert len(channel.name) <= 32
    assert by_name([channel]) == {channel.name: channel}


async def test_it_may_be_given_the_same_delivery_twice(channel: Channel):
    for _ in range(2):
        await channel.send(delivery_through(channel), NOTE, {})


async def test_the_twin_keeps_one_of_each_delivery_and_fails_when_told_to():
    memory = MemoryChannel()
    memory.faults.extend([ConnectionError(), Undeliverable("gone")])
    delivery = delivery_through(memory)
    for error in (ConnectionError, Undeliverable):
        with pytest.raises(error):
            await memory.send(delivery, NOTE, {})
    assert memory.received == {}
    for _ in range(2):
        await memory.send(delivery, NOTE, {})
    assert memory.received == {"d": NOTE}
    assert memory.sendings == 4
