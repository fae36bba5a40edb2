"""The migrations make exactly the tables that the code speaks to."""

import re
import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from banyan.infra.db import migrate
from banyan.infra.db.tables import metadata


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
    assert migrate.upgrade(migrated)
    engine = create_engine(f"sqlite:///{declared}")
    metadata.create_all(engine)
    engine.dispose()
    assert len(schema_of(declared)) > 20
    assert schema_of(migrated) == schema_of(declared)


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
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
    command.downgrade(config, "base")
    assert schema_of(path) == {}


def test_files_are_named_by_their_revision() -> None:
    """`newest_revision` trusts the names, so that a start need not import Alembic."""
    for path in (migrate.MIGRATIONS / "versions").glob("[0-9]*.py"):
        assert re.search(rf'^revision: str = "{path.stem.split("_")[0]}"$', path.read_text(), re.MULTILINE), (
            path
        )
