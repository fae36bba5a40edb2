"""Names to addresses, in threads of their own.

A stranger's name server may take its time. The event loop's own threads serve everybody, and Python waits for a pool's
threads when it ends: these are neither.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable

from banyan.infra.outbound.errors import NotReached

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""(host, port) → its addresses, best first. Raises NotReached."""

MOST_LOOKUPS = 32


class Resolver:
    """Looks up at most so many names at a time; whoever comes then waits, within their own time-out."""

    def __init__(self, most_lookups: int = MOST_LOOKUPS) -> None:
        self._free = asyncio.Semaphore(most_lookups)

    async def __call__(self, host: str, port: int) -> list[str]:
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def settle(found: list[str] | OSError) -> None:
            # A lookup that nobody waits for any more is still one that is under way.
            self._free.release()
            if answer.done():
                return
            if isinstance(found, OSError):
                answer.set_exception(NotReached("NameNotFound"))
            else:
                answer.set_result(found)

        def look_up() -> None:
            try:
                found: list[str] | OSError = _addresses(host, port)
            except (OSError, UnicodeError) as error:
                found = error if isinstance(error, OSError) else OSError(str(error))
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle, found)

        threading.Thread(target=look_up, name="lookup", daemon=True).start()
        return await answer


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
