"""One execution environment of a Lambda function: an event loop, and an application that many invocations use.

    init phase ──▶ opened ──▶ invocation ──▶ frozen ──▶ invocation ──▶ … ──▶ SIGTERM, or nothing at all
                  (or closed: the next invocation tries again)

While it is frozen nothing runs here. So an invocation leaves nothing behind that a freeze could stop in the middle of a
transaction, whose locks others would wait for; and what happened elsewhere is looked up when the next one begins.
"""

import asyncio
import gc
import os
import signal
import threading
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Protocol, Self, TypeVar

from banyan.aws_lambda.settings import lambda_settings
from banyan.bootstrap import Application, asgi, build, recording, service_name
from banyan.infra.telemetry.log import configure_logging, get_logger
from banyan.kernel.errors import Unavailable
from banyan.settings import SettingsError, database_label

T = TypeVar("T")
log = get_logger(__name__)

# An ended session is refused within so long everywhere: what was looked up so recently need not be looked up again.
FRESH_SECONDS = 1.0
# Of an invocation's time, for the answer, and for what is still under way in the database when its time is up.
MARGIN_SECONDS = 1.0


class Context(Protocol):
    """Lambda's context object, as far as it is used."""

    def get_remaining_time_in_millis(self) -> int: ...


class Environment:
    """See the module. For one invocation at a time, as Lambda has it."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._stack: AsyncExitStack | None = None
        self._looked_at = 0.0

    @classmethod
    def started(cls, function: str) -> Self:
        """Everything built, and opened if the database answers. Raises SettingsError."""
        settings = lambda_settings(function)
        configure_logging(settings.log_level, as_json=settings.logs_json, service=service_name("all"))
        environment = cls(build(settings))
        # What is there now stays for good: no collection need ever look at it again.
        gc.freeze()
        gc.enable()
        environment._close_on_sigterm()
        try:
            environment.run(environment.open())
        except Unavailable as error:
            # The invocation that follows tries again, and answers as the API does.
            log.warning("lambda_not_opened", detail=error.detail)
        return environment

    def asgi(self) -> Any:
        return asgi(self.application)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    async def open(self) -> None:
        """Open it, unless it is. Raises Unavailable, and SettingsError for a database that this version cannot use."""
        if self._stack is not None:
            return
        await self._require_migrated()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(recording(self.application.infra.settings, "all"))
            await stack.enter_async_context(self.application.running(background=False))
            self._looked_at = time.time()
            self._stack = stack.pop_all()

    async def ready(self) -> None:
        """Open, and up to date with the keys and ended sessions of other processes. Raises Unavailable."""
        await self.open()
        # The clock of the wall: a monotonic one may stand still while we are frozen.
        if abs(time.time() - self._looked_at) < FRESH_SECONDS:
            return
        looked_at = time.time()
        for module in self.application.modules:
            if module.start is not None:
                await module.start()
        self._looked_at = looked_at

    async def settle(self, seconds: float) -> None:
        """Wait until the database has nothing of ours under way, at most so long."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                for database in self.application.each_database():
                    await database.drain()
        except TimeoutError:
            log.warning("lambda_frozen_in_transaction")

    async def close(self) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    async def _require_migrated(self) -> None:
        """A newer database is fine: while a new version is rolled out, environments of this one go on being made."""
        # Imported here: their driver is an extra.
        from banyan.infra.db.migrate import MigrationStatus, newest_revision
        from banyan.infra.db.postgres_migrations import revision_of
        from banyan.targets import MODULES

        for database in self.application.infra.settings.databases(MODULES):
            status = MigrationStatus(await revision_of(str(database)), newest_revision())
            if status.is_pending:
                raise SettingsError(
                    f"The database {database_label(database)} is at migration {status.current or 'none'}, and this version needs {status.newest}:"
                    " invoke the function `migrate` of this version first."
                )

    def _close_on_sigterm(self) -> None:
        """Lambda sends it, to functions with an extension, after the last invocation.

        The main thread then waits in the C code of the runtime's client, where no signal handler of Python runs: so a thread
        waits for the signal.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

        def wait() -> None:
            signal.sigwait({signal.SIGTERM})
            if not self._loop.is_running():
                self.run(self.close())
            os._exit(0)

        threading.Thread(target=wait, name="sigterm", daemon=True).start()


def seconds_left(context: Context) -> float:
    return context.get_remaining_time_in_millis() / 1000
