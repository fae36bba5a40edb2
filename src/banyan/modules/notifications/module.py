"""The notifications module, put together."""

from banyan.infra.cache.response_cache import ResponseCache
from banyan.infra.capabilities import Capabilities
from banyan.infra.http.cached import CachedAnswers
from banyan.infra.loops import Loop
from banyan.infra.module import Module
from banyan.infra.tasks.worker import TaskKind
from banyan.modules.notifications import handlers
from banyan.modules.notifications.channels import Channel, InAppChannel, by_name
from banyan.modules.notifications.contract import STREAM, Deliveries
from banyan.modules.notifications.delivery import DeliveryLoop
from banyan.modules.notifications.fold import FOLD
from banyan.modules.notifications.hot_routes import HotNotifications
from banyan.modules.notifications.internal_routes import internal_deliveries_router
from banyan.modules.notifications.routes import notification_router
from banyan.modules.notifications.service import NotificationService
from banyan.modules.notifications.tasks import DeliveryHandover, delivery_kind
from banyan.modules.users.contract import Users

# Of the memory for lists of to-dos.
CACHE_PART = 4


def build(infra: Capabilities, *, users: Users) -> Module:
    channels = all_channels()
    service = NotificationService(infra.shards, infra.logs[STREAM], infra.clock, users, channels)
    if infra.tasks is None:
        direct = DeliveryLoop(infra.shards, infra.clock, by_name(channels))
        loop, wake = Loop("deliveries", direct.run), direct.wake
    else:
        handover = DeliveryHandover(infra.shards, infra.clock, infra.tasks)
        loop, wake = handover.loop(), handover.wake
    cache = ResponseCache(max_bytes=infra.settings.cache_max_bytes // CACHE_PART)
    answers = CachedAnswers(STREAM, infra.positions, cache, infra.shared_cache)
    hot = HotNotifications(service, infra.cursors, answers)
    return Module(
        name=STREAM,
        contract=service,
        log=infra.logs[STREAM],
        routers=[notification_router(service, hot)],
        internal=[internal_deliveries_router(service, infra.service_tokens)],
        consumers=[handlers.consumer(service)],
        loops=[loop],
        folds=[FOLD],
        on_commit=wake,
    )


def task_kinds(deliveries: Deliveries) -> list[TaskKind]:
    """What a worker does for this module. deliveries: here, or in a service elsewhere."""
    return [delivery_kind(deliveries, by_name(all_channels()))]


def all_channels() -> list[Channel]:
    """A further channel is one more adapter in this list."""
    return [InAppChannel()]
