"""Meters: which numbers of which part are shown on `/metrics`. Each is listed in docs/guide/metrics.md."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from banyan.infra.auth.hashing_pool import HashingPool
from banyan.infra.db.pool_use import PoolUse
from banyan.infra.db.shards import Shards
from banyan.infra.db.sqlite import SqliteDatabase
from banyan.infra.resilience.breaker import Breaker
from banyan.infra.resilience.retry_budget import RetryBudget
from banyan.infra.streams.backlog import Backlog, backlog
from banyan.infra.streams.relay import Relay
from banyan.infra.tasks.protocol import TaskBroker
from banyan.infra.telemetry.loop_lag import LoopLag
from banyan.infra.telemetry.metrics import Metrics
from banyan.infra.telemetry.readings import Reading
from banyan.kernel.clock import Clock

BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}


def loop_lag(metrics: Metrics) -> LoopLag:
    lag = LoopLag()
    name, documentation = "banyan_event_loop_lag_seconds", "How late the event loop gives a task its turn."
    metrics.readings.add("histogram", name, documentation, lag.seconds.readings)
    return lag


def loop_failures(metrics: Metrics, failures: Mapping[str, int]) -> None:
    metrics.readings.add(
        "counter",
        "banyan_loop_failures_total",
        "How often background work ended with an error and was begun anew.",
        lambda: [Reading(count, {"loop": name}) for name, count in failures.items()],
    )


def databases(metrics: Metrics, of: Sequence[Shards]) -> None:
    """Pools of connections, all together (zeros on SQLite, which has none), group commits, and what was committed."""

    def total(value: Callable[[PoolUse], float]) -> Callable[[], float]:
        def read() -> float:
            # Asked for each time: a promotion exchanges the database while we serve.
            pools = (shards.named(name).pool_use for shards in of for name in shards.names())
            return sum(value(pool) for pool in pools if pool is not None)

        return read

    def group_commits() -> Iterable[Reading]:
        for number, shards in enumerate(of):
            for name in shards.names():
                present = shards.named(name).present
                if isinstance(present, SqliteDatabase):
                    for reading in present.batch_sizes.readings():
                        yield reading._replace(labels={"database": f"{name}-{number}", **reading.labels})

    def committed() -> Iterable[Reading]:
        kinds = {kind for shards in of for kind in shards.committed}
        return [Reading(sum(shards.committed[kind] for shards in of), {"type": kind}) for kind in kinds]

    prefix = "banyan_database"
    metrics.gauge(
        f"{prefix}_connections_max", "Size of the pool of connections.", total(lambda pool: pool.size)
    )
    metrics.gauge(f"{prefix}_connections_in_use", "Connections in use.", total(lambda pool: pool.in_use))
    metrics.counter(
        f"{prefix}_waits_total", "Requests that had to wait for a connection.", total(lambda pool: pool.waits)
    )
    metrics.counter(
        f"{prefix}_wait_seconds_total",
        "Time that requests have waited for a connection; its growth in a second is how many wait.",
        total(lambda pool: pool.wait_seconds),
    )
    metrics.counter(
        f"{prefix}_refused_total",
        "Requests that got no connection in time, and were answered 503.",
        total(lambda pool: pool.refused),
    )
    metrics.readings.add(
        "histogram", f"{prefix}_commit_batch_size", "Units of work in one commit of SQLite.", group_commits
    )
    metrics.readings.add(
        "counter", "banyan_events_committed_total", "Events that this process has committed.", committed
    )


def passwords(metrics: Metrics, pool: HashingPool) -> None:
    metrics.gauge("banyan_password_threads", "Threads that hash passwords.", lambda: pool.threads)
    metrics.gauge("banyan_password_threads_busy", "Those that hash one now.", lambda: pool.running)
    metrics.gauge("banyan_password_waiting", "Log-ins that wait for a thread.", lambda: pool.waiting)


def breaker(metrics: Metrics, dependency: str, of: Breaker) -> None:
    label = {"dependency": dependency}
    metrics.gauge(
        "banyan_breaker_state",
        "Circuit breaker: 0 closed, 1 half-open, 2 open.",
        lambda: BREAKER_STATES[of.state],
        **label,
    )
    metrics.counter(
        "banyan_breaker_opened_total", "How often it has opened.", lambda: of.times_opened, **label
    )
    metrics.counter(
        "banyan_breaker_refused_total", "Calls refused while it was open.", lambda: of.refused, **label
    )


def retries(metrics: Metrics, dependency: str, of: RetryBudget) -> None:
    label = {"dependency": dependency}
    metrics.counter("banyan_retries_total", "Calls that were repeated.", lambda: of.spent, **label)
    metrics.counter(
        "banyan_retries_refused_total",
        "Repetitions for which the retry budget had no room.",
        lambda: of.refused,
        **label,
    )


def backlogs(metrics: Metrics, of: Sequence[Shards], relays: Sequence[Relay], clock: Clock) -> None:
    """What waits in the databases: for the relay, for a person."""

    async def ask() -> Mapping[str, Iterable[Reading]]:
        found = [await shards.named(name).read(backlog, clock) for shards in of for name in shards.names()]
        worst = Backlog(
            events=max((one.events for one in found), default=0),
            seconds=max((one.seconds for one in found), default=0.0),
            parked=sum(one.parked for one in found),
            dead_letters=sum(one.dead_letters for one in found),
        )
        shown = {"banyan_events_parked": worst.parked, "banyan_dead_letters": worst.dead_letters}
        if relays:
            shown |= {"banyan_relay_lag_events": worst.events, "banyan_relay_lag_seconds": worst.seconds}
        return {name: (Reading(value),) for name, value in shown.items()}

    gauges = {
        "banyan_events_parked": "Events that a consumer could not apply, and that wait for a person.",
        "banyan_dead_letters": "Messages of the broker that are no event, and wait for a person.",
    }
    if relays:
        gauges["banyan_relay_lag_events"] = "Sequence numbers that the slowest relay's bookmark is behind."
        gauges["banyan_relay_lag_seconds"] = "Age of the oldest event that was not published yet."
    metrics.readings.ask(gauges, ask)


def consumer_lag(metrics: Metrics, consumer: str, lag: Callable[[], Awaitable[int | None]]) -> None:
    name = "banyan_consumer_lag_events"

    async def ask() -> Mapping[str, Iterable[Reading]]:
        behind = await lag()
        return {} if behind is None else {name: (Reading(behind, {"consumer": consumer}),)}

    metrics.readings.ask(
        {name: "Messages of its partitions that a consumer has not fetched from Kafka."}, ask
    )


def task_queues(metrics: Metrics, broker: TaskBroker) -> None:
    async def ask() -> Mapping[str, Iterable[Reading]]:
        queues = await broker.status()
        return {
            "banyan_task_queue_messages": [Reading(queue.waiting, {"queue": queue.name}) for queue in queues],
            "banyan_task_queue_consumers": [
                Reading(queue.consumers, {"queue": queue.name}) for queue in queues
            ],
        }

    metrics.readings.ask(
        {
            "banyan_task_queue_messages": "Tasks in a queue that nobody has taken.",
            "banyan_task_queue_consumers": "Who takes from a queue.",
        },
        ask,
    )
