"""PostgreSQL: its version, its migration, its clock."""

import time
from collections.abc import AsyncIterator

from banyan.doctor.clock import ahead_of, clock
from banyan.doctor.finding import Finding
from banyan.doctor.migrated import migrated
from banyan.doctor.version import answers
from banyan.kernel.errors import BanyanError
from banyan.settings import database_label

OLDEST = (13,)


async def look(url: str) -> AsyncIterator[Finding]:
    # Imported here: its driver is an extra.
    from banyan.infra.db.postgres_pool import open_connection, translated

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
            asked_at = time.time()
            version, now = await connection.fetchrow(
                "SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp())::float8"
            )
            ahead = ahead_of(now, asked_at)
            has_run = await connection.fetchval("SELECT to_regclass('alembic_version')") is not None
            revision = (
                await connection.fetchval("SELECT version_num FROM alembic_version") if has_run else None
            )
    finally:
        await connection.close()
    yield answers("PostgreSQL", label, "PostgreSQL", version, OLDEST)
    yield migrated(label, revision)
    yield clock("PostgreSQL", ahead)
