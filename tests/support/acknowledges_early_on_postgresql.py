"""A broken twin of the server: on PostgreSQL it acknowledges before it commits. The crash test must find it out.

Run it like `python -m banyan`.
"""

import asyncio
from typing import Any

from banyan.cli import main
from banyan.infra.db import postgres, postgres_pool, postgres_units

# A commit that is put off for as long as this loses whatever was acknowledged meanwhile.
PUT_OFF_SECONDS = 0.05
_tasks: set[asyncio.Task[None]] = set()


async def once_early(self: Any) -> tuple[Any, Any]:
    tx = postgres_units.PostgresTransaction(self._database.statements)
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def whole() -> None:
        async with self._database.connection() as connection:
            await postgres_units.run_bare(connection, postgres.BEGIN)
            try:
                done.set_result(await postgres_units.drive(self._make(tx), connection))
            except BaseException as error:
                await postgres_units.roll_back(connection)
                done.set_exception(error)
                return
            # Not all, or nobody could log in.
            if any(event.stream == "todos" for event in tx.appended):
                await asyncio.sleep(PUT_OFF_SECONDS)
            await postgres_units.run_bare(connection, "COMMIT")

    task = asyncio.create_task(whole())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    try:
        return await done, self._database.committed(tx.appended)
    except postgres_pool.CONFLICTS as error:
        raise postgres._Again() from error


if __name__ == "__main__":
    postgres._Attempt.once = once_early
    main()
