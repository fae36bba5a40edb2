"""The batch insert of events on PostgreSQL: rows as one JSON parameter (as it is) against one array a column (`unnest`).

    python benchmarks/postgresql/batch_insert.py postgresql://…/empty_migrated_database

Statements alternate on one connection, each first in every second turn and rolled back, so that no fsync is part of it. Medians in milliseconds, with
the making of the parameters in Python; every event has 300 bytes of data.
"""

import asyncio
import statistics
import sys
import time

import asyncpg
from pydantic_core import to_json
from sqlalchemy.dialects.postgresql import asyncpg as dialect

from banyan.infra.streams.log import _COLUMNS, _INSERT
from banyan.kernel.ids import new_id

NAMES = [column.name for column in _COLUMNS]
TYPES = ["bigint" if name == "position" else "text" for name in NAMES]
ARRAYS = ", ".join(f"${i}::{kind}[]" for i, kind in enumerate(TYPES, 1))
UNNEST = f"INSERT INTO events ({', '.join(NAMES)}) SELECT * FROM unnest({ARRAYS})"
JSON = str(_INSERT.compile(dialect=dialect.dialect()))
AT = "2030-01-01T00:00:00.000000Z"


def rows(count: int) -> list[list[object]]:
    data = to_json({"text": "x" * 289}).decode()
    return [
        [new_id(), new_id(), "todos", 1, "TodoCreated", new_id(), data, new_id(), AT, None]
        for _ in range(count)
    ]


async def timed(connection: asyncpg.Connection, sql: str, make, values: list[list[object]]) -> float:
    transaction = connection.transaction()
    await transaction.start()
    began = time.perf_counter()
    await connection.execute(sql, *make(values))
    took = time.perf_counter() - began
    await transaction.rollback()
    return took * 1000


async def main(url: str) -> None:
    connection = await asyncpg.connect(url, server_settings={"jit": "off"})
    ways = {
        "json": (JSON, lambda values: [to_json(values).decode()]),
        "unnest": (UNNEST, lambda values: [list(column) for column in zip(*values, strict=True)]),
    }
    print("rows    json   unnest   (ms, median)")
    for count in (1, 16, 64, 256):
        times: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(-20, 300 if count < 256 else 150):
            values = rows(count)
            for name, (sql, make) in list(ways.items())[:: 1 if turn % 2 else -1]:
                took = await timed(connection, sql, make, values)
                if turn >= 0:
                    times[name].append(took)
        print(
            f"{count:4}  {statistics.median(times['json']):6.2f}  {statistics.median(times['unnest']):6.2f}"
        )
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
