"""What must be so before anything is moved. Each function raises Refused with one sentence, and changes nothing."""

from collections.abc import Mapping
from typing import Any

from banyan.infra.db.migrate import status
from banyan.infra.db.promotion_record import read_address, read_record
from banyan.kernel.errors import Unavailable
from banyan.promotion.errors import Refused
from banyan.promotion.moved_tables import MovedTable
from banyan.promotion.postgres_side import PostgresSide
from banyan.promotion.sqlite_side import SqliteSide
from banyan.settings import Settings
from banyan.targets import MODULES

# `pg_current_xact_id` and its kin, which tell how far events can be read, came with 13.
OLDEST_POSTGRESQL = 130000


def installation(settings: Settings) -> None:
    """That there is a SQLite file to move, and that it is the true one."""
    record = read_record(settings.database_path)
    if record is not None and record.has_moved:
        raise Refused(
            f"this installation is on PostgreSQL already: {record.target}.",
            "Roll back with `banyan promote --rollback`, or make it final with `banyan promote --confirm`."
            if record.phase == "promoted"
            else None,
        )
    if settings.databases(MODULES) != [settings.database_path]:
        raise Refused(
            "the settings name a PostgreSQL database already, so there is no SQLite file to move.",
            "Unset BANYAN_DATABASE_URL and its kin if the data is in the SQLite file.",
        )
    if not settings.database_path.exists():
        raise Refused(f"there is no database in {settings.data_dir.resolve()}.")
    found = status(settings.database_path)
    if not found.is_current:
        raise Refused(
            f"the SQLite file is at migration {found.current or 'none'}, and this version needs {found.newest}.",
            "Bring it up to date with `banyan migrate`.",
        )


async def source(sqlite: SqliteSide, tables: Mapping[str, MovedTable]) -> None:
    """That every table is known, and that PostgreSQL can hold every value."""
    if unknown := await sqlite.unknown_tables():
        raise Refused(
            f"the SQLite file holds tables that are not Banyan's: {', '.join(unknown)}.", "Drop them first."
        )
    for table in tables.values():
        if (found := await sqlite.unstorable(table)) is not None:
            raise Refused(f"{found}.", "Change that value first.")


async def connect(postgres: PostgresSide, label: str) -> None:
    """Open the connection to the target."""
    try:
        await postgres.open()
    except Unavailable as error:
        why = str(error.__cause__ or error.detail).strip() or type(error.__cause__).__name__
        raise Refused(
            f"{label} cannot be reached: {why}.", "Check its address, user and password."
        ) from error


async def target(postgres: PostgresSide, settings: Settings, label: str) -> bool:
    """That the target can take the data, and is empty. True when it holds an earlier attempt of ours, to be wiped."""
    facts = await postgres.facts()
    _server(facts, settings, label)
    record = await postgres.record()
    address = read_address(settings.data_dir)
    if record is not None:
        # Ours, and not the true one: that is this SQLite file, or we would not be here.
        if address is not None and address.id == record.id:
            return True
        raise Refused(
            f"{label} holds the data of another installation's promotion.", "Give it an empty database."
        )
    if there := await postgres.tables_there():
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise Refused(
            f"{label} is not empty: it holds the table {there[0]}{more}.", "Give it an empty database."
        )
    return False


def _server(facts: Mapping[str, Any], settings: Settings, label: str) -> None:
    if facts["version"] < OLDEST_POSTGRESQL:
        raise Refused(f"{label} is PostgreSQL {facts['version_text']}; Banyan needs 13 or later.")
    if facts["is_standby"]:
        raise Refused(f"{label} is a standby, which takes no writes.", "Give the address of its primary.")
    if facts["encoding"] != "UTF8":
        raise Refused(
            f"{label} has the encoding {facts['encoding']}.", "Make the database with ENCODING 'UTF8'."
        )
    if not facts["has_icu"]:
        raise Refused(f"{label} runs on a PostgreSQL without ICU, which Banyan's search needs.")
    if not facts["may_create"]:
        raise Refused(
            f"the role {facts['role']} may not create tables in {label}.",
            f"Make it the owner: ALTER DATABASE … OWNER TO {facts['role']}, or GRANT CREATE ON SCHEMA"
            f" {facts['schema'] or 'public'} TO {facts['role']}.",
        )
    if facts["max_connections"] <= settings.database_pool_size:
        raise Refused(
            f"{label} allows {facts['max_connections']} connections, and this server would open {settings.database_pool_size}.",
            "Set BANYAN_DATABASE_POOL_SIZE lower and restart the server, or raise max_connections.",
        )
