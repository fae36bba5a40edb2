"""Column types and the one catalogue of tables.

Python sees ids, instants and JSON as text in every database; what the database makes of them is chosen here, so that
an adapter for another database adds a variant and no store changes.
"""

from sqlalchemy import BigInteger, Boolean, Integer, MetaData, String, Text, func, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.sql import Select, bindparam

__all__ = ["Flag", "Id", "Instant", "Json", "Position", "batch", "metadata", "upsert"]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = String(36)
Instant = String(27)
Json = Text()
Position = BigInteger().with_variant(Integer(), "sqlite")
Flag = Boolean(create_constraint=False)


def batch(name: str, *columns: str) -> Select:
    """A SELECT over a parameter that holds many rows, so that one statement serves them all.

    The parameter is JSON text: an array with one array a row, its values in the order of `columns`.
    """
    each = func.json_each(bindparam(name)).table_valued("value", name=name)
    return select(
        *(func.json_extract(each.c.value, f"$[{i}]").label(column) for i, column in enumerate(columns))
    )
