"""The composition root: settings and a target become an application. Nothing else builds objects."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from banyan import __version__
from banyan.infra.auth.cursors import CursorSigner
from banyan.infra.auth.hashing_pool import HashingPool
from banyan.infra.auth.keys import KeyRing
from banyan.infra.auth.passwords import PasswordHasher
from banyan.infra.auth.revocations import Revocations
from banyan.infra.auth.secret_box import SecretBox
from banyan.infra.auth.token_cache import VerifiedTokenCache
from banyan.infra.auth.tokens import TokenIssuer, TokenVerifier
from banyan.infra.bus.in_process import InProcessBus
from banyan.infra.capabilities import Capabilities
from banyan.infra.db.shards import Shards
from banyan.infra.db.sqlite import SqliteDatabase
from banyan.infra.db.transaction import Database, Transaction
from banyan.infra.docs_ui import docs_routes
from banyan.infra.housekeeping import housekeeping_loop, retry_loop
from banyan.infra.http.access import Gate
from banyan.infra.http.client import ClientAddress
from banyan.infra.http.edge import Edge
from banyan.infra.http.health import Check, Readiness, health_router
from banyan.infra.http.hot import hot_routes
from banyan.infra.http.live import live_router
from banyan.infra.http.openapi import describe
from banyan.infra.http.origins import Origins
from banyan.infra.http.problems import install_problem_handlers
from banyan.infra.http.route import BanyanRoute
from banyan.infra.http.web import web_routes
from banyan.infra.loops import Loop, LoopRunner
from banyan.infra.mail.mail import MailTransport
from banyan.infra.mail.outbox import DevelopmentOutbox
from banyan.infra.mail.smtp import SmtpTransport
from banyan.infra.module import Module
from banyan.infra.resilience.rate_limit import MemoryRateLimiter, Rate
from banyan.infra.streams.consumers import ConsumerRunner
from banyan.infra.streams.foreign_commits import ForeignCommits
from banyan.infra.streams.live import LiveHub
from banyan.infra.streams.log import EventLog, last_sequence
from banyan.infra.streams.positions import DatabasePositions, ProcessPositions
from banyan.infra.streams.relay import Relay
from banyan.infra.telemetry.metrics import Metrics
from banyan.kernel.clock import Clock, SystemClock
from banyan.modules.notifications import module as notifications
from banyan.modules.todos import module as todos
from banyan.modules.users import module as users
from banyan.modules.users.contract import Users
from banyan.settings import Settings
from banyan.targets import MODULES, TARGETS, Target

AUDIENCE = "banyan"


@dataclass(frozen=True, slots=True)
class Application:
    """One process of Banyan, built but not started."""

    infra: Capabilities
    modules: Sequence[Module]
    runners: Sequence[ConsumerRunner]
    relay: Relay
    foreign_commits: ForeignCommits
    loops: Sequence[Loop]
    readiness: Readiness

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """The databases alone: for commands that mend what keeps the modules from starting."""
        await self.infra.shards.start()
        try:
            yield
        finally:
            await self.infra.shards.close()

    @asynccontextmanager
    async def running(self, *, background: bool = True) -> AsyncIterator[None]:
        """The databases open and the modules started, and with `background` the loops too; all is closed at the end.

        Raises what keeps a module from starting, such as WrongSecret.
        """
        async with self.opened():
            # First, so that what another process commits from now on is not taken for known.
            await self.foreign_commits.look()
            for module in self.modules:
                if module.start is not None:
                    await module.start()
            runner = LoopRunner(self.loops if background else ())
            runner.start()
            try:
                yield
            finally:
                self.stopping()
                await runner.stop()

    def stopping(self) -> None:
        """A shutdown begins: no new requests, please, and streams end."""
        self.readiness.stopping = True
        self.infra.live.drain()


def build(settings: Settings, target_name: str = "all", clock: Clock | None = None) -> Application:
    """Everything that a process of this target is made of. Opens nothing yet."""
    target = TARGETS[target_name]
    infra = _capabilities(settings, clock or SystemClock())
    modules = _modules(infra, target)
    consumers = [consumer for module in modules for consumer in module.consumers]
    runners = [ConsumerRunner(consumer, infra.shards, infra.clock) for consumer in consumers]
    relay = Relay(infra.shards, InProcessBus(runners))
    foreign_commits = ForeignCommits(infra.shards)

    # The order matters: whoever reads after a commit must find the new position.
    infra.shards.on_commit(infra.positions.observe)
    infra.shards.on_commit(foreign_commits.observe)
    for module in modules:
        if module.on_commit is not None:
            infra.shards.on_commit(module.on_commit)
    infra.shards.on_commit(infra.live.deliver)
    infra.shards.on_commit(relay.wake)

    process_loops = {
        "relay": Loop("relay", relay.run),
        "retries": retry_loop(runners),
        "foreign-commits": foreign_commits.loop(),
        "housekeeping": housekeeping_loop(infra.shards, infra.clock),
    }
    loops = [process_loops[name] for name in target.loops] + [
        loop for module in modules for loop in module.loops
    ]
    checks: dict[str, Check] = {"database": _database_check(infra.shards)}
    for module in modules:
        checks |= module.checks
    infra.metrics.gauge(
        "banyan_live_streams", "Open event streams and sockets.", lambda: infra.live.open_streams
    )
    return Application(infra, modules, runners, relay, foreign_commits, loops, Readiness(checks))


def asgi(application: Application) -> ASGIApp:
    """The application over HTTP: the edge, and behind it FastAPI. It answers while `application.running()`."""
    infra, settings = application.infra, application.infra.settings
    app = FastAPI(
        title="Banyan",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.router.route_class = BanyanRoute
    install_problem_handlers(app)
    routers = [router for module in application.modules for router in module.routers]
    routers.append(live_router(infra.live, _users(application.modules).redeem_ticket, infra.origins))
    routers.append(health_router(application.readiness, infra.metrics))
    for router in routers:
        # Not `include_router`: it compiles each path anew, and would lose the optional slash of BanyanRoute.
        app.router.routes.extend(router.routes)
    app.router.routes.extend(docs_routes())
    app.router.routes.extend(web_routes())
    describe(app)

    hot = hot_routes(route for router in routers for route in router.routes) if settings.edge else {}
    edge = Edge(
        app,
        hot=hot,
        gate=Gate(infra.token_cache, infra.revocations, infra.limiter, Rate.parse(settings.rate_limit_user)),
        limiter=infra.limiter,
        address_rate=Rate.parse(settings.rate_limit_address),
        max_body_bytes=settings.max_body_bytes,
        origins=infra.origins,
        addresses=ClientAddress(settings.trusted_proxies),
        public_url=settings.public_url,
        metrics=infra.metrics.http,
    )
    if not settings.allowed_origins:
        return edge
    return CORSMiddleware(
        edge,
        allow_origins=list(settings.allowed_origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "If-Match",
            "If-None-Match",
            "Idempotency-Key",
            "Last-Event-ID",
        ],
        expose_headers=["ETag", "Link", "Location", "Retry-After", "X-Request-Id"],
        allow_credentials=True,
        max_age=600,
    )


def _capabilities(settings: Settings, clock: Clock) -> Capabilities:
    secret = settings.secret()
    shards = Shards({"main": _database(settings)})
    # Only the one process that a SQLite file has may trust what it remembers.
    positions = ProcessPositions(shards) if settings.database_url is None else DatabasePositions(shards)
    logs = {name: EventLog(name, clock) for name in MODULES}
    keys = KeyRing(())
    issuer = settings.public_url or "banyan"
    verifier = TokenVerifier(keys, issuer=issuer, audience=AUDIENCE, clock=clock)
    pool = HashingPool(threads=settings.password_workers)
    return Capabilities(
        settings=settings,
        clock=clock,
        shards=shards,
        positions=positions,
        logs=logs,
        live=LiveHub(
            shards,
            positions,
            logs,
            replay_limit=settings.live_replay_limit,
            max_per_user=settings.live_max_per_user,
        ),
        limiter=MemoryRateLimiter(),
        cursors=CursorSigner(secret),
        metrics=Metrics(),
        origins=Origins(settings.allowed_origins),
        keys=keys,
        secret_box=SecretBox(secret),
        passwords=PasswordHasher(
            pool, memory_kib=settings.argon2_memory_kib, passes=settings.argon2_iterations
        ),
        token_issuer=TokenIssuer(
            keys, issuer=issuer, audience=AUDIENCE, lifetime=settings.access_token_lifetime, clock=clock
        ),
        token_cache=VerifiedTokenCache(verifier, unix_seconds=lambda: clock.now().timestamp())
        if not isinstance(clock, SystemClock)
        else VerifiedTokenCache(verifier, unix_seconds=time.time),
        revocations=Revocations(),
        mail=_mail_transport(settings, clock),
    )


def _database(settings: Settings) -> Database:
    if settings.database_url is None:
        return SqliteDatabase(settings.database_path, readers=settings.database_readers)
    # Imported here: its driver is an extra.
    from banyan.infra.db.postgres import PoolSettings, PostgresDatabase

    pool = PoolSettings(
        size=settings.database_pool_size,
        idle_timeout=settings.database_idle_timeout,
        connect_timeout=settings.database_connect_timeout,
        pool_wait=settings.database_pool_wait,
        statement_timeout=settings.database_statement_timeout,
    )
    return PostgresDatabase(settings.database_url.get_secret_value(), pool)


def _mail_transport(settings: Settings, clock: Clock) -> MailTransport:
    if settings.smtp_host is None:
        return DevelopmentOutbox(settings.data_dir / "mail", sender=settings.mail_from, clock=clock)
    return SmtpTransport(
        host=settings.smtp_host,
        port=settings.smtp_port,
        sender=settings.mail_from,
        encryption=settings.smtp_security,
        username=settings.smtp_user,
        password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
    )


def _modules(infra: Capabilities, target: Target) -> list[Module]:
    """The target's modules; each is given the contracts of the others that it uses."""
    built: dict[str, Module] = {}
    built["users"] = users.build(infra)
    built["todos"] = todos.build(infra)
    built["notifications"] = notifications.build(infra, users=built["users"].contract)
    return [built[name] for name in target.modules]


def _users(modules: Sequence[Module]) -> Users:
    return next(module.contract for module in modules if module.name == "users")


def _database_check(shards: Shards) -> Check:
    async def answers(tx: Transaction) -> None:
        await last_sequence(tx)

    async def check() -> None:
        for name in shards.names():
            await shards.named(name).read(answers)

    return check
