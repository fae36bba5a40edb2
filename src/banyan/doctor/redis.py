"""Redis or Valkey: its version, whether it is one that can be used, its clock."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from banyan.doctor.clock import ahead_of, clock
from banyan.doctor.finding import Finding
from banyan.doctor.version import answers
from banyan.kernel.errors import BanyanError

PATIENCE = timedelta(seconds=3)
# The first that speaks RESP3. Every Valkey does.
OLDEST = (6, 0)


async def look(url: str) -> AsyncIterator[Finding]:
    # Imported here: its client is an extra.
    from banyan.infra.redis.connection import RedisConnection

    connection = RedisConnection(url, PATIENCE)
    where = urlsplit(url).netloc.rpartition("@")[2] or urlsplit(url).path
    try:
        facts: dict[str, Any] = await connection.do(lambda client: client.info())
        asked_at = time.time()
        seconds, microseconds = await connection.do(lambda client: client.time())
        ahead = ahead_of(seconds + microseconds / 1e6, asked_at)
    except BanyanError as error:
        yield Finding(
            "Redis",
            "fail",
            f"{where} does not let us in ({type(error.__cause__ or error).__name__}); reads are slower meanwhile.",
            "Look whether it runs, and at BANYAN_REDIS_URL: address, user and password.",
        )
        return
    finally:
        await connection.close()
    yield answers("Redis", where, *_version(facts), OLDEST)
    if (unfit := _unfit(facts)) is not None:
        yield unfit
    yield clock("Redis", ahead)


def _version(facts: dict[str, Any]) -> tuple[str, str]:
    """Its name, and its version. Valkey also says the Redis whose commands it has; that is not asked for here."""
    if facts.get("server_name") == "valkey":
        return "Valkey", str(facts.get("valkey_version"))
    return "Redis", str(facts.get("redis_version"))


def _unfit(facts: dict[str, Any]) -> Finding | None:
    if facts.get("redis_mode") == "cluster":
        return Finding(
            "Redis",
            "fail",
            "It is a cluster, whose nodes refuse scripts of several keys.",
            "Use one primary.",
        )
    if facts.get("role") != "master":
        return Finding("Redis", "fail", "It is a replica, and takes no writes.", "Name its primary.")
    if facts.get("maxmemory") and facts.get("maxmemory_policy") == "noeviction":
        return Finding(
            "Redis",
            "warn",
            "When it is full it refuses writes (noeviction), and reads become slower.",
            "Set maxmemory-policy allkeys-lru.",
        )
    return None
