"""Webhooks: a signed POST to a URL of the person's own, as Standard Webhooks has it.

Every attempt of a delivery carries the same `webhook-id`, by which the receiver can tell a repeat.
Source: https://www.standardwebhooks.com, specification 1.0.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence

from banyan.infra.outbound.errors import AddressRefused, NotReached
from banyan.infra.outbound.post import Outbound
from banyan.infra.outbound.target import UrlRefused
from banyan.kernel.clock import Clock
from banyan.modules.notifications.channel_model import SECRET_PREFIX
from banyan.modules.notifications.channels.channel import Gone, Target, TryLater, Undeliverable
from banyan.modules.notifications.model import Delivery, Notification

WEBHOOK = "webhook"


class WebhookChannel:
    """target: `url`, and `secrets`, each of which signs."""

    name = WEBHOOK
    is_inbox = False
    is_set_up = True

    def __init__(self, outbound: Outbound, clock: Clock) -> None:
        self._outbound = outbound
        self._clock = clock

    async def send(self, delivery: Delivery, notification: Notification, target: Target) -> None:
        """2xx is delivered, 410 is Gone, everything else is to be tried again; redirects too, which are not followed."""
        body = payload(notification)
        timestamp = int(self._clock.now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Banyan",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(target["secrets"], delivery.id, timestamp, body),
        }
        try:
            status = await self._outbound.post(target["url"], headers, body)
        except UrlRefused as error:
            # It was let in by other settings than the present ones.
            raise Undeliverable("UrlRefused") from error
        except AddressRefused as error:
            raise Undeliverable("AddressRefused") from error
        except NotReached as error:
            raise TryLater(error.reason) from error
        except TimeoutError as error:
            raise TryLater("TimedOut") from error
        if status == 410:
            raise Gone("Status410")
        if not 200 <= status <= 299:
            raise TryLater(f"Status{status}")


def payload(notification: Notification) -> bytes:
    """What the receiver reads: type, time and the notification. The same bytes at every attempt."""
    told = {name: value for name, value in notification.as_view().items() if name not in ("read", "read_at")}
    message = {"type": "notification.created", "timestamp": notification.created_at, "data": told}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def signatures(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: one signature for each secret. timestamp: Unix seconds."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()
        for secret in secrets
    )


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX))
