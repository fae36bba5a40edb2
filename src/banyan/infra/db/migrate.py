"""Migrations: Alembic's, run by Banyan itself at start and by `banyan migrate`.

A database is named by the path of a SQLite file or by the URL of a PostgreSQL database.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

MIGRATIONS = Path(__file__).parents[2] / "migrations"
# What all migrations together make of an empty SQLite file; scripts/newest_tables.py writes it, a test compares.
NEWEST_TABLES = MIGRATIONS / "newest.sqlite.sql"


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    current: str | None
    newest: str

    @property
    def is_current(self) -> bool:
        return self.current == self.newest

    @property
    def is_pending(self) -> bool:
        """Whether this version has something to do before it can serve. A database of a later version is served as it is:
        migrations leave to the version before them what it needs, and it has to restart and to be rolled back to."""
        return self.current is None or self.current < self.newest


def newest_revision() -> str:
    """The revision that this version of Banyan needs. Files are named by revision, so nothing need be imported."""
    return max(path.stem.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def status(database: Path | str) -> MigrationStatus:
    """Where a database stands. Raises Unavailable when a server does not answer."""
    if isinstance(database, str):
        from banyan.infra.db.postgres_migrations import current_revision

        return MigrationStatus(current_revision(database), newest_revision())
    return MigrationStatus(_revision_of_file(database), newest_revision())


def upgrade(database: Path | str) -> bool:
    """Bring a database up to date; returns whether anything had to be done. Repeating it is safe.

    Two processes may do it at once on PostgreSQL: the second waits, and finds nothing to do.
    """
    if not status(database).is_pending:
        return False
    if isinstance(database, Path) and _is_empty(database):
        _make_newest(database)
    # With a migration that is not in those tables yet, as while it is being written, its step follows.
    if not status(database).is_current:
        upgrade_step_by_step(database)
    return True


def upgrade_step_by_step(database: Path | str) -> None:
    """Run each pending migration, of an empty database too."""
    # Imported here: Alembic and the SQLAlchemy engine take a third of a second that most starts need not spend.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["database"] = database
    if isinstance(database, Path):
        database.parent.mkdir(parents=True, exist_ok=True)
    command.upgrade(config, "head")


def _is_empty(path: Path) -> bool:
    if not path.exists():
        return True
    with closing(sqlite3.connect(path, timeout=5)) as connection:
        return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def _make_newest(path: Path) -> None:
    """All tables at once, in one transaction: the first start of a new installation need not live through our history."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=5)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(NEWEST_TABLES.read_text("utf-8"))


def _revision_of_file(path: Path) -> str | None:
    if not path.exists():
        return None
    connection = sqlite3.connect(path, timeout=5)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return row[0] if row else None
    except sqlite3.OperationalError:
        return None  # a file without the table has had no migration yet
    finally:
        connection.close()
