"""A receiver in memory, for tests."""

from collections import deque

from banyan.modules.notifications.channels.channel import Target
from banyan.modules.notifications.model import Delivery, Notification


class MemoryChannel:
    """Keeps what it gets and where to, drops repeats by the delivery's id, and fails when told to.

    faults: raised one after the other, one at each sending, before anything is kept.
    """

    is_inbox = False

    def __init__(self, name: str = "memory", *, is_set_up: bool = False) -> None:
        self.name = name
        self.is_set_up = is_set_up
        self.received: dict[str, Notification] = {}
        self.targets: dict[str, Target] = {}
        self.faults: deque[Exception] = deque()
        self.sendings = 0

    async def send(self, delivery: Delivery, notification: Notification, target: Target) -> None:
        self.sendings += 1
        if self.faults:
            raise self.faults.popleft()
        self.targets[delivery.id] = target
        self.received.setdefault(delivery.id, notification)
