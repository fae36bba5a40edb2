"""Channels: the ways in which a notification reaches its person. A new one is one more adapter of `Channel`.

channel.py   the Protocol, and one attempt through it
in_app.py    the inbox itself
email.py     a mail to the account's verified address
webhook.py   a signed POST (Standard Webhooks) to a URL of the person's own
memory.py    the twin for tests
"""

from banyan.modules.notifications.channels.channel import (
    Channel,
    Gone,
    Target,
    TryLater,
    Undeliverable,
    by_name,
    send_through,
)
from banyan.modules.notifications.channels.in_app import IN_APP, InAppChannel
from banyan.modules.notifications.channels.memory import MemoryChannel

__all__ = [
    "IN_APP",
    "Channel",
    "Gone",
    "InAppChannel",
    "MemoryChannel",
    "Target",
    "TryLater",
    "Undeliverable",
    "by_name",
    "send_through",
]
