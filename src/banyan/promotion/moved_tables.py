"""The tables that a promotion moves, and what each of their values must be on either side."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.types import BigInteger, Boolean, Integer, LargeBinary, String

from banyan import bootstrap
from banyan.infra.db.tables import Json, metadata
from banyan.infra.redis import tables as redis_tables

# Importing them is what puts every table into the catalogue. One that is forgotten here is refused (checks.py).
CATALOGUED = (bootstrap, redis_tables)

Key = tuple[Any, ...]
"""The values of a row's primary key, in its order."""
Row = tuple[Any, ...]
"""The values of a row in the order of its table's columns, with Python's own types: a flag is True or False."""

INT_LIMIT = 2**31
BIGINT_LIMIT = 2**63


class Unstorable(Exception):
    """PostgreSQL cannot hold a value. place: `table (key) column`. why: a half sentence."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(f"{place} {why}")
        self.place = place
        self.why = why


class Mismatch(Exception):
    """A row is not the same on both sides. place: `table (key)`."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place} is not the same on both sides")
        self.place = place


@dataclass(frozen=True)
class MovedTable:
    table: Table

    @property
    def name(self) -> str:
        return self.table.name

    @cached_property
    def columns(self) -> tuple[Column[Any], ...]:
        return tuple(self.table.columns)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def keys(self) -> tuple[Column[Any], ...]:
        return tuple(self.table.primary_key.columns)

    @cached_property
    def counter(self) -> str | None:
        """The column whose values the database counts; None when there is none."""
        column = self.table.autoincrement_column
        return column.name if column is not None and column.autoincrement is True else None

    def key_of(self, row: Row) -> Key:
        return tuple(row[place] for place in self._key_places)

    def by_key(self, rows: Iterable[Row]) -> dict[Key, Row]:
        return {self.key_of(row): row for row in rows}

    def from_sqlite(self, rows: Iterable[Sequence[Any]]) -> list[Row]:
        """Rows as SQLite gives them, with Python's own types."""
        flags = self._flag_places
        if not flags:
            return [tuple(row) for row in rows]
        found = []
        for row in rows:
            values = list(row)
            for place in flags:
                if values[place] is not None:
                    values[place] = bool(values[place])
            found.append(tuple(values))
        return found

    def place(self, key: Key) -> str:
        """A row's place, for people."""
        return f"{self.name} ({', '.join(str(part) for part in key)})"

    def check(self, rows: Sequence[Row]) -> None:
        """Raises Unstorable for the first value that PostgreSQL cannot hold."""
        for place, column in enumerate(self.columns):
            for row in rows:
                value = row[place]
                if value is not None and (why := _fault(column, value)) is not None:
                    raise Unstorable(f"{self.place(self.key_of(row))}, {column.name}", why)

    @cached_property
    def _key_places(self) -> tuple[int, ...]:
        return tuple(self.names.index(column.name) for column in self.keys)

    @cached_property
    def _flag_places(self) -> tuple[int, ...]:
        return tuple(i for i, column in enumerate(self.columns) if isinstance(column.type, Boolean))


def moved_tables() -> list[MovedTable]:
    """Every table of Banyan's."""
    return [MovedTable(table) for table in metadata.sorted_tables]


def checksum(rows: Sequence[Row], before: str = "") -> str:
    """A checksum of these rows in this order, and of those that `before` is the checksum of."""
    return blake2b((before + repr(rows)).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def in_pages(keys: Sequence[Key], size: int) -> Iterator[Sequence[Key]]:
    for first in range(0, len(keys), size):
        yield keys[first : first + size]


def _fault(column: Column[Any], value: Any) -> str | None:
    kind = column.type
    if isinstance(kind, Boolean):
        return None
    if isinstance(kind, Integer):
        limit = BIGINT_LIMIT if isinstance(kind, BigInteger) else INT_LIMIT
        if not isinstance(value, int):
            return "is no whole number"
        return None if -limit <= value < limit else "is too large a number for PostgreSQL"
    if isinstance(kind, LargeBinary):
        return None if isinstance(value, bytes) else "is text where bytes should be"
    if not isinstance(value, str):
        return "is no text"
    if "\x00" in value or (kind is Json and column.table.name != "events" and _escapes_nul(value)):
        # What the event log holds is never looked into by the database, so an escape is no harm there.
        return "holds the character U+0000, which PostgreSQL cannot store"
    if isinstance(kind, String) and kind.length is not None and len(value) > kind.length:
        return f"is longer than {kind.length} characters"
    return None


def _escapes_nul(json_text: str) -> bool:
    """Whether a JSON text has the escape for U+0000: a backslash that is not itself escaped."""
    found = json_text.find("\\u0000")
    while found >= 0:
        backslashes = found
        while backslashes > 0 and json_text[backslashes - 1] == "\\":
            backslashes -= 1
        if (found - backslashes) % 2 == 0:
            return True
        found = json_text.find("\\u0000", found + 1)
    return False
