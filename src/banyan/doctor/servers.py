"""The servers that the settings name, each asked in its own language."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from banyan.doctor import kafka, postgresql, rabbitmq, redis, smtp
from banyan.doctor.finding import Finding
from banyan.doctor.migrated import migrated
from banyan.infra.db.migrate import status
from banyan.infra.db.sqlite_copy import DamagedFile, check, damage_told
from banyan.settings import Settings, database_label
from banyan.targets import MODULES


async def look(settings: Settings) -> AsyncIterator[Finding]:
    for place in settings.databases(MODULES):
        if isinstance(place, Path) and not place.exists():
            yield migrated(database_label(place), None)
        elif isinstance(place, Path):
            with suppress(DamagedFile), damage_told():  # which the look at the file tells
                check(place)
                yield migrated(database_label(place), status(place).current)
        else:
            async for finding in postgresql.look(place):
                yield finding
    if settings.redis_url is not None:
        async for finding in redis.look(settings.redis_url.get_secret_value()):
            yield finding
    if settings.kafka_servers:
        async for finding in kafka.look(settings.kafka_servers, with_tls=settings.kafka_tls):
            yield finding
    if settings.amqp_url is not None:
        yield await rabbitmq.look(settings.amqp_url.get_secret_value())
    if settings.smtp_host is not None:
        yield await smtp.look(settings)
