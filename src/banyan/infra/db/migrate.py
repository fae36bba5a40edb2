"""Migrations: Alembic's, run by Banyan itself at start and by `banyan migrate`."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

MIGRATIONS = Path(__file__).parents[2] / "migrations"


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    current: str | None
    newest: str

    @property
    def is_current(self) -> bool:
        return self.current == self.newest


def newest_revision() -> str:
    """The revision that this version of Banyan needs. Files are named by revision, so nothing need be imported."""
    return max(path.stem.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def status(path: Path) -> MigrationStatus:
    """Where a SQLite file stands."""
    current = None
    if path.exists():
        connection = sqlite3.connect(path, timeout=5)
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            current = row[0] if row else None
        except sqlite3.OperationalError:
            pass  # a file without the table has had no migration yet
        finally:
            connection.close()
    return MigrationStatus(current, newest_revision())


def upgrade(path: Path) -> bool:
    """Bring a SQLite file up to date; returns whether anything had to be done. Repeating it is safe."""
    if status(path).is_current:
        return False
    # Imported here: Alembic and the SQLAlchemy engine take a third of a second that most starts need not spend.
    from alembic import command
    from alembic.config import Config

    path.parent.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
    command.upgrade(config, "head")
    return True
