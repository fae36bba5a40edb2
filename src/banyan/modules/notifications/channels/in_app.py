"""The inbox itself."""

from banyan.modules.notifications.channels.channel import Target
from banyan.modules.notifications.model import Delivery, Notification

IN_APP = "in_app"


class InAppChannel:
    name = IN_APP
    is_inbox = True
    is_set_up = False

    async def send(self, delivery: Delivery, notification: Notification, target: Target) -> None:
        """The row is there, in the transaction that made the ledger's entry; nothing is left to do."""
