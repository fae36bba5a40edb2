"""Use cases of the channels that people set up themselves."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import to_json

from banyan.infra.auth.secret_box import SecretBox
from banyan.infra.db import Shards, Transaction
from banyan.infra.db.idempotency import IdempotentRequest, StoredAnswer, find_answer, store_answer
from banyan.infra.outbound.target import UrlRefused, UrlRules
from banyan.infra.streams.log import EventLog
from banyan.kernel.clock import Clock, now_text
from banyan.kernel.errors import FieldError, InvalidInput
from banyan.kernel.events import NewEvent
from banyan.kernel.ids import new_id
from banyan.modules.notifications import channel_store, store
from banyan.modules.notifications.channel_model import (
    MOST_CHANNELS,
    AddressNotVerified,
    ChannelChangedMeanwhile,
    ChannelDisabled,
    ChannelExists,
    ChannelNotFound,
    NotAWebhook,
    OwnChannel,
    OwnKind,
    TooManyChannels,
    WebhookSecrets,
    new_secret,
    sealed_for,
)
from banyan.modules.notifications.contract import (
    CHANNEL_CHANGED,
    CHANNEL_CREATED,
    CHANNEL_DELETED,
    NewNotification,
)
from banyan.modules.notifications.service import NotificationService
from banyan.modules.users.contract import UserNotFound, Users


@dataclass(frozen=True, slots=True)
class Shown:
    """A channel as its owner sees it. secret: only when it is new."""

    channel: OwnChannel
    url: str | None
    secret: str | None = None

    def as_view(self) -> dict[str, Any]:
        return {**self.channel.as_event(), "url": self.url}

    def as_answer(self) -> dict[str, Any]:
        """With the secret, which is told this once."""
        return {**self.as_view(), "secret": self.secret}

    @property
    def etag(self) -> str:
        return f'"{self.channel.version}"'


class ChannelService:
    """Every method that takes a channel's id raises ChannelNotFound, for a channel of somebody else too.

    rules: what URLs may be typed. idempotency: the same request with the same key is answered the same.
    """

    def __init__(
        self,
        shards: Shards,
        log: EventLog,
        clock: Clock,
        *,
        users: Users,
        box: SecretBox,
        rules: UrlRules,
        notifications: NotificationService,
    ) -> None:
        self._shards = shards
        self._log = log
        self._clock = clock
        self._users = users
        self._box = box
        self._rules = rules
        self._notifications = notifications

    async def all_of(self, user_id: str) -> list[Shown]:
        """The oldest first."""
        return [
            self._shown(channel)
            for channel in await self._shards.read(user_id, channel_store.all_of, user_id)
        ]

    async def get(self, user_id: str, channel_id: str) -> Shown:
        return self._shown(await self._shards.read(user_id, self._get, user_id, channel_id))

    async def create(
        self,
        user_id: str,
        session_id: str,
        *,
        kind: OwnKind,
        name: str | None,
        url: str | None,
        idempotency: IdempotentRequest | None,
    ) -> StoredAnswer:
        """Answers the channel, with its secret. Raises TooManyChannels, ChannelExists, AddressNotVerified, InvalidInput."""
        now = now_text(self._clock)
        channel_id, host, secrets = new_id(), None, None
        if kind == "webhook":
            assert url is not None
            host, secrets = self._host_of(url), WebhookSecrets(url, new_secret())
        elif await self._users.mail_address(user_id) is None:
            raise AddressNotVerified()
        new = OwnChannel(
            user_id=user_id,
            id=channel_id,
            kind=kind,
            name=name,
            host=host,
            enabled=True,
            disabled_reason=None,
            sealed=None if secrets is None else self._seal(user_id, channel_id, secrets),
            created_at=now,
            updated_at=now,
            version=1,
        )
        shown = Shown(new, url, secrets and secrets.secret)
        answer = StoredAnswer(201, to_json(shown.as_answer()), etag=shown.etag)

        async def create(tx: Transaction) -> StoredAnswer:
            await self._add(tx, session_id, new)
            return answer

        return await self._shards.transact(user_id, self._once, idempotency, create)

    async def change(
        self,
        user_id: str,
        session_id: str,
        channel_id: str,
        wanted: dict[str, Any],
        expected_version: int | None,
    ) -> Shown:
        """wanted: `name`, `enabled`, `url`. Raises ChannelChangedMeanwhile, InvalidInput, AddressNotVerified."""
        host = self._host_of(wanted["url"]) if "url" in wanted else None
        return await self._shards.transact(
            user_id, self._change, user_id, session_id, channel_id, wanted, host, expected_version
        )

    async def delete(self, user_id: str, session_id: str, channel_id: str) -> None:
        """What still waits for it is not sent."""
        await self._shards.transact(user_id, self._delete, user_id, session_id, channel_id)

    async def rotate_secret(
        self, user_id: str, session_id: str, channel_id: str, idempotency: IdempotentRequest | None
    ) -> StoredAnswer:
        """Answers the channel with its new secret; the former one signs beside it for a day. Raises NotAWebhook."""

        async def rotate(tx: Transaction) -> StoredAnswer:
            await self._log.hold(tx, user_id)
            before = await self._get(tx, user_id, channel_id)
            former = self._secrets(before)
            if former is None:
                raise NotAWebhook()
            secrets = former.rotated(self._clock.now())
            after, changes = before.changed(
                now_text(self._clock), sealed=self._seal(user_id, channel_id, secrets)
            )
            await self._replace(tx, session_id, after, changes)
            shown = Shown(after, secrets.url, secrets.secret)
            return StoredAnswer(200, to_json(shown.as_answer()), etag=shown.etag)

        return await self._shards.transact(user_id, self._once, idempotency, rotate)

    async def test(
        self, user_id: str, session_id: str, channel_id: str, idempotency: IdempotentRequest | None
    ) -> StoredAnswer:
        """Sends a notification through this channel alone; answers its id. Raises ChannelDisabled."""

        async def test(tx: Transaction) -> StoredAnswer:
            channel = await self._get(tx, user_id, channel_id)
            if not channel.enabled:
                raise ChannelDisabled()
            message = NewNotification(
                "message", "This channel works.", "Test message", {"test": True, "channel_id": channel_id}
            )
            sent = await self._notifications.create_for_channel(
                tx, user_id, message, channel_id, actor=session_id
            )
            return StoredAnswer(202, to_json({"id": sent, "status": "sent"}))

        return await self._shards.transact(user_id, self._once, idempotency, test)

    async def _add(self, tx: Transaction, session_id: str, new: OwnChannel) -> None:
        # So that two requests at once do not both find the last place free.
        await self._log.hold(tx, new.user_id)
        if (await store.doors(tx, {new.user_id})).closed:
            raise UserNotFound(user_id=new.user_id)
        present = await channel_store.all_of(tx, new.user_id)
        if len(present) >= MOST_CHANNELS:
            raise TooManyChannels()
        if new.kind == "email" and any(channel.kind == "email" for channel in present):
            raise ChannelExists()
        await channel_store.add(tx, new)
        event = NewEvent(CHANNEL_CREATED, new.id, new.as_event())
        await self._log.append(tx, new.user_id, [event], actor=session_id)

    async def _change(
        self,
        tx: Transaction,
        user_id: str,
        session_id: str,
        channel_id: str,
        wanted: dict[str, Any],
        host: str | None,
        expected_version: int | None,
    ) -> Shown:
        await self._log.hold(tx, user_id)
        before = await self._get(tx, user_id, channel_id)
        if expected_version is not None and expected_version != before.version:
            raise ChannelChangedMeanwhile()
        fields = {name: value for name, value in wanted.items() if name != "url"}
        if fields.get("enabled") is True:
            fields["disabled_reason"] = None
        if "url" in wanted:
            secrets = self._secrets(before)
            if secrets is None:
                raise InvalidInput(errors=[FieldError("/url", "is for webhooks only")])
            if wanted["url"] != secrets.url:
                changed = replace(secrets, url=wanted["url"])
                fields |= {"host": host, "sealed": self._seal(user_id, channel_id, changed)}
        after, changes = before.changed(now_text(self._clock), **fields)
        if after is not before:
            await self._replace(tx, session_id, after, changes)
        return self._shown(after)

    async def _replace(
        self, tx: Transaction, session_id: str, after: OwnChannel, changes: dict[str, Any]
    ) -> None:
        await channel_store.replace(tx, after)
        event = NewEvent(CHANNEL_CHANGED, after.id, changes)
        await self._log.append(tx, after.user_id, [event], actor=session_id)

    async def _delete(self, tx: Transaction, user_id: str, session_id: str, channel_id: str) -> None:
        await self._get(tx, user_id, channel_id)
        await channel_store.remove(tx, user_id, channel_id)
        await self._log.append(tx, user_id, [NewEvent(CHANNEL_DELETED, channel_id)], actor=session_id)

    async def _get(self, tx: Transaction, user_id: str, channel_id: str) -> OwnChannel:
        found = await channel_store.find(tx, user_id, channel_id)
        if found is None:
            raise ChannelNotFound(channel_id=channel_id)
        return found

    async def _once(
        self,
        tx: Transaction,
        request: IdempotentRequest | None,
        make: Callable[[Transaction], Awaitable[StoredAnswer]],
    ) -> StoredAnswer:
        """The answer to a request with a key is kept sealed: it may hold a secret."""
        if request is None:
            return await make(tx)
        context = f"idempotency/{request.user_id}/{request.key}"
        earlier = await find_answer(tx, request)
        if earlier is not None:
            return replace(earlier, body=self._box.open(earlier.body.decode(), context))
        answer = await make(tx)
        sealed = replace(answer, body=self._box.seal(answer.body, context).encode())
        await store_answer(tx, request, sealed, self._clock)
        return answer

    def _host_of(self, url: str) -> str:
        """Raises InvalidInput for a URL that cannot be sent to."""
        try:
            return self._rules.parse(url).authority
        except UrlRefused as refused:
            raise InvalidInput(errors=[FieldError("/url", refused.detail)]) from refused

    def _shown(self, channel: OwnChannel) -> Shown:
        secrets = self._secrets(channel)
        return Shown(channel, None if secrets is None else secrets.url)

    def _secrets(self, channel: OwnChannel) -> WebhookSecrets | None:
        if channel.sealed is None:
            return None
        return WebhookSecrets.from_json(
            self._box.open(channel.sealed, sealed_for(channel.user_id, channel.id))
        )

    def _seal(self, user_id: str, channel_id: str, secrets: WebhookSecrets) -> str:
        return self._box.seal(secrets.as_json(), sealed_for(user_id, channel_id))
