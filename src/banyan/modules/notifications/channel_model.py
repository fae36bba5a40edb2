"""The channels that people set up themselves: what they are, and what is secret about them.

enabled ──owner, or a receiver that wants nothing any more (410)──▶ disabled ──owner──▶ enabled
"""

import base64
import json
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from banyan.kernel.clock import to_text
from banyan.kernel.errors import Conflict, NotFound, PreconditionFailed

OwnKind = Literal["email", "webhook"]

MOST_CHANNELS = 10
# So long the former secret signs beside the new one: the receiver can change over without losing a message.
FORMER_SECRET_FOR = timedelta(hours=24)
SECRET_PREFIX = "whsec_"  # noqa: S105 - the form of a secret
_SECRET_BYTES = 32
GONE = "gone"


class ChannelNotFound(NotFound):
    code = "channel_not_found"
    detail = "Channel not found"


class TooManyChannels(Conflict):
    code = "too_many_channels"
    detail = f"You have {MOST_CHANNELS} channels, which is the most: delete one first."


class ChannelExists(Conflict):
    code = "channel_exists"
    detail = "Your e-mail channel is there already: there is one address, and so one channel."


class AddressNotVerified(Conflict):
    code = "address_not_verified"
    detail = "Confirm the e-mail address of your account first: notifications go to no other."


class ChannelDisabled(Conflict):
    code = "channel_disabled"
    detail = "This channel is disabled: enable it first."


class NotAWebhook(Conflict):
    code = "not_a_webhook"
    detail = "Only webhooks have a secret."


class ChannelChangedMeanwhile(PreconditionFailed):
    code = "version_mismatch"
    detail = "The channel has changed since you read it: read it again, then repeat your change."


@dataclass(frozen=True, slots=True)
class OwnChannel:
    """One channel of one person.

    host: of a webhook's URL, with its port. disabled_reason: `gone` when the receiver had it disabled. sealed: the
    WebhookSecrets.
    """

    user_id: str
    id: str
    kind: OwnKind
    name: str | None
    host: str | None
    enabled: bool
    disabled_reason: str | None
    sealed: str | None
    created_at: str
    updated_at: str
    version: int

    def as_event(self) -> dict[str, Any]:
        """What its events tell of it: all but its owner, whose stream it is, and what is sealed."""
        return {name: value for name, value in asdict(self).items() if name not in ("user_id", "sealed")}

    def changed(self, now: str, **fields: Any) -> tuple["OwnChannel", dict[str, Any]]:
        """The channel with these fields, and what its event tells; the same and nothing when they have these values."""
        if all(getattr(self, name) == value for name, value in fields.items()):
            return self, {}
        after = replace(self, **fields, updated_at=now, version=self.version + 1)
        before = self.as_event()
        return after, {name: value for name, value in after.as_event().items() if value != before[name]}


@dataclass(frozen=True, slots=True)
class WebhookSecrets:
    """former_until: until when the former secret signs as well."""

    url: str
    secret: str
    former_secret: str | None = None
    former_until: str | None = None

    def as_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "WebhookSecrets":
        return cls(**json.loads(text))

    def rotated(self, now: datetime) -> "WebhookSecrets":
        until = to_text(now + FORMER_SECRET_FOR)
        return replace(self, secret=new_secret(), former_secret=self.secret, former_until=until)

    def signing(self, now: datetime) -> list[str]:
        """The secrets that sign now, the newest first."""
        former_signs = self.former_until is not None and to_text(now) < self.former_until
        return [self.secret, *([self.former_secret] if former_signs and self.former_secret else [])]


def new_secret() -> str:
    """`whsec_` and 32 random bytes as base64. Source: Standard Webhooks, "Signature scheme"."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sealed_for(user_id: str, channel_id: str) -> str:
    """The context in which a channel's secrets are sealed."""
    return f"notification-channel/{user_id}/{channel_id}"
