"""`banyan up` and `banyan serve`: the server process."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from banyan.cli.problems import USAGE, CliError
from banyan.infra.hidden_imports import hidden

if TYPE_CHECKING:
    import socket

    from banyan.bootstrap import Application
    from banyan.infra.db.data_lock import DataLock
    from banyan.settings import Settings
    from banyan.targets import Target

# After so many more objects than went away, garbage is looked for among them. Python's own 700 are the requests of twenty clients
# that wait for one commit: all alive, and looked at each time. More would let the bodies of failed requests wait for long.
YOUNG_OBJECTS = 3000

UP_EPILOG = """
[bold]Examples[/bold]
  banyan up                         serve on http://127.0.0.1:8000, with data in ./data
  banyan up --port 9000             on another port; 0 takes a free one
  banyan up --host 0.0.0.0          for every network of this machine
  banyan up --workers 4             four processes, on PostgreSQL

Stop it with Ctrl-C: requests in flight are finished first.
"""

SERVE_EPILOG = """
[bold]Examples[/bold]
  banyan migrate && banyan serve    what a deployment does
  banyan serve todos                one service of a fleet
  banyan serve --workers 4          four processes on one address, on PostgreSQL

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

WorkerCount = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Server processes on this address, one for each core; the same as BANYAN_WORKERS.",
        show_default=False,
    ),
]


def up(host: Host = None, port: Port = None, data_dir: DataDir = None, workers: WorkerCount = None) -> None:
    """Start everything in one process, and print the address to open.

    Makes the database when there is none, migrates it when it is old, then serves the web application and the API until Ctrl-C.
    """
    override(host, port, data_dir, workers)
    _run("all", migrate_first=True)


def serve(
    target: Annotated[
        str, typer.Argument(help="What to serve: all, users, todos, notifications, or relay.")
    ] = "all",
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    workers: WorkerCount = None,
) -> None:
    """Serve, without touching the database's form.

    Everything in one process, or one service of a fleet. Refuses to start while migrations are pending, and names the
    command that applies them.
    """
    override(host, port, data_dir, workers)
    _run(target, migrate_first=False)


def override(host: str | None, port: int | None, data_dir: Path | None, workers: int | None = None) -> None:
    """Options are spellings of settings: one way in, and one check, for both."""
    for name, value in (("HOST", host), ("PORT", port), ("DATA_DIR", data_dir), ("WORKERS", workers)):
        if value is not None:
            os.environ[f"BANYAN_{name}"] = str(value)


def _run(target: str, *, migrate_first: bool) -> None:
    # Until the server takes these signals over, and again after it has given them back, they end the process quietly.
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    # Importing makes a hundred thousand objects and no garbage: collecting meanwhile costs a tenth of the start.
    gc.disable()

    with hidden("rich"):
        from banyan.cli.migrate import upgrade
        from banyan.cli.runtime import load_settings, require_migrated
        from banyan.infra.db.data_lock import DataLock

    settings = load_settings()
    databases_of = _known_target(target).databases_of
    if settings.workers > 1:
        _refuse_workers_on_a_file(settings, databases_of)
    lock = DataLock(settings.data_dir)
    _acquire(lock, settings)
    try:
        if migrate_first:
            upgrade(settings)
        else:
            require_migrated(settings, databases_of)
        _settle_promotion(settings)
        if settings.workers == 1:
            _serve(settings, target, lock, with_banner=migrate_first)
        else:
            exit_code = _serve_by_workers(settings, target, lock, with_banner=migrate_first)
            if exit_code:
                raise SystemExit(exit_code)
    finally:
        lock.release()


def _known_target(name: str) -> "Target":
    from banyan.targets import TARGETS

    if name not in TARGETS:
        raise CliError(f"there is no target {name!r}.", f"Known: {', '.join(TARGETS)}.", exit_code=USAGE)
    return TARGETS[name]


def _refuse_workers_on_a_file(settings: "Settings", modules: Sequence[str]) -> None:
    if any(isinstance(database, Path) for database in settings.databases(modules)):
        raise CliError(
            f"{settings.workers} workers need PostgreSQL: one process alone serves a SQLite file, and remembers what it holds.",
            "Set BANYAN_DATABASE_URL (`banyan promote` moves the data there), or leave BANYAN_WORKERS at 1.",
            exit_code=USAGE,
        )


def _serve(settings: "Settings", target: str, lock: "DataLock", *, with_banner: bool) -> None:
    sock = listen(settings)
    # With port 0 the real one is known only now, and links in mails need it.
    settings = settings.model_copy(update={"port": sock.getsockname()[1]})
    _prepare(settings, target)

    def on_ready() -> None:
        _announce(settings, lock, with_banner=with_banner)
        _log_serving(settings, target)

    _serve_on(sock, settings, target, on_ready)


def _serve_by_workers(settings: "Settings", target: str, lock: "DataLock", *, with_banner: bool) -> int:
    """Returns the exit code, when all workers have ended."""
    from banyan.cli.workers import Workers
    from banyan.infra.telemetry import exchange
    from banyan.infra.telemetry.log import get_logger

    sockets = _listen(settings, settings.workers)
    settings = settings.model_copy(update={"port": sockets[0].getsockname()[1]})
    tellers = [exchange.listen() for _ in sockets]
    addresses = [sock.getsockname() for sock in tellers]
    _prepare(settings, target)
    log = get_logger("banyan.serving")

    def serve_one(number: int, tell_ready: Callable[[], None]) -> None:
        lock.leave_to_parent()

        def on_ready() -> None:
            tell_ready()
            _log_serving(settings, target, worker=number)

        def exchanged(application: "Application") -> AbstractAsyncContextManager[None]:
            metrics = application.infra.metrics
            return exchange.MetricsExchange(metrics, number, tellers[number - 1], addresses).open()

        _serve_on(sockets[number - 1], settings, target, on_ready, beside=exchanged)

    return Workers(
        serve_one,
        list(zip(sockets, tellers, strict=True)),
        stop_seconds=settings.drain_seconds + settings.shutdown_timeout.total_seconds(),
        on_ready=lambda: _announce(settings, lock, with_banner=with_banner),
        told=lambda worker, code, pause: log.warning(
            "worker_ended", worker=worker, exit_code=code, starts_again_in=pause
        ),
    ).run()


def _prepare(settings: "Settings", target: str) -> None:
    """What comes before anything is built: the imports, the logs, the sentences about settings."""
    with hidden("rich"):
        import banyan.bootstrap
        import banyan.infra.http.server
        import banyan.promotion.control  # noqa: F401 - forked workers find all of it imported
    from banyan.bootstrap import service_name
    from banyan.cli.runtime import unknown_variables
    from banyan.infra import faults
    from banyan.infra.telemetry.log import configure_logging, get_logger
    from banyan.promotion.control import can_be_promoted
    from banyan.settings import database_label

    configure_logging(settings.log_level, as_json=settings.logs_json, service=service_name(target))
    log = get_logger("banyan.serving")
    for sentence in unknown_variables():
        log.warning("unknown_setting", detail=sentence)
    if settings.fault is not None:
        faults.arm(settings.fault)
    if settings.database_url is not None and can_be_promoted(settings):
        log.info("data_was_promoted", database=database_label(settings.database_url.get_secret_value()))


def _announce(settings: "Settings", lock: "DataLock", *, with_banner: bool) -> None:
    from banyan.cli.banner import print_banner, url_of

    lock.announce(url_of(settings))
    if with_banner:
        print_banner(settings)


def _log_serving(settings: "Settings", target: str, **facts: int) -> None:
    from banyan.cli.banner import url_of
    from banyan.infra.telemetry.log import get_logger

    get_logger("banyan.serving").info(
        "serving", target=target, url=url_of(settings), pid=os.getpid(), **facts
    )


def _serve_on(
    sock: "socket.socket",
    settings: "Settings",
    target: str,
    on_ready: Callable[[], None],
    *,
    beside: "Callable[[Application], AbstractAsyncContextManager[None]] | None" = None,
) -> None:
    """Serve in this process until a signal. beside: open while the application runs; unset: a promotion's control channel."""
    from banyan.bootstrap import asgi, build
    from banyan.infra.http import server

    application = build(settings, target)
    app = asgi(application)
    # What is there now stays for good: no collection need ever look at it again.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    gc.enable()
    if beside is None and target == "all":
        beside = _promotable
    server.serve(
        app,
        sock,
        running=_running(application, target, beside),
        on_ready=on_ready,
        on_stopping=lambda: application.stopping(settings.drain_seconds),
        drain_seconds=settings.drain_seconds,
        shutdown_timeout_seconds=int(settings.shutdown_timeout.total_seconds()),
    )


def _promotable(application: "Application") -> AbstractAsyncContextManager[None]:
    from banyan.promotion.control import ControlChannel

    return ControlChannel(application).open()


@asynccontextmanager
async def _running(
    application: "Application",
    target: str,
    beside: "Callable[[Application], AbstractAsyncContextManager[None]] | None",
) -> AsyncIterator[None]:
    from banyan.bootstrap import recording

    # Outermost: what happens while all else ends is still recorded and sent.
    async with (
        recording(application.infra.settings, target),
        application.running(),
        beside(application) if beside is not None else nullcontext(),
    ):
        yield


def _settle_promotion(settings: "Settings") -> None:
    """Bring to its end what a promotion has left that was interrupted; refuse a database that is not the true one."""
    from banyan.infra.db.promotion_record import read_record

    if settings.database_url is None and read_record(settings.database_path) is None:
        return
    from banyan.promotion.errors import Refused
    from banyan.promotion.start import settle

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
    return _listen(settings, 1)[0]


def _listen(settings: "Settings", count: int) -> "list[socket.socket]":
    import errno

    from banyan.infra.http.server import listen_side_by_side

    try:
        return listen_side_by_side(settings.host, settings.port, count)
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


def leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)
