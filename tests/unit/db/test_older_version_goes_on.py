"""While processes are exchanged, the older version works on the newer tables: each migration only adds (expand), and what
nobody uses any more goes with a later version (contract), which then says so in the changelog."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text

from banyan.infra.db import migrate

ROOT = Path(__file__).parents[3]
REVISIONS = sorted(path.stem.split("_")[0] for path in (migrate.MIGRATIONS / "versions").glob("[0-9]*.py"))
# What an older version cannot do meanwhile, and why that is borne.
BORNE = {
    # It cannot set an event aside: it delivers it again, and nothing is lost.
    "0002": ["failed_events.event must be given, and has no default"],
}
# What a migration may do by SQL of its own, which is not seen on SQLite.
_TAKES_AWAY = re.compile(
    r"\bDROP\s+(TABLE|COLUMN)|\bALTER\s+TABLE\b.*\b(RENAME|TYPE|SET\s+NOT\s+NULL|ADD\s+(CONSTRAINT|UNIQUE))|\bCREATE\s+UNIQUE\b",
    re.IGNORECASE,
)


@dataclass
class Shape:
    """A table: its columns as (type, whether an INSERT may leave it out), and what rows must fulfil."""

    columns: dict[str, tuple[str, bool]] = field(default_factory=dict)
    rules: set[str] = field(default_factory=set)


def shapes_of(path: Path) -> dict[str, Shape]:
    engine = create_engine(f"sqlite:///{path}")
    found = {}
    looked: Any = inspect(engine)
    for table in looked.get_table_names():
        shape = found[table] = Shape()
        for column in looked.get_columns(table):
            may_be_left_out = column["nullable"] or column["default"] is not None
            shape.columns[column["name"]] = (str(column["type"]), may_be_left_out)
        shape.rules |= {f"primary key {looked.get_pk_constraint(table)['constrained_columns']}"}
        shape.rules |= {f"unique {one['column_names']}" for one in looked.get_unique_constraints(table)}
        shape.rules |= {f"unique {one['column_names']}" for one in looked.get_indexes(table) if one["unique"]}
        shape.rules |= {f"check {one['sqltext']}" for one in looked.get_check_constraints(table)}
        shape.rules |= {f"refers {one['constrained_columns']}" for one in looked.get_foreign_keys(table)}
    engine.dispose()
    return found


def taken_away(before: dict[str, Shape], after: dict[str, Shape]) -> list[str]:
    """What an older version had, or could leave out, and what it has or can no longer."""
    found = []
    for table, old in before.items():
        if table not in after:
            found.append(f"{table} is gone")
            continue
        new = after[table]
        for name, (kind, may_be_left_out) in old.columns.items():
            if name not in new.columns:
                found.append(f"{table}.{name} is gone")
            elif new.columns[name][0] != kind:
                found.append(f"{table}.{name} was {kind}, and is {new.columns[name][0]}")
            elif may_be_left_out and not new.columns[name][1]:
                found.append(f"{table}.{name} must be given, and has no default")
        found += [
            f"{table}.{name} must be given, and has no default"
            for name, (_, may_be_left_out) in new.columns.items()
            if name not in old.columns and not may_be_left_out
        ]
        found += [f"{table}: {rule} is new" for rule in sorted(new.rules - old.rules)]
    return found


def upgraded(path: Path, revision: str) -> dict[str, Shape]:
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    config.attributes["database"] = path
    command.upgrade(config, revision)
    return shapes_of(path)


def test_no_migration_takes_away_what_the_version_before_uses(tmp_path: Path) -> None:
    path = tmp_path / "banyan.sqlite3"
    before = upgraded(path, REVISIONS[0])
    assert len(before) > 10
    for revision in REVISIONS[1:]:
        after = upgraded(path, revision)
        assert taken_away(before, after) == BORNE.get(revision, []), revision
        before = after


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_no_statement_of_its_own_takes_anything_away(revision: str) -> None:
    (path,) = (migrate.MIGRATIONS / "versions").glob(f"{revision}_*.py")
    upgrading = path.read_text("utf-8").partition("def downgrade")[0]
    assert _TAKES_AWAY.findall(upgrading) == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DROP TABLE deliveries", "deliveries is gone"),
        ("ALTER TABLE deliveries RENAME COLUMN error TO reason", "deliveries.error is gone"),
        ("ALTER TABLE deliveries DROP COLUMN error", "deliveries.error is gone"),
        ("CREATE UNIQUE INDEX one ON deliveries (error)", "deliveries: unique ['error'] is new"),
        (
            "DROP TABLE bookmarks; CREATE TABLE bookmarks (reader TEXT, sequence INTEGER, more TEXT NOT NULL)",
            "bookmarks.more must be given, and has no default",
        ),
    ],
)
def test_what_is_taken_away_is_seen(tmp_path: Path, statement: str, told: str) -> None:
    path = tmp_path / "banyan.sqlite3"
    migrate.upgrade(path)
    before = shapes_of(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        for part in statement.split(";"):
            connection.execute(text(part))
    engine.dispose()
    assert told in taken_away(before, shapes_of(path))


def test_what_only_adds_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "banyan.sqlite3"
    migrate.upgrade(path)
    before = shapes_of(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE deliveries ADD COLUMN colour TEXT"))
        connection.execute(text("ALTER TABLE deliveries ADD COLUMN size INTEGER NOT NULL DEFAULT 1"))
        connection.execute(text("CREATE TABLE habits (n INTEGER NOT NULL)"))
    engine.dispose()
    assert taken_away(before, shapes_of(path)) == []


def test_the_changelog_tells_of_each_migration() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    told = set(re.findall(r"^- `(\d{4})`", changelog, re.MULTILINE))
    assert told == set(REVISIONS[1:])
