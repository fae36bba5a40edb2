"""What ran out first, from what was seen while a server did not hold a rate."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from banyan.capacity.machine import Usage

# A core that is used so much has no room for the next request: the operating system's own work is in no process's time.
FULL_CORE = 0.85
FULL_MACHINE = 0.93
FULL_DISK = 0.8
# Other programs that took so much of all cores make the result a statement about them.
FOREIGN_SHARE = 0.2
# So many requests waited for a connection at any moment.
WAITING_REQUESTS = 1.0
# The generator sent one in a hundred of its requests later than this part of the target although it could have.
LATE_PART = 0.5
TOO_MANY, UNAVAILABLE = 429, 503
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Seen:
    """One step above the knee. planned: requests. refused, shed: answers 429 and 503. late_p99: seconds that the generator itself was late.

    target_p99: seconds. pool_waiting: requests that waited for a database connection, on average; pool_refused: those that
    got none in time. Both None when the server does not say.
    """

    usage: Usage
    planned: int
    target_p99: float
    late_p99: float = 0.0
    refused: int = 0
    shed: int = 0
    pool_waiting: float | None = None
    pool_refused: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """code: for scripts. sentence: for people, with what to do."""

    code: str
    sentence: str


def ran_out(seen: Seen) -> Verdict:
    """The first of these that is true; the order is from what makes the measurement void to what is left."""
    for judge in (_limit, _others, _generator, _pool, _application, _database, _disk, _machine, _shed):
        verdict = judge(seen)
        if verdict is not None:
            return verdict
    where = "" if seen.usage.parts is not None else " The server's processes cannot be seen from here."
    return Verdict(
        UNKNOWN,
        "Nothing that is measured here was full: what is left is waiting, for locks, for the disk's acknowledgement, for the"
        f" network or for something outside of this machine.{where}",
    )


def is_crowded(usage: Usage) -> bool:
    """Whether other programs take so much of the machine that the result depends on them."""
    return (usage.others or 0.0) >= FOREIGN_SHARE * usage.cores


def of_all(steps: Sequence[Seen]) -> Verdict | None:
    """What most of these steps say; a step that shows nothing does not count beside those that do. None without any."""
    verdicts = [ran_out(seen) for seen in steps]
    telling = [verdict for verdict in verdicts if verdict.code != UNKNOWN] or verdicts
    if not telling:
        return None
    code, _ = Counter(verdict.code for verdict in telling).most_common(1)[0]
    return next(verdict for verdict in telling if verdict.code == code)


def _limit(seen: Seen) -> Verdict | None:
    if not seen.refused:
        return None
    return Verdict(
        "rate_limit",
        "A rate limit refused requests (429) before anything was full: raise BANYAN_RATE_LIMIT_ADDRESS and"
        " BANYAN_RATE_LIMIT_USER of that server to find its capacity.",
    )


def _others(seen: Seen) -> Verdict | None:
    if (seen.usage.machine or 0.0) < FULL_MACHINE or not is_crowded(seen.usage):
        return None
    return Verdict(
        "other_programs",
        f"Other programs on this machine used {_cores(seen.usage.others or 0.0)} of its {seen.usage.cores} cores, and all were busy: this says"
        " more about them. Measure again on a quiet machine.",
    )


def _generator(seen: Seen) -> Verdict | None:
    used = seen.usage.generator or 0.0
    is_late = seen.late_p99 > LATE_PART * seen.target_p99
    is_full = used >= FULL_CORE
    if not is_full and not is_late:
        return None
    if (seen.usage.busiest or 0.0) >= FULL_CORE and not is_full:
        # Both share the machine's cores: it is late because the application needs them.
        return None
    return Verdict(
        "load_generator",
        f"The load generator itself, with {_cores(used)} of a core, could not send in time: the server may well hold more than"
        " what was found. Generate the load on a machine with more cores to see.",
    )


def _pool(seen: Seen) -> Verdict | None:
    waiting, refused = seen.pool_waiting or 0.0, seen.pool_refused or 0.0
    if waiting < WAITING_REQUESTS and refused < seen.planned / 1000:
        return None
    if _database(seen) is not None or _application(seen) is not None:
        # Waiting for connections is then the consequence.
        return None
    return Verdict(
        "connection_pool",
        f"The pool of database connections: {waiting:.0f} requests waited for one at any moment, and {refused:.0f} got none in"
        " time, while neither application nor database was busy. Raise BANYAN_DATABASE_POOL_SIZE.",
    )


def _application(seen: Seen) -> Verdict | None:
    busiest, application = seen.usage.busiest, seen.usage.application
    if busiest is None or application is None or busiest < FULL_CORE:
        return None
    rest = seen.usage.cores - application - (seen.usage.generator or 0.0)
    more = (
        "Start more workers (BANYAN_WORKERS, on PostgreSQL)"
        if rest > 1 - FULL_CORE
        else "Give it more cores, and a worker for each (BANYAN_WORKERS, on PostgreSQL)"
    )
    return Verdict(
        "application_cpu",
        f"The application's processor time: its busiest process used {_cores(busiest)} of a core, all of them together"
        f" {_cores(application)} of {seen.usage.cores}. {more}.",
    )


def _database(seen: Seen) -> Verdict | None:
    parts = seen.usage.parts or {}
    used = parts.get("database", 0.0)
    fills_the_machine = (seen.usage.machine or 0.0) >= FULL_MACHINE and used == max(parts.values(), default=0)
    if used < FULL_CORE * seen.usage.cores and not (fills_the_machine and used > 0):
        return None
    return Verdict(
        "database_cpu",
        f"The database's processor time: {_cores(used)} of {seen.usage.cores} cores. Give it a machine of its own, a replica for"
        " reads, or shards.",
    )


def _disk(seen: Seen) -> Verdict | None:
    if (seen.usage.disk or 0.0) < FULL_DISK:
        return None
    return Verdict(
        "disk",
        f"The disk: busy {seen.usage.disk:.0%} of the time with making commits durable. Put the database on a faster one.",
    )


def _machine(seen: Seen) -> Verdict | None:
    if (seen.usage.machine or 0.0) < FULL_MACHINE:
        return None
    users = {**(seen.usage.parts or {}), "load generator": seen.usage.generator or 0.0}
    shares = ", ".join(
        f"{name} {_cores(used)}" for name, used in sorted(users.items(), key=lambda user: -user[1])
    )
    return Verdict(
        "machine_cpu",
        f"The machine: all {seen.usage.cores} cores were busy ({shares}), none of the parts alone filled one. The load generator"
        " takes part of them; on a machine of its own it would leave more to the server.",
    )


def _shed(seen: Seen) -> Verdict | None:
    if not seen.shed:
        return None
    return Verdict(
        "shed",
        f"Nothing was full, yet the server shed {seen.shed} requests (503): one of its own limits is lower than what it could do.",
    )


def _cores(used: float) -> str:
    return f"{used:.2f}"
