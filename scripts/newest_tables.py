"""Writes src/banyan/migrations/newest.sqlite.sql: what all migrations together make of an empty SQLite file.

.venv/bin/python scripts/newest_tables.py            after adding a migration
"""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from banyan.infra.db.migrate import NEWEST_TABLES, upgrade_step_by_step


def newest_tables() -> str:
    """The SQL, in one transaction."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.sqlite3"
        upgrade_step_by_step(path)
        with closing(sqlite3.connect(path)) as connection:
            return "\n".join(connection.iterdump()) + "\n"


if __name__ == "__main__":
    NEWEST_TABLES.write_text(newest_tables(), "utf-8")
