"""`banyan up` and `banyan serve`: the server process."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from banyan.cli.problems import USAGE, CliError

if TYPE_CHECKING:
    import socket

    from banyan.bootstrap import Application
    from banyan.infra.db.data_lock import DataLock
    from banyan.promotion.control import ControlChannel
    from banyan.settings import Settings
    from banyan.targets import Target

UP_EPILOG = """
[bold]Examples[/bold]
  banyan up                         serve on http://127.0.0.1:8000, with data in ./data
  banyan up --port 9000             on another port; 0 takes a free one
  banyan up --host 0.0.0.0          for every network of this machine

Stop it with Ctrl-C: requests in flight are finished first.
"""

SERVE_EPILOG = """
[bold]Examples[/bold]
  banyan migrate && banyan serve    what a deployment does
  banyan serve todos                one service of a fleet

SIGTERM lets it finish: /readyz answers 503, open streams are told to come back, requests in flight are answered. It goes on
accepting requests for BANYAN_DRAIN_DELAY, until whatever balances the load has noticed.
"""

Host = Annotated[
    str | None, typer.Option(help="Address to listen on; the same as BANYAN_HOST.", show_default=False)
]
Port = Annotated[
    int | None,
    typer.Option(help="Port to listen on, 0 for a free one; the same as BANYAN_PORT.", show_default=False),
]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the database; the same as BANYAN_DATA_DIR.", show_default=False)
]


def up(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Start everything in one process, and print the address to open.

    Makes the database when there is none, migrates it when it is old, then serves the web application and the API until Ctrl-C.
    """
    override(host, port, data_dir)
    _run("all", migrate_first=True)


def serve(
    target: Annotated[
        str, typer.Argument(help="What to serve: all, users, todos, notifications, or relay.")
    ] = "all",
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
) -> None:
    """Serve, without touching the database's form.

    Everything in one process, or one service of a fleet. Refuses to start while migrations are pending, and names the
    command that applies them.
    """
    override(host, port, data_dir)
    _run(target, migrate_first=False)


def override(host: str | None, port: int | None, data_dir: Path | None) -> None:
    """Options are spellings of settings: one way in, and one check, for both."""
    for name, value in (("HOST", host), ("PORT", port), ("DATA_DIR", data_dir)):
        if value is not None:
            os.environ[f"BANYAN_{name}"] = str(value)


def _run(target: str, *, migrate_first: bool) -> None:
    # Until the server takes these signals over, and again after it has given them back, they end the process quietly.
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    # Importing makes a hundred thousand objects and no garbage: collecting meanwhile costs a tenth of the start.
    gc.disable()

    from banyan.cli.migrate import upgrade
    from banyan.cli.runtime import load_settings, require_migrated
    from banyan.infra.db.data_lock import DataLock

    settings = load_settings()
    databases_of = _known_target(target).databases_of
    lock = DataLock(settings.data_dir)
    _acquire(lock, settings)
    try:
        if migrate_first:
            upgrade(settings)
        else:
            require_migrated(settings, databases_of)
        _settle_promotion(settings)
        _serve(settings, target, lock, with_banner=migrate_first)
    finally:
        lock.release()


def _known_target(name: str) -> "Target":
    from banyan.targets import TARGETS

    if name not in TARGETS:
        raise CliError(f"there is no target {name!r}.", f"Known: {', '.join(TARGETS)}.", exit_code=USAGE)
    return TARGETS[name]


def _serve(settings: "Settings", target: str, lock: "DataLock", *, with_banner: bool) -> None:
    from banyan.infra import faults
    from banyan.infra.http import server

    sock = listen(settings)
    # With port 0 the real one is known only now, and links in mails need it.
    settings = settings.model_copy(update={"port": sock.getsockname()[1]})

    with hidden("rich"):
        from banyan.bootstrap import asgi, build
        from banyan.promotion.control import ControlChannel, can_be_promoted
    from banyan.cli.banner import print_banner, url_of
    from banyan.cli.runtime import unknown_variables
    from banyan.infra.telemetry.log import configure_logging, get_logger
    from banyan.settings import database_label

    configure_logging(settings.log_level, as_json=settings.logs_json)
    log = get_logger("banyan.serving")
    for sentence in unknown_variables():
        log.warning("unknown_setting", detail=sentence)
    if settings.fault is not None:
        faults.arm(settings.fault)
    if settings.database_url is not None and can_be_promoted(settings):
        log.info("data_was_promoted", database=database_label(settings.database_url.get_secret_value()))
    application = build(settings, target)
    app = asgi(application)
    # What is there now stays for good: no collection need ever look at it again.
    gc.freeze()
    gc.enable()

    def on_ready() -> None:
        lock.announce(url_of(settings))
        if with_banner:
            print_banner(settings)
        log.info("serving", target=target, url=url_of(settings), pid=os.getpid())

    server.serve(
        app,
        sock,
        running=_running(application, ControlChannel(application) if target == "all" else None),
        on_ready=on_ready,
        on_stopping=lambda: application.stopping(settings.drain_seconds),
        drain_seconds=settings.drain_seconds,
        shutdown_timeout_seconds=int(settings.shutdown_timeout.total_seconds()),
    )


@asynccontextmanager
async def _running(application: "Application", control: "ControlChannel | None") -> AsyncIterator[None]:
    async with application.running():
        if control is None:
            yield
        else:
            async with control.open():
                yield


def _settle_promotion(settings: "Settings") -> None:
    """Bring to its end what a promotion has left that was interrupted; refuse a database that is not the true one."""
    from banyan.infra.db.promotion_record import read_record
    from banyan.promotion.errors import Refused
    from banyan.promotion.start import settle

    if settings.database_url is None and read_record(settings.database_path) is None:
        return
    try:
        asyncio.run(settle(settings))
    except Refused as error:
        raise CliError(error.message, error.next_step) from error


def _acquire(lock: "DataLock", settings: "Settings") -> None:
    from banyan.infra.db.data_lock import DataDirBusy

    try:
        lock.acquire()
    except DataDirBusy as error:
        holder = error.holder
        who = f"process {holder.pid}" if holder else "another process"
        where = f" on {holder.url}" if holder and holder.url else ""
        raise CliError(
            f"{who} already serves the data in {settings.data_dir.resolve()}{where}.",
            "Use that one, or stop it first, or give this one a folder of its own with --data-dir.",
        ) from error
    except OSError as error:
        raise CliError(
            f"the data folder {settings.data_dir.resolve()} cannot be used: {error.strerror}.",
            "Choose one that may be written to, with --data-dir or BANYAN_DATA_DIR.",
        ) from error


def listen(settings: "Settings") -> "socket.socket":
    import errno

    from banyan.infra.http.server import listen as bound

    try:
        return bound(settings.host, settings.port)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        if error.errno == errno.EADDRINUSE:
            raise CliError(
                f"port {settings.port} of {settings.host} is in use by another program.",
                "Choose another with --port or BANYAN_PORT; 0 takes a free one.",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise CliError(
                f"this user may not listen on {where}.",
                "Choose a port above 1023 with --port or BANYAN_PORT.",
            ) from error
        raise CliError(
            f"it is not possible to listen on {where}: {error.strerror or error}.",
            "Give an address of this machine with --host or BANYAN_HOST.",
            exit_code=USAGE,
        ) from error


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Let a package seem not to be installed, to importers that can do without it.

    structlog draws tracebacks with rich where there is rich. A server neither needs that (with the values of local
    variables, it would log what nobody should read) nor the fifth of a second that it takes to import.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment] # what the import system takes for "not there"
    try:
        yield
    finally:
        del sys.modules[package]


def leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)
