"""The notifications module, put together."""

from banyan.infra.cache.response_cache import ResponseCache
from banyan.infra.capabilities import Capabilities
from banyan.infra.http.cached import CachedAnswers
from banyan.infra.loops import Loop
from banyan.infra.module import Module
from banyan.modules.notifications import handlers
from banyan.modules.notifications.channels import Channel, InAppChannel, by_name
from banyan.modules.notifications.contract import STREAM
from banyan.modules.notifications.delivery import DeliveryLoop
from banyan.modules.notifications.fold import FOLD
from banyan.modules.notifications.hot_routes import HotNotifications
from banyan.modules.notifications.routes import notification_router
from banyan.modules.notifications.service import NotificationService
from banyan.modules.users.contract import Users

CACHE_BYTES = 16 * 1024 * 1024


def build(infra: Capabilities, *, users: Users) -> Module:
    # A further channel is one more adapter in this list.
    channels: list[Channel] = [InAppChannel()]
    service = NotificationService(infra.shards, infra.logs[STREAM], infra.clock, users, channels)
    deliveries = DeliveryLoop(infra.shards, infra.clock, by_name(channels))
    answers = CachedAnswers(STREAM, infra.positions, ResponseCache(max_bytes=CACHE_BYTES), infra.shared_cache)
    hot = HotNotifications(service, infra.cursors, answers)
    return Module(
        name=STREAM,
        contract=service,
        log=infra.logs[STREAM],
        routers=[notification_router(service, hot)],
        consumers=[handlers.consumer(service)],
        loops=[Loop("deliveries", deliveries.run)],
        folds=[FOLD],
        on_commit=deliveries.wake,
    )
