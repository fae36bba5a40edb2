"""Composition: all objects of one process, made and connected."""

import time
from collections.abc import Mapping
from dataclasses import replace

from banyan.bootstrap import meters
from banyan.bootstrap.application import Application
from banyan.bootstrap.backends import (
    AUDIENCE,
    Redis,
    has_other_writers,
    mail_transport,
    open_databases,
    outbound,
    positions_of,
    task_broker,
    wakes_of,
)
from banyan.bootstrap.events import delivery
from banyan.bootstrap.services import Services
from banyan.infra.auth.cursors import CursorSigner
from banyan.infra.auth.hashing_pool import HashingPool
from banyan.infra.auth.keys import KeyRing
from banyan.infra.auth.passwords import PasswordHasher
from banyan.infra.auth.revocations import Revocations
from banyan.infra.auth.secret_box import SecretBox
from banyan.infra.auth.service_tokens import ServiceTokens
from banyan.infra.auth.sessions import EndedSessions, SessionFollower
from banyan.infra.auth.token_cache import VerifiedTokenCache
from banyan.infra.auth.tokens import TokenIssuer, TokenVerifier
from banyan.infra.capabilities import Capabilities
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.housekeeping import housekeeping_loop, retry_loop
from banyan.infra.http.health import Check, Readiness
from banyan.infra.http.origins import Origins
from banyan.infra.loops import Loop
from banyan.infra.mail.by_task import MailByTask
from banyan.infra.module import Module
from banyan.infra.streams.consumers import ConsumerRunner
from banyan.infra.streams.foreign_commits import ForeignCommits
from banyan.infra.streams.live import LiveHub
from banyan.infra.streams.log import EventLog, last_sequence
from banyan.infra.streams.positions import Positions
from banyan.infra.streams.relay import Relay
from banyan.infra.streams.sources import LocalStream, StreamSource
from banyan.infra.telemetry.metrics import Metrics
from banyan.kernel.clock import Clock, SystemClock
from banyan.modules.notifications import module as notifications
from banyan.modules.todos import module as todos
from banyan.modules.users import module as users
from banyan.modules.users.contract import Users
from banyan.settings import Settings
from banyan.targets import MODULES, TARGETS, Target


def build(settings: Settings, target_name: str = "all", clock: Clock | None = None) -> Application:
    """Everything that a process of this target is made of. Opens nothing yet. Raises SettingsError."""
    target = TARGETS[target_name]
    clock = clock or SystemClock()
    databases = open_databases(settings, target.databases_of)
    distinct = list({id(shards): shards for shards in databases.values()}.values())
    positions = {id(shards): positions_of(settings, shards) for shards in distinct}
    logs = {name: EventLog(name, clock) for name in MODULES}
    service_tokens = ServiceTokens(settings.secret(), target_name, clock)
    metrics = Metrics(target_name)
    services = Services(settings, target_name, service_tokens, metrics)

    streams: dict[str, StreamSource] = {
        name: LocalStream(databases[name], positions[id(databases[name])], logs[name])
        for name in target.modules
    }
    told_live = {name: streams.get(name) or services.stream(name) for name in MODULES} if target.live else {}
    redis = Redis(settings, metrics, shares_data=any(has_other_writers(shards) for shards in distinct))
    capabilities = _capabilities(
        settings, clock, databases, positions, logs, told_live, service_tokens, metrics, redis
    )
    infra = next(iter(capabilities.values()))

    modules, users_contract = _modules(capabilities, target, services)
    runners = [
        ConsumerRunner(consumer, databases[module.name], clock)
        for module in modules
        for consumer in module.consumers
    ]
    delivered = delivery(settings, target, distinct, runners, infra.live, clock, metrics)
    relays = [Relay(shards, bus) for shards, bus in zip(distinct, delivered.buses, strict=False)]
    wakes = [wakes_of(shards) for shards in distinct]
    foreign_commits = [ForeignCommits(shards, told) for shards, told in zip(distinct, wakes, strict=True)]
    for shards, foreign in zip(distinct, foreign_commits, strict=True):
        # The order matters: whoever reads after a commit must find the new position.
        shards.on_commit(positions[id(shards)].observe)
        shards.on_commit(foreign.observe)
        for module in modules:
            if module.on_commit is not None and databases[module.name] is shards:
                shards.on_commit(module.on_commit)
        shards.on_commit(infra.live.deliver)
    for shards, relay in zip(distinct, relays, strict=False):
        shards.on_commit(relay.wake)

    checks: dict[str, Check] = {"database": _database_check(distinct)}
    for module in modules:
        checks |= module.checks
    loops = [loop for module in modules for loop in module.loops]
    loops += [loop for kept in positions.values() for loop in kept.loops()]
    loops += [foreign.loop() for foreign in foreign_commits]
    loops += [wake.loop() for told in wakes for wake in told]
    loops += [Loop("relay", relay.run, relay.turn) for relay in relays]
    loops += delivered.loops
    loops += [retry_loop(runners)] if runners else []
    loops += [housekeeping_loop(shards, clock) for shards in distinct] if modules else []
    if users_contract is not None and "users" not in target.modules:
        follower = SessionFollower(users_contract, infra.keys, infra.token_cache, infra.ended_sessions)
        loops.append(follower.loop())
        checks["sessions"] = follower.check
    meters.databases(metrics, distinct)
    meters.passwords(metrics, infra.passwords.pool)
    meters.backlogs(metrics, distinct, relays, clock)
    if infra.tasks is not None:
        meters.task_queues(metrics, infra.tasks)
    loops.append(meters.loop_lag(metrics).loop())
    infra.metrics.gauge(
        "banyan_live_streams", "Open event streams and sockets.", lambda: infra.live.open_streams
    )
    return Application(
        target=target,
        infra=infra,
        databases=databases,
        modules=modules,
        streams=streams,
        users=users_contract,
        runners=runners,
        relays=relays,
        foreign_commits=foreign_commits,
        loops=loops,
        readiness=Readiness(checks, redis.checks),
        closing=[
            *redis.closing,
            services.close,
            *([infra.tasks.close] if infra.tasks else []),
            *(wake.close for told in wakes for wake in told),
        ],
    )


def _capabilities(
    settings: Settings,
    clock: Clock,
    databases: Mapping[str, Shards],
    positions: Mapping[int, Positions],
    logs: dict[str, EventLog],
    sources: Mapping[str, StreamSource],
    service_tokens: ServiceTokens,
    metrics: Metrics,
    redis: Redis,
) -> dict[str, Capabilities]:
    """What each module is handed: the same things, but for its shards and their positions."""
    secret = settings.secret()
    keys = KeyRing(())
    issuer = settings.public_url or "banyan"
    verifier = TokenVerifier(keys, issuer=issuer, audience=AUDIENCE, clock=clock)
    token_cache = VerifiedTokenCache(
        verifier,
        unix_seconds=time.time if isinstance(clock, SystemClock) else lambda: clock.now().timestamp(),
    )
    revocations = Revocations()
    live = LiveHub(
        sources,
        replay_limit=settings.live_replay_limit,
        max_per_user=settings.live_max_per_user,
        max_per_address=settings.live_max_per_address,
    )
    first = next(iter(databases.values()))
    box, tasks = SecretBox(secret), task_broker(settings)
    common = Capabilities(
        settings=settings,
        clock=clock,
        shards=first,
        positions=positions[id(first)],
        logs=logs,
        live=live,
        limiter=redis.limiter,
        shared_cache=redis.shared_cache if settings.cache_max_bytes else None,
        cursors=CursorSigner(secret),
        metrics=metrics,
        origins=Origins(settings.allowed_origins),
        keys=keys,
        secret_box=box,
        passwords=PasswordHasher(
            HashingPool(threads=settings.password_workers),
            memory_kib=settings.argon2_memory_kib,
            passes=settings.argon2_iterations,
        ),
        token_issuer=TokenIssuer(
            keys, issuer=issuer, audience=AUDIENCE, lifetime=settings.access_token_lifetime, clock=clock
        ),
        token_cache=token_cache,
        revocations=revocations,
        ended_sessions=EndedSessions(
            revocations, token_cache, live.end_session, token_lifetime=settings.access_token_lifetime
        ),
        service_tokens=service_tokens,
        mail=mail_transport(settings, clock) if tasks is None else MailByTask(tasks, box),
        outbound=outbound(settings),
        tasks=tasks,
    )
    return {
        name: replace(common, shards=shards, positions=positions[id(shards)])
        for name, shards in databases.items()
    }


def _modules(
    infra: Mapping[str, Capabilities], target: Target, services: Services
) -> tuple[list[Module], Users | None]:
    """The target's modules, each given the contracts of the others that it uses, served here or elsewhere; and the users'
    contract. A target without modules asks nobody, and needs no address of anybody."""
    if not target.modules:
        return [], None
    built: dict[str, Module] = {}
    if "users" in target.modules:
        built["users"] = users.build(infra["users"])
    users_contract: Users = built["users"].contract if "users" in built else services.users()
    if "todos" in target.modules:
        built["todos"] = todos.build(infra["todos"])
    if "notifications" in target.modules:
        built["notifications"] = notifications.build(infra["notifications"], users=users_contract)
    return [built[name] for name in target.modules], users_contract


def _database_check(databases: list[Shards]) -> Check:
    async def answers(tx: Transaction) -> None:
        await last_sequence(tx)

    async def check() -> None:
        for shards in databases:
            for name in shards.names():
                await shards.named(name).read(answers)

    return check
