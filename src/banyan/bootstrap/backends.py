"""Backends: which database, positions, limiter and mail server the settings name."""

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from banyan.bootstrap import meters
from banyan.infra.cache.shared import SharedCache
from banyan.infra.db.postgres_wake import PostgresWake
from banyan.infra.db.shards import Shards
from banyan.infra.db.sqlite import SqliteDatabase
from banyan.infra.db.switchable import SwitchableDatabase
from banyan.infra.db.transaction import Database
from banyan.infra.http.health import Check
from banyan.infra.mail.mail import MailTransport
from banyan.infra.mail.outbox import DevelopmentOutbox
from banyan.infra.mail.smtp import SmtpTransport
from banyan.infra.mail.traced import TracedMail
from banyan.infra.outbound.addresses import AddressGuard
from banyan.infra.outbound.post import Outbound
from banyan.infra.resilience.rate_limit import MemoryRateLimiter, RateLimiter
from banyan.infra.streams.positions import Positions, SwitchingPositions
from banyan.infra.tasks.protocol import TaskBroker
from banyan.infra.telemetry.metrics import Metrics
from banyan.kernel.clock import Clock
from banyan.settings import Settings

AUDIENCE = "banyan"


def open_databases(settings: Settings, modules: Iterable[str]) -> dict[str, Shards]:
    """The shards of each module; modules whose data lies in one place have the same ones."""
    by_place: dict[Path | str, Shards] = {}
    found: dict[str, Shards] = {}
    for module in modules:
        place = settings.database_of(module)
        if place not in by_place:
            by_place[place] = Shards({"main": SwitchableDatabase(open_database(settings, place))})
        found[module] = by_place[place]
    return found


def has_other_writers(shards: Shards) -> bool:
    """Only the one process that a SQLite file has may trust what it remembers."""
    return not all(shards.named(name).commits_in_order for name in shards.names())


def positions_of(settings: Settings, shards: Shards) -> Positions:
    if settings.redis_url is None or not has_other_writers(shards):
        return SwitchingPositions(shards)
    from banyan.infra.redis.positions import RedisPositions

    url = settings.redis_url.get_secret_value()
    positions = RedisPositions.over(shards, _beside(shards), url, settings.redis_timeout)
    shards.settle_with(positions)
    return positions


def _beside(shards: Shards) -> dict[str, Database]:
    """More connections to the same databases: the lease on Redis must not lapse when the pool is used up."""
    from banyan.infra.db.postgres import PostgresDatabase

    found: dict[str, Database] = {}
    for name in shards.names():
        database = shards.named(name).present
        assert isinstance(database, PostgresDatabase)  # the only one that several processes share
        found[name] = database.beside(size=2)
    return found


def wakes_of(shards: Shards) -> list[PostgresWake]:
    """One for each shard, which rests while that is a file: it may become a PostgreSQL database while we serve."""
    return [PostgresWake(shards.named(name)) for name in shards.names()]


class Redis:
    """What processes know in common; each part does without when the settings name no Redis.

    shares_data: whether other processes may serve the same data; what only one serves needs no second cache.
    """

    def __init__(self, settings: Settings, metrics: Metrics, *, shares_data: bool) -> None:
        self.limiter: RateLimiter = MemoryRateLimiter()
        self.shared_cache: SharedCache | None = None
        self.checks: dict[str, Check] = {}
        self.closing: list[Callable[[], Awaitable[None]]] = []
        if settings.redis_url is None:
            return
        # Imported here: its client is an extra.
        from banyan.infra.redis.cache import RedisSharedCache
        from banyan.infra.redis.connection import RedisConnection
        from banyan.infra.redis.rate_limit import RedisRateLimiter

        connection = RedisConnection(settings.redis_url.get_secret_value(), settings.redis_timeout)
        self.limiter = limiter = RedisRateLimiter(connection, MemoryRateLimiter())
        self.checks["redis"] = connection.check
        self.closing = [connection.close, limiter.close]  # the last one is called first
        metrics.gauge(
            "banyan_redis_up", "1 while Redis answers.", lambda: connection.breaker.state == "closed"
        )
        meters.breaker(metrics, "redis", connection.breaker)
        if not shares_data:
            return
        self.shared_cache = cache = RedisSharedCache(connection)
        self.closing.append(cache.close)
        metrics.cache("shared", cache.use)


def mail_transport(settings: Settings, clock: Clock) -> MailTransport:
    """The one that really sends."""
    smtp = smtp_transport(settings)
    outbox = settings.data_dir / "mail"
    return TracedMail(smtp or DevelopmentOutbox(outbox, sender=settings.mail_from, clock=clock))


def smtp_transport(settings: Settings) -> SmtpTransport | None:
    """None when no mail server is set. Raises ValueError when it cannot be used as it is set."""
    if settings.smtp_host is None:
        return None
    return SmtpTransport(
        host=settings.smtp_host,
        port=settings.smtp_port,
        sender=settings.mail_from,
        encryption=settings.smtp_security,
        username=settings.smtp_user,
        password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
    )


def outbound(settings: Settings) -> Outbound:
    return Outbound(
        AddressGuard(settings.webhook_networks),
        http=settings.webhooks_over_http,
        timeout=settings.webhook_timeout,
    )


def task_broker(settings: Settings) -> TaskBroker | None:
    """None without RabbitMQ: this process does by itself what it would leave to a worker."""
    if settings.amqp_url is None:
        return None
    # Imported here: its driver is an extra.
    from banyan.infra.tasks.rabbitmq import RabbitTasks

    return RabbitTasks(settings.amqp_url.get_secret_value(), max_length=settings.tasks_max_length)


def open_database(settings: Settings, place: Path | str) -> Database:
    """The database at a path or a URL, with these settings; not started yet."""
    if isinstance(place, Path):
        return SqliteDatabase(place, readers=settings.database_readers)
    # Imported here: its driver is an extra.
    from banyan.infra.db.postgres import PostgresDatabase
    from banyan.infra.db.postgres_pool import PoolSettings

    pool = PoolSettings(
        size=settings.database_pool_size,
        idle_timeout=settings.database_idle_timeout,
        connect_timeout=settings.database_connect_timeout,
        pool_wait=settings.database_pool_wait,
        statement_timeout=settings.database_statement_timeout,
    )
    return PostgresDatabase(place, pool)
