"""The notifications module, put together."""

from collections.abc import Sequence

from banyan.infra.auth.secret_box import SecretBox
from banyan.infra.cache.response_cache import ResponseCache
from banyan.infra.capabilities import Capabilities
from banyan.infra.http.cached import CachedAnswers
from banyan.infra.loops import Loop
from banyan.infra.mail.mail import MailTransport
from banyan.infra.module import Module
from banyan.infra.outbound.post import Outbound
from banyan.infra.tasks.worker import TaskKind
from banyan.kernel.clock import Clock
from banyan.modules.notifications import handlers
from banyan.modules.notifications.channel_routes import channel_router
from banyan.modules.notifications.channel_service import ChannelService
from banyan.modules.notifications.channels import Channel, InAppChannel, by_name
from banyan.modules.notifications.channels.email import EmailChannel
from banyan.modules.notifications.channels.webhook import WebhookChannel
from banyan.modules.notifications.contract import STREAM, Deliveries
from banyan.modules.notifications.delivery import DeliveryLoop
from banyan.modules.notifications.fold import FOLD
from banyan.modules.notifications.hot_routes import HotNotifications
from banyan.modules.notifications.internal_routes import internal_deliveries_router
from banyan.modules.notifications.leases import DeliveryLeases
from banyan.modules.notifications.routes import notification_router
from banyan.modules.notifications.service import NotificationService
from banyan.modules.notifications.settling import Settling
from banyan.modules.notifications.targets import Targets
from banyan.modules.notifications.tasks import DeliveryHandover, delivery_kind
from banyan.modules.users.contract import Users

# Of the memory for lists of to-dos.
CACHE_PART = 4


def build(infra: Capabilities, *, users: Users) -> Module:
    channels = all_channels(infra.mail, infra.settings.mail_url, infra.outbound, infra.clock)
    log, box = infra.logs[STREAM], infra.secret_box
    targets = Targets(infra.shards, infra.clock, users, box)
    settling = Settling(infra.shards, log, infra.clock)
    leases = DeliveryLeases(infra.shards, infra.clock, targets, settling)
    service = NotificationService(infra.shards, log, infra.clock, users, channels, leases)
    own_channels = ChannelService(
        infra.shards,
        log,
        infra.clock,
        users=users,
        box=box,
        rules=infra.outbound.rules,
        notifications=service,
    )
    if infra.tasks is None:
        direct = DeliveryLoop(infra.shards, infra.clock, by_name(channels), targets, settling, log)
        loop, wake = Loop("deliveries", direct.run, direct.deliver_due), direct.wake
    else:
        handover = DeliveryHandover(infra.shards, infra.clock, infra.tasks, log)
        loop, wake = handover.loop(), handover.wake
    cache = ResponseCache(max_bytes=infra.settings.cache_max_bytes // CACHE_PART)
    answers = CachedAnswers(STREAM, infra.positions, cache, infra.shared_cache)
    answers.measured(infra.metrics, "notifications")
    hot = HotNotifications(service, infra.cursors, answers)
    return Module(
        name=STREAM,
        contract=service,
        log=log,
        # In this order: `channels` is no notification's id.
        routers=[channel_router(own_channels), notification_router(service, hot)],
        internal=[internal_deliveries_router(service, infra.service_tokens)],
        consumers=[handlers.consumer(service)],
        loops=[loop],
        folds=[FOLD],
        on_commit=wake,
    )


def task_kinds(deliveries: Deliveries, channels: Sequence[Channel], box: SecretBox) -> list[TaskKind]:
    """What a worker does for this module. deliveries: here, or in a service elsewhere."""
    return [delivery_kind(deliveries, by_name(channels), box)]


def all_channels(mail: MailTransport, base_url: str, outbound: Outbound, clock: Clock) -> list[Channel]:
    """A further channel is one more adapter in this list. base_url: where the web application is."""
    return [InAppChannel(), EmailChannel(mail, base_url), WebhookChannel(outbound, clock)]
