"""What the relay needs of a bus."""

from collections.abc import Sequence
from typing import Protocol

from banyan.kernel.events import Event


class Bus(Protocol):
    async def prepare(self) -> None:
        """Called before the events are read that `publish` gets next.

        Raises Unavailable when they could not be taken at the moment.
        """
        ...

    async def publish(self, events: Sequence[Event]) -> None:
        """Hand over events, in order. When this returns, each will reach every consumer at least once.

        Raises Unavailable when they could not be taken; the caller publishes the same events again later.
        """
        ...
