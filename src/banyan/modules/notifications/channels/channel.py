"""What every way of sending promises, and one attempt through it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from banyan.infra.faults import fault_point
from banyan.infra.telemetry.trace import span
from banyan.modules.notifications.contract import Outcome
from banyan.modules.notifications.model import SEND_TIMEOUT, Delivery, Notification

Target = Mapping[str, Any]
"""Where a delivery goes: what its channel needs beside the notification, such as a URL and its secrets. JSON."""


class TryLater(Exception):
    """It may work later. Its text is stored, so it is a reason (`Status503`), never an address or a message."""


class Undeliverable(Exception):
    """Trying again would be useless: the address is gone, or refuses for good. Its text is stored, so it is a reason
    (`address rejected`), never an address or a message."""


class Gone(Undeliverable):
    """The receiver wants nothing any more: the person's channel is to be disabled."""


class Channel(Protocol):
    """name: as in the API and the ledger.

    is_inbox: True when the notification's own row is the delivery, so that there is nothing left to send.
    is_set_up: True when people set it up themselves: a notification goes through each enabled one of theirs.
    """

    name: str
    is_inbox: bool
    is_set_up: bool

    async def send(self, delivery: Delivery, notification: Notification, target: Target) -> None:
        """Hand it over; when this returns, the receiver has it.

        May be called more than once for one delivery (a crash between sending and noting it): give `delivery.id` to
        receivers that can drop repeats. Raises Undeliverable when it is useless to try again; every other error means
        that it may work later. It is cancelled after `model.SEND_TIMEOUT`.
        """
        ...


async def send_through(
    channels: Mapping[str, Channel], delivery: Delivery, notification: Notification, target: Target
) -> tuple[Outcome, str | None]:
    """Make one attempt: what became of it, and a word for the reason when it did not arrive."""
    channel = channels.get(delivery.channel)
    if channel is None:
        # Another version of Banyan, one that knows the channel, may be running beside this one.
        return "refused", "UnknownChannel"
    facts = {"banyan.delivery.id": delivery.id, "banyan.delivery.attempt": delivery.attempt}
    with span(f"deliver {delivery.channel}", "client", facts) as recorded:
        outcome, error = await _attempt(channel, delivery, notification, target)
        if recorded is not None and error is not None:
            recorded.failed(error)
    return outcome, error


async def _attempt(
    channel: Channel, delivery: Delivery, notification: Notification, target: Target
) -> tuple[Outcome, str | None]:
    try:
        async with asyncio.timeout(SEND_TIMEOUT.total_seconds()):
            await channel.send(delivery, notification, target)
    except Gone as reason:
        return "gone", str(reason) or "Gone"
    except Undeliverable as reason:
        return "undeliverable", str(reason) or "Undeliverable"
    except TryLater as reason:
        return "refused", str(reason) or "TryLater"
    except Exception as error:
        return "refused", type(error).__name__
    fault_point("after-send")
    return "delivered", None


def by_name(channels: Sequence[Channel]) -> Mapping[str, Channel]:
    return {channel.name: channel for channel in channels}
