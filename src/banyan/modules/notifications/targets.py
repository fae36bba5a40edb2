"""Targets: where a delivery goes, found when it is sent. What changed after it was queued counts.

Of a webhook the URL and the secrets, out of its person's channel; of a mail the account's address, asked of the service
that has it. On the way to a worker a target is sealed for this very delivery.
"""

import json

from banyan.infra.auth.secret_box import SecretBox
from banyan.infra.db.shards import Shards
from banyan.kernel.clock import Clock
from banyan.modules.notifications import channel_store
from banyan.modules.notifications.channel_model import WebhookSecrets, sealed_for
from banyan.modules.notifications.channels import Target, Undeliverable
from banyan.modules.notifications.model import Delivery
from banyan.modules.users.contract import Users


class Targets:
    def __init__(self, shards: Shards, clock: Clock, users: Users, box: SecretBox) -> None:
        self._shards = shards
        self._clock = clock
        self._users = users
        self._box = box

    async def of(self, delivery: Delivery) -> Target:
        """Raises Undeliverable when there is none any more; any other error passes."""
        if delivery.channel_id is None:
            return {}
        channel = await self._shards.read(
            delivery.user_id, channel_store.find, delivery.user_id, delivery.channel_id
        )
        if channel is None:
            raise Undeliverable("ChannelDeleted")
        if not channel.enabled:
            raise Undeliverable("ChannelDisabled")
        if channel.kind == "email":
            return await self._address(delivery.user_id)
        assert channel.sealed is not None
        opened = self._box.open(channel.sealed, sealed_for(channel.user_id, channel.id))
        secrets = WebhookSecrets.from_json(opened)
        return {"url": secrets.url, "secrets": secrets.signing(self._clock.now())}

    def sealed(self, delivery: Delivery, target: Target) -> str | None:
        """For the way to a worker."""
        return self._box.seal(json.dumps(target).encode(), _context(delivery.id)) if target else None

    async def _address(self, user_id: str) -> Target:
        found = await self._users.mail_address(user_id)
        if found is None:
            raise Undeliverable("NoVerifiedAddress")
        return {"email": found.email, "name": found.name, "locale": found.locale}


def opened_target(box: SecretBox, delivery_id: str, sealed: str | None) -> Target:
    """What a worker makes of a sealed target. Raises SealedDataUnreadable."""
    return {} if sealed is None else json.loads(box.open(sealed, _context(delivery_id)))


def _context(delivery_id: str) -> str:
    return f"delivery/{delivery_id}"
