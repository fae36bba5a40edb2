"""The worker: a process that does tasks. It has no API of its own, only the pages that say how it is."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.types import ASGIApp

from banyan.bootstrap import meters
from banyan.bootstrap.application import Application
from banyan.bootstrap.backends import mail_transport, outbound, task_broker
from banyan.bootstrap.composition import build
from banyan.bootstrap.services import Services
from banyan.bootstrap.traces import recording
from banyan.infra.auth.secret_box import SecretBox
from banyan.infra.auth.service_tokens import ServiceTokens
from banyan.infra.http.health import Readiness, health_router
from banyan.infra.http.problems import install_problem_handlers
from banyan.infra.http.route import BanyanRoute
from banyan.infra.loops import LoopRunner
from banyan.infra.mail.by_task import mail_kind
from banyan.infra.tasks.metrics import TaskMetrics
from banyan.infra.tasks.protocol import TaskBroker
from banyan.infra.tasks.worker import TaskWorker
from banyan.infra.telemetry.metrics import Metrics
from banyan.kernel.clock import SystemClock
from banyan.modules.notifications import module as notifications
from banyan.modules.todos import module as todos
from banyan.settings import Settings, SettingsError

# Beyond what the tasks get to finish: for giving back what did not, and for the acknowledgements.
STOP_MARGIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Worker:
    """Built, but not started. local: the modules whose databases it works on itself; None when all are services."""

    settings: Settings
    broker: TaskBroker
    tasks: TaskWorker
    services: Services
    local: Application | None
    readiness: Readiness
    metrics: Metrics

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """It does tasks inside; at the end what was begun is finished, or given back."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(recording(self.settings, "worker"))
            if self.local is not None:
                await stack.enter_async_context(self.local.opened())
            stack.push_async_callback(self.services.close)
            stack.push_async_callback(self.broker.close)
            runner = LoopRunner([self.tasks.loop(), meters.loop_lag(self.metrics).loop()])
            meters.loop_failures(self.metrics, runner.failures)
            runner.start()
            try:
                yield
            finally:
                self.stopping()
                await runner.stop(self.settings.shutdown_timeout.total_seconds() + STOP_MARGIN_SECONDS)

    def stopping(self, drain_seconds: float = 0.0) -> None:
        """A shutdown begins. Nobody sends it requests, so there is nothing to drain."""
        self.readiness.stopping = True


def modules_at_hand(settings: Settings) -> list[str]:
    """The modules whose database a worker opens, because no address of a service says who else does."""
    addresses = {"todos": settings.todos_url, "notifications": settings.notifications_url}
    return [module for module, address in addresses.items() if address is None]


def worker(settings: Settings) -> Worker:
    """Everything that a worker is made of. Opens nothing yet. Raises SettingsError."""
    broker = task_broker(settings)
    if broker is None:
        raise SettingsError(
            "BANYAN_AMQP_URL is missing: without RabbitMQ the serving process does its tasks itself, and no worker is needed"
        )
    clock, secret = SystemClock(), settings.secret()
    mail, box = mail_transport(settings, clock), SecretBox(secret)
    metrics = Metrics("worker")
    services = Services(settings, "worker", ServiceTokens(secret, "worker", clock), metrics)
    at_hand = modules_at_hand(settings)
    local = build(settings) if at_hand else None
    contracts = {module.name: module.contract for module in local.modules} if local else {}
    tasks = TaskWorker(
        broker,
        [
            mail_kind(mail, box),
            *todos.task_kinds(contracts["todos"] if "todos" in at_hand else services.todos()),
            *notifications.task_kinds(
                contracts["notifications"] if "notifications" in at_hand else services.deliveries(),
                notifications.all_channels(mail, settings.mail_url, outbound(settings), clock),
                box,
            ),
        ],
        concurrency=settings.worker_concurrency,
        stop_timeout=settings.shutdown_timeout,
        metrics=TaskMetrics(metrics.registry),
    )
    metrics.gauge("banyan_tasks_running", "Tasks that are being done now.", lambda: tasks.running)
    concurrency = settings.worker_concurrency
    metrics.gauge("banyan_task_concurrency", "Tasks that are done side by side at most.", lambda: concurrency)
    meters.task_queues(metrics, broker)
    if local is not None:
        databases = local.distinct_databases()
        meters.databases(metrics, databases)
        meters.backlogs(metrics, databases, local.relays, clock)
    return Worker(settings, broker, tasks, services, local, Readiness({"tasks": broker.check}), metrics)


def worker_asgi(built: Worker) -> ASGIApp:
    """How the worker is, over HTTP: /livez, /readyz, /health, /metrics."""
    app = FastAPI(
        title="Banyan worker", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    app.router.route_class = BanyanRoute
    install_problem_handlers(app)
    app.router.routes.extend(health_router(built.readiness, built.metrics).routes)
    return app
