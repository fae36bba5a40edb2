"""The migrations make exactly the tables that the code speaks to."""

import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from tests.support.command_line import banyan
from tests.support.postgres import PostgresServer, postgres_server

from banyan.infra.db import migrate
from banyan.infra.db.postgres_migrations import run_alone
from banyan.infra.db.tables import metadata
from banyan.infra.streams.log import event_from_text
from banyan.kernel.events import Event


def schema_of(path: Path) -> dict[str, str]:
    """name → what SQLite has of each table and index, spaces and quotes aside."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT IN ('alembic_version', 'sqlite_sequence')"
        ).fetchall()
    finally:
        connection.close()
    return {name: re.sub(r"\s+", "", sql).replace('"', "") for name, sql in rows}


def test_migrating_an_empty_file_makes_the_tables_of_the_code(tmp_path: Path) -> None:
    migrated, declared = tmp_path / "migrated.sqlite3", tmp_path / "declared.sqlite3"
    migrate.upgrade_step_by_step(migrated)
    engine = create_engine(f"sqlite:///{declared}")
    metadata.create_all(engine)
    engine.dispose()
    assert len(schema_of(declared)) > 20
    assert schema_of(migrated) == schema_of(declared)


def test_the_tables_of_a_first_start_are_those_of_all_migrations(tmp_path: Path) -> None:
    stepwise, at_once = tmp_path / "stepwise.sqlite3", tmp_path / "at_once.sqlite3"
    migrate.upgrade_step_by_step(stepwise)
    migrate.upgrade(at_once)
    with closing(sqlite3.connect(stepwise)) as former, closing(sqlite3.connect(at_once)) as new:
        assert list(new.iterdump()) == list(former.iterdump()), "run scripts/newest_tables.py"
        for setting in ("journal_mode", "page_size", "auto_vacuum", "user_version"):
            assert (
                new.execute(f"PRAGMA {setting}").fetchone() == former.execute(f"PRAGMA {setting}").fetchone()
            )


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "banyan.sqlite3"
    assert migrate.upgrade(path)
    before = schema_of(path)
    assert not migrate.upgrade(path)
    assert schema_of(path) == before


def test_the_status_of_a_file_is_what_was_applied(tmp_path: Path) -> None:
    path = tmp_path / "banyan.sqlite3"
    assert migrate.status(path).current is None
    migrate.upgrade(path)
    assert migrate.status(path).is_current


def test_every_migration_can_be_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "banyan.sqlite3"
    migrate.upgrade(path)
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    config.attributes["database"] = path
    command.downgrade(config, "base")
    assert schema_of(path) == {}


def test_what_is_set_aside_keeps_its_event_over_the_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "banyan.sqlite3"
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    config.attributes["database"] = path
    command.upgrade(config, "0001")
    at = "2030-01-01T00:00:00.000000Z"
    with closing(sqlite3.connect(path)) as database:
        event = (7, "event-1", "ada", "todos", 1, "TodoCreated", "t", '{"title":"Tea"}', None, at, None)
        database.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", event)
        for position in (1, 2):  # the log of the second is erased
            row = ("ada", "todos", position, "stats", "parked", 5, at, "ValueError")
            database.execute("INSERT INTO failed_events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        database.commit()
    migrate.upgrade(path)
    with closing(sqlite3.connect(path)) as database:
        kept = database.execute("SELECT event FROM failed_events").fetchall()
    expected = Event("event-1", "ada", "todos", 1, "TodoCreated", "t", {"title": "Tea"}, None, at, sequence=7)
    assert [event_from_text(text) for (text,) in kept] == [expected]


def postgresql_schema(server: PostgresServer, url: str) -> list[str]:
    """Each column and index of a PostgreSQL database, as the server describes it."""
    columns = """SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, l.collname,
        pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum LEFT JOIN pg_collation l ON l.oid = a.attcollation
        WHERE c.relkind = 'r' AND a.attnum > 0 AND c.relnamespace = 'public'::regnamespace"""
    indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
    lines = [
        line
        for query in (columns, indexes)
        for line in server.sql(query, url.rpartition("/")[2]).splitlines()
    ]
    return sorted(line for line in lines if "alembic_version" not in line)


def test_migrating_postgresql_makes_the_tables_of_the_code() -> None:
    server = postgres_server()
    migrated, declared = server.new_database(), server.new_database()
    assert migrate.upgrade(migrated)
    run_alone(declared, metadata.create_all)
    schema = postgresql_schema(server, declared)
    assert len(schema) > 100
    assert postgresql_schema(server, migrated) == schema


def test_of_processes_that_migrate_postgresql_at_once_each_finds_it_done(tmp_path: Path) -> None:
    url = postgres_server().new_database()

    def migrate_in_a_process(number: int) -> int:
        settings = {"BANYAN_DATABASE_URL": url}
        return banyan(["migrate"], tmp_path / str(number), settings).code

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(migrate_in_a_process, range(3))) == [0, 0, 0]
    assert migrate.status(url).is_current
    assert not migrate.upgrade(url)


def test_files_are_named_by_their_revision() -> None:
    """`newest_revision` trusts the names, so that a start need not import Alembic."""
    for path in (migrate.MIGRATIONS / "versions").glob("[0-9]*.py"):
        assert re.search(rf'^revision: str = "{path.stem.split("_")[0]}"$', path.read_text(), re.MULTILINE), (
            path
        )
