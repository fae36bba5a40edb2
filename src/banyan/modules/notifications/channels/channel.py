"""Channels: the ways in which a notification reaches its person. A new one is one more adapter of `Channel`."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

from banyan.modules.notifications.contract import Outcome
from banyan.modules.notifications.model import SEND_TIMEOUT, Delivery, Notification

IN_APP = "in_app"


class Undeliverable(Exception):
    """Trying again would be useless: the address is gone, or refuses for good. Its text is stored, so it is a reason
    (`address rejected`), never an address or a message."""


class Channel(Protocol):
    """name: as in the API and the ledger.

    is_inbox: True when the notification's own row is the delivery, so that there is nothing left to send.
    """

    name: str
    is_inbox: bool

    async def send(self, delivery: Delivery, notification: Notification) -> None:
        """Hand it over; when this returns, the receiver has it.

        May be called more than once for one delivery (a crash between sending and noting it): give `delivery.id` to
        receivers that can drop repeats. Raises Undeliverable when it is useless to try again; every other error means
        that it may work later. It is cancelled after `model.SEND_TIMEOUT`.
        """
        ...


class InAppChannel:
    """The inbox itself."""

    name = IN_APP
    is_inbox = True

    async def send(self, delivery: Delivery, notification: Notification) -> None:
        """The row is there, in the transaction that made the ledger's entry; nothing is left to do."""


class MemoryChannel:
    """A receiver in memory, for tests: keeps what it gets, drops repeats by the delivery's id, and fails when told to.

    faults: raised one after the other, one at each sending, before anything is kept.
    """

    is_inbox = False

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.received: dict[str, Notification] = {}
        self.faults: deque[Exception] = deque()
        self.sendings = 0

    async def send(self, delivery: Delivery, notification: Notification) -> None:
        self.sendings += 1
        if self.faults:
            raise self.faults.popleft()
        self.received.setdefault(delivery.id, notification)


async def send_through(
    channels: Mapping[str, Channel], delivery: Delivery, notification: Notification
) -> tuple[Outcome, str | None]:
    """Make one attempt: what became of it, and a word for the reason when it did not arrive."""
    channel = channels.get(delivery.channel)
    if channel is None:
        # Another version of Banyan, one that knows the channel, may be running beside this one.
        return "refused", "UnknownChannel"
    try:
        async with asyncio.timeout(SEND_TIMEOUT.total_seconds()):
            await channel.send(delivery, notification)
    except Undeliverable as reason:
        return "undeliverable", str(reason) or "Undeliverable"
    except Exception as error:
        return "refused", type(error).__name__
    return "delivered", None


def by_name(channels: Sequence[Channel]) -> Mapping[str, Channel]:
    return {channel.name: channel for channel in channels}
