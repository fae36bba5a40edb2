"""Column types and the one catalogue of tables.

Python sees ids, instants and JSON as text in every database; what the database makes of them is chosen here, so that
an adapter for another database adds a variant and no store changes.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, ColumnElement, Integer, MetaData, String, Text, select

# SQLite has the same clauses, and renders what PostgreSQL's insert() says.
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import Select, Subquery, bindparam
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from banyan.infra.db.json_sql import json_has_items, json_item, json_rows

__all__ = [
    "Flag",
    "Id",
    "Instant",
    "Json",
    "Position",
    "batch",
    "batch_of_keys",
    "lower",
    "metadata",
    "upsert",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Compared byte by byte, as SQLite and Python do: a language's rules would sort "~" before the digits.
Id = String(36).with_variant(String(36, collation="C"), "postgresql")
Instant = String(27).with_variant(String(27, collation="C"), "postgresql")
Json = Text()
Position = BigInteger().with_variant(Integer(), "sqlite")
Flag = Boolean(create_constraint=False)


def batch(name: str, *columns: Column[Any]) -> Select:
    """A SELECT over a parameter that holds many rows, so that one statement serves them all.

    The parameter is JSON text: an array with one array a row, its values in the order of `columns`, which give the
    names and types of the SELECT's own.
    """
    return _batch(name, columns)[0]


def batch_of_keys(name: str, *columns: Column[Any]) -> Subquery:
    """A `batch` of keys, to join with the table that holds them.

    PostgreSQL takes any such batch for a hundred rows, and for a hundred it reads a table of some thousands from end to end
    rather than look into its index. Most batches are of one or a few: what every row fulfils, and the planner takes for rare, says so.
    """
    rows, row = _batch(name, columns)
    return rows.where(json_has_items(row, len(columns))).subquery()


def _batch(name: str, columns: Sequence[Column[Any]]) -> tuple[Select, ColumnElement[Any]]:
    """The SELECT, and the row that its columns are taken from."""
    row = json_rows(bindparam(name, type_=Text()), name).c.value
    return select(
        *(json_item(row, index, column.type).label(column.name) for index, column in enumerate(columns))
    ), row


class lower(FunctionElement[str]):  # noqa: N801 - written like a function of SQL
    """In lower case by the rules of Unicode, as Python's `str.lower`, whatever the database's own language is."""

    type = Text()
    inherit_cache = True


@compiles(lower)
def _lower(element: lower, compiler: SQLCompiler, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(lower, "postgresql")
def _lower_postgresql(element: lower, compiler: SQLCompiler, **options: Any) -> str:
    return f'lower({compiler.process(element.clauses, **options)} COLLATE "und-x-icu")'
