"""A receiver in memory, for tests."""

from collections import deque

from banyan.modules.notifications.channels.channel import Target
from banyan.modules.notifications.model import Delivery, Notification


class MemoryChannel:
    """Keeps what it gets, drops repeats by the delivery's id, and fails when told to.

    faults: raised one after the other, one at each sending, before anything is kept.
    """

    is_inbox = False
    is_set_up = False

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.received: dict[str, Notification] = {}
        self.faults: deque[Exception] = deque()
        self.sendings = 0

    async def send(self, delivery: Delivery, notification: Notification, target: Target) -> None:
        self.sendings += 1
        if self.faults:
            raise self.faults.popleft()
        self.received.setdefault(delivery.id, notification)
