"""`banyan worker`: a process that does tasks."""

import os
import signal
from typing import Annotated

import typer

from banyan.cli.serving import DataDir, Host, Port, leave, listen, override
from banyan.infra.hidden_imports import hidden

EPILOG = """
[bold]Examples[/bold]
  BANYAN_AMQP_URL=amqp://… banyan worker --port 8001   beside a server on the same machine
  banyan worker --concurrency 64                       more tasks side by side: most of them wait for a network
  banyan tasks status                                  how much is waiting

SIGTERM lets it finish: it takes no more tasks, finishes what it has begun, and gives back what takes too long.
"""


def worker(
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1, help="Tasks done side by side; the same as BANYAN_WORKER_CONCURRENCY.", show_default=False
        ),
    ] = None,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
) -> None:
    """Do the tasks that wait in RabbitMQ: mails, deliveries of notifications, reminders.

    Start as many as are needed, on any machine. Says how it is on /livez, /readyz, /health and /metrics.
    """
    override(host, port, data_dir)
    if concurrency is not None:
        os.environ["BANYAN_WORKER_CONCURRENCY"] = str(concurrency)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)

    from banyan.cli.runtime import load_settings, require_migrated, unknown_variables
    from banyan.infra import faults
    from banyan.infra.http import server
    from banyan.infra.telemetry.log import configure_logging, get_logger

    with hidden("rich"):
        from banyan import bootstrap

    settings = load_settings()
    built = bootstrap.worker(settings)
    at_hand = bootstrap.modules_at_hand(settings)
    if at_hand:
        require_migrated(settings, at_hand)
    sock = listen(settings)
    configure_logging(
        settings.log_level, as_json=settings.logs_json, service=bootstrap.service_name("worker")
    )
    log = get_logger("banyan.worker")
    for sentence in unknown_variables():
        log.warning("unknown_setting", detail=sentence)
    if settings.fault is not None:
        faults.arm(settings.fault)

    def on_ready() -> None:
        log.info(
            "working",
            address=f"{settings.host}:{sock.getsockname()[1]}",
            concurrency=settings.worker_concurrency,
            pid=os.getpid(),
        )

    server.serve(
        bootstrap.worker_asgi(built),
        sock,
        running=built.running(),
        on_ready=on_ready,
        on_stopping=built.stopping,
        # Nobody balances a load over workers.
        drain_seconds=0,
        shutdown_timeout_seconds=int(settings.shutdown_timeout.total_seconds()),
    )
