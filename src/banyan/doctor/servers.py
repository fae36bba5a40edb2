"""The servers that the settings name: whether they answer, their versions, migrations and clocks."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from banyan.doctor.finding import Finding
from banyan.infra.db.migrate import newest_revision, status
from banyan.infra.db.sqlite_copy import DamagedFile, check
from banyan.kernel.errors import BanyanError
from banyan.settings import Settings, database_label
from banyan.targets import MODULES

PATIENCE_SECONDS = 3.0
OLDEST_POSTGRESQL = 13
# Tokens and reminders go by the clock: a second is seen, half a minute ends sessions early.
CLOCK_WARN_SECONDS = 1.0
CLOCK_FAIL_SECONDS = 30.0


async def look(settings: Settings) -> AsyncIterator[Finding]:
    for place in settings.databases(MODULES):
        if isinstance(place, Path) and not place.exists():
            yield migrated(database_label(place), None)
        elif isinstance(place, Path):
            with suppress(DamagedFile):  # which the look at the file tells
                check(place)
                yield migrated(database_label(place), status(place).current)
        else:
            async for finding in _postgresql(place):
                yield finding
    if settings.redis_url is not None:
        yield await _redis(settings.redis_url.get_secret_value())
    for server in settings.kafka_servers:
        yield await _port("Kafka", server, "BANYAN_KAFKA_SERVERS")
    if settings.amqp_url is not None:
        yield await _rabbitmq(settings.amqp_url.get_secret_value())
    if settings.smtp_host is not None:
        yield await _port(
            "SMTP", f"{settings.smtp_host}:{settings.smtp_port}", "BANYAN_SMTP_HOST", greeting=b"220"
        )


def migrated(label: str, revision: str | None) -> Finding:
    newest = newest_revision()
    if revision == newest:
        return Finding("migrations", "ok", f"{label} is at {newest}.")
    if revision is not None and revision > newest:
        return Finding(
            "migrations",
            "fail",
            f"{label} is at {revision}, of a later version.",
            "Install the later version again.",
        )
    return Finding(
        "migrations",
        "fail",
        f"{label} is at {revision or 'nothing'}; {newest} is pending.",
        "Run: banyan migrate",
    )


def clock(offset_seconds: float) -> Finding:
    """offset_seconds: how much the database's clock is ahead of ours."""
    apart = abs(offset_seconds)
    state = "fail" if apart > CLOCK_FAIL_SECONDS else "warn" if apart > CLOCK_WARN_SECONDS else "ok"
    todo = None if state == "ok" else "Let both machines follow NTP (timedatectl set-ntp true)."
    return Finding("clock", state, f"{apart:.2f} s from the database's.", todo)


async def _postgresql(url: str) -> AsyncIterator[Finding]:
    # Imported here: its driver is an extra.
    from banyan.infra.db.postgres import open_connection, translated

    label = database_label(url)
    try:
        connection = await open_connection(url, {})
    except BanyanError as error:
        yield Finding(
            "PostgreSQL",
            "fail",
            f"{label} does not let us in: {error.detail}",
            "Look whether it runs, and at BANYAN_DATABASE_URL: address, database, user and password.",
        )
        return
    try:
        with translated():
            began = time.time()
            version, now = await connection.fetchrow(
                "SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp())::float8"
            )
            middle = (began + time.time()) / 2
            has_run = await connection.fetchval("SELECT to_regclass('alembic_version')") is not None
            revision = (
                await connection.fetchval("SELECT version_num FROM alembic_version") if has_run else None
            )
    finally:
        await connection.close()
    is_old = int(version.split(".")[0]) < OLDEST_POSTGRESQL
    todo = f"Upgrade it to {OLDEST_POSTGRESQL} or later." if is_old else None
    yield Finding("PostgreSQL", "fail" if is_old else "ok", f"{label} answers; version {version}.", todo)
    yield migrated(label, revision)
    yield clock(now - middle)


async def _redis(url: str) -> Finding:
    # Imported here: its client is an extra.
    from banyan.infra.redis.connection import RedisConnection

    connection = RedisConnection(url, timedelta(seconds=PATIENCE_SECONDS))
    address = urlsplit(url).netloc.rpartition("@")[2]
    try:
        facts = await connection.do(lambda client: client.info("server"))
        name = facts.get("server_name", "redis")
        return Finding("Redis", "ok", f"{address} answers; {name} {facts.get('redis_version')}.")
    except BanyanError as error:
        return Finding(
            "Redis",
            "fail",
            f"{address} does not answer ({type(error.__cause__ or error).__name__}); reads are slower meanwhile.",
            "Look whether it runs, and at BANYAN_REDIS_URL.",
        )
    finally:
        await connection.close()


async def _rabbitmq(url: str) -> Finding:
    # Imported here: its driver is an extra.
    from banyan.infra.tasks.rabbitmq_link import Link

    async def declare_nothing(_connection: object) -> None:
        pass

    link = Link(url, "banyan doctor", declare_nothing)
    address = urlsplit(url).netloc.rpartition("@")[2]
    try:
        await link.connection()
        return Finding("RabbitMQ", "ok", f"{address} lets us in.")
    except BanyanError as error:
        return Finding(
            "RabbitMQ",
            "fail",
            f"{address} does not let us in ({error.facts.get('reason')}); tasks wait in the database meanwhile.",
            "Look whether it runs, and at BANYAN_AMQP_URL: address, user and password.",
        )
    finally:
        await link.close()


async def _port(name: str, address: str, setting: str, greeting: bytes = b"") -> Finding:
    """Whether something listens there, and greets as it should."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                said = await reader.readexactly(len(greeting)) if greeting else b""
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except (OSError, EOFError) as error:
        return Finding(
            name,
            "fail",
            f"{address} does not answer ({type(error).__name__}).",
            f"Look whether it runs, at {setting}, and at firewalls in between.",
        )
    if said != greeting:
        return Finding(name, "fail", f"{address} is no {name} server.", f"Look at {setting}.")
    return Finding(name, "ok", f"{address} can be reached.")
