"""The notifications module without HTTP: a service over a database in a temporary folder, with a clock that tests turn."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.databases import opened_shards

from banyan.infra.auth.principal import Principal
from banyan.infra.auth.secret_box import SecretBox
from banyan.infra.auth.sessions import SessionNews
from banyan.infra.db.shards import Shards
from banyan.infra.outbound.addresses import AddressGuard
from banyan.infra.outbound.target import UrlRules
from banyan.infra.streams.log import EventLog
from banyan.kernel.clock import ManualClock
from banyan.kernel.errors import Unauthenticated, Unavailable
from banyan.kernel.events import Event
from banyan.modules.notifications import ledger
from banyan.modules.notifications.channel_service import ChannelService
from banyan.modules.notifications.channels import Channel, InAppChannel, MemoryChannel, by_name
from banyan.modules.notifications.contract import STREAM, NewNotification
from banyan.modules.notifications.delivery import DeliveryLoop
from banyan.modules.notifications.leases import DeliveryLeases
from banyan.modules.notifications.service import NotificationService
from banyan.modules.notifications.settling import Settling
from banyan.modules.notifications.targets import Targets
from banyan.modules.users.contract import MailAddress

ADA = "01890a5d-ac96-774b-bcce-b302099a8057"
BOB = "01890a5d-ac96-774b-bcce-b302099a8058"
NOBODY = "01890a5d-ac96-774b-bcce-b302099a8059"


class KnownUsers:
    """The users contract, for a fixed set of people."""

    def __init__(self, *ids: str) -> None:
        self.ids = set(ids)
        self.addresses: dict[str, MailAddress] = {}

    async def exists(self, user_id: str) -> bool:
        return user_id in self.ids

    async def existing(self, user_ids: Sequence[str]) -> set[str]:
        return self.ids & set(user_ids)

    async def mail_address(self, user_id: str) -> MailAddress | None:
        return self.addresses.get(user_id)

    async def redeem_ticket(self, ticket: str) -> Principal:
        raise Unauthenticated()

    async def session_news(self, since: str | None, *, seen: str | None = None) -> SessionNews:
        raise Unavailable()


class Inboxes:
    def __init__(self, shards: Shards, clock: ManualClock) -> None:
        self.shards = shards
        self.clock = clock
        self.log = EventLog(STREAM, clock)
        self.users = KnownUsers(ADA, BOB)
        self.channel = MemoryChannel()
        self.webhook = MemoryChannel("webhook", is_set_up=True)
        self.email = MemoryChannel("email", is_set_up=True)
        channels: Sequence[Channel] = [InAppChannel(), self.channel, self.webhook, self.email]
        self.box = SecretBox("a secret of tests that is long enough")
        self.targets = Targets(shards, clock, self.users, self.box)
        self.settling = Settling(shards, self.log, clock)
        leases = DeliveryLeases(shards, clock, self.targets, self.settling)
        self.service = NotificationService(shards, self.log, clock, self.users, channels, leases)
        self.own = ChannelService(
            shards,
            self.log,
            clock,
            users=self.users,
            box=self.box,
            rules=UrlRules(AddressGuard(), http=False),
            notifications=self.service,
        )
        self.loop = self.loop_through(channels)

    def loop_through(self, channels: Sequence[Channel]) -> DeliveryLoop:
        return DeliveryLoop(self.shards, self.clock, by_name(channels), self.targets, self.settling, self.log)

    async def send(self, message: str = "Hello", user: str = ADA, *, through_memory: bool = False) -> str:
        channels = ("in_app", "memory") if through_memory else ("in_app",)
        return await self.service.notify(user, NewNotification("message", message, channels=channels))

    async def messages(self, user: str = ADA) -> list[str]:
        """The inbox, newest first."""
        page = await self.service.page(user, unread_only=False, before=None, limit=200)
        return [notification.message for notification in page.notifications]

    async def events(self, user: str = ADA) -> list[Event]:
        return await self.shards.read(user, self.log.read, user, after=0, limit=10_000)

    async def states(self, notification_id: str, user: str = ADA) -> dict[str, tuple[str, int]]:
        """Channel → status and attempt."""
        found = await self.service.deliveries(user, notification_id)
        return {delivery.channel: (delivery.status.value, delivery.attempt) for delivery in found}

    async def claim(self) -> list[ledger.Claim]:
        return await self.shards.transact(ADA, ledger.claim_due, self.clock.now(), 100)


@asynccontextmanager
async def opened_inboxes(folder: Path, clock: ManualClock | None = None) -> AsyncIterator[Inboxes]:
    async with opened_shards(folder) as shards:
        inboxes = Inboxes(shards, clock or ManualClock())
        shards.on_commit(inboxes.loop.wake)
        yield inboxes
