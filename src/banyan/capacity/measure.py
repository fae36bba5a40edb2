"""One measurement: steps at rates, each judged, until the knee is found; and what ran out above it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from banyan.capacity.json_client import AnswerError, ask
from banyan.capacity.machine import Machine, Usage
from banyan.capacity.open_loop import Run, Target, milliseconds, run
from banyan.capacity.search import Found, Search
from banyan.capacity.verdict import TOO_MANY, UNAVAILABLE, Seen, Verdict, of_all

NEAR_THE_KNEE = 1.5
POOL_MOST, POOL_WAITED, POOL_REFUSED = (
    "banyan_database_connections_max",
    "banyan_database_wait_seconds_total",
    "banyan_database_refused_total",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """start, most: requests a second. seconds: of one step. budget: seconds in which the search is to end, but for its last step.

    precision: how narrow the gap between what held and what did not must become. target_p99: seconds.
    """

    target_p99: float
    connections: int = 64
    seconds: float = 2.0
    start: float = 200.0
    most: float = 100_000.0
    precision: float = 0.05
    budget: float = 120.0


@dataclass(frozen=True, slots=True)
class Step:
    """why: it did not hold; None when it did."""

    run: Run
    usage: Usage
    seen: Seen
    why: str | None

    @property
    def held(self) -> bool:
        return self.why is None

    @property
    def p99(self) -> float:
        return self.run.latency.percentile(99)

    @property
    def application_us(self) -> float | None:
        """Microseconds of the application's processors for each answered request."""
        used = self.usage.application
        if used is None or not self.run.answered:
            return None
        return used * self.run.elapsed / self.run.answered * 1e6

    def as_json(self) -> dict[str, Any]:
        usage = self.usage
        rounded = {
            name: None if value is None else round(value, 3)
            for name, value in (
                ("busiest", usage.busiest),
                ("generator", usage.generator),
                ("others", usage.others),
                ("machine", usage.machine),
                ("disk", usage.disk),
                ("pool_waiting", self.seen.pool_waiting),
                ("pool_refused", self.seen.pool_refused),
            )
        }
        parts = None if usage.parts is None else {name: round(used, 3) for name, used in usage.parts.items()}
        cost = self.application_us
        return {
            **self.run.as_json(),
            "held": self.held,
            "why": self.why,
            "application_us": None if cost is None else round(cost, 1),
            "usage": {"cores": usage.cores, "parts": parts, **rounded},
        }


@dataclass(slots=True)
class Measurement:
    """What is known so far. verdict: None while nothing has failed."""

    plan: Plan
    steps: list[Step] = field(default_factory=list)
    found: Found = field(default_factory=lambda: Found(None, None, is_narrow=False))

    @property
    def at_the_knee(self) -> Step | None:
        """Of the steps that held at the highest rate that did, the one in the middle by p99."""
        steps = [step for step in self.steps if step.held and step.run.rate == self.found.held]
        return sorted(steps, key=lambda step: step.p99)[len(steps) // 2] if steps else None

    @property
    def verdict(self) -> Verdict | None:
        """Judged by the steps that failed near the knee: far above it, other things run out as well."""
        if self.found.failed is None:
            return None
        farthest = self.found.failed * NEAR_THE_KNEE
        near = [step for step in self.steps if not step.held and step.run.rate <= farthest]
        return of_all([step.seen for step in sorted(near, key=lambda step: step.run.rate)])

    def as_json(self) -> dict[str, Any]:
        knee, verdict = self.at_the_knee, self.verdict
        return {
            "target_p99_ms": self.plan.target_p99 * 1000,
            "capacity": None if self.found.held is None else round(self.found.held, 1),
            "failed_at": None if self.found.failed is None else round(self.found.failed, 1),
            "is_narrow": self.found.is_narrow,
            "ran_out": None if verdict is None else {"code": verdict.code, "sentence": verdict.sentence},
            "at_capacity": None if knee is None else knee.as_json(),
            "steps": [step.as_json() for step in self.steps],
        }


def measure(
    measurement: Measurement,
    target: Target,
    machine: Machine,
    metrics_url: str | None,
    on_step: Callable[[Step], None] = lambda _step: None,
) -> None:
    """Fill `measurement`, step by step, so that whoever interrupts this has what is known."""
    plan = measurement.plan
    deadline = time.monotonic() + plan.budget

    def attempt(rate: float) -> bool:
        step = take_step(plan, rate, target, machine, metrics_url)
        measurement.steps.append(step)
        on_step(step)
        return step.held

    search = Search(
        attempt,
        start=plan.start,
        most=plan.most,
        precision=plan.precision,
        is_over=lambda: time.monotonic() > deadline,
    )
    try:
        search.run()
    finally:
        measurement.found = search.found


def take_step(plan: Plan, rate: float, target: Target, machine: Machine, metrics_url: str | None) -> Step:
    """Send the load of one step and look at everything meanwhile. Raises what `open_loop.run` raises."""
    pool_before = _pool(metrics_url)
    before = machine.look()
    result = run(target, rate, plan.seconds, plan.connections)
    usage = machine.between(before, machine.look())
    pool_after = _pool(metrics_url)
    waiting = refused = None
    if pool_before is not None and pool_after is not None:
        waiting = max(0.0, pool_after[0] - pool_before[0]) / result.elapsed
        refused = max(0.0, pool_after[1] - pool_before[1])
    seen = Seen(
        usage,
        result.planned,
        plan.target_p99,
        late_p99=result.lateness.percentile(99),
        refused=result.statuses[TOO_MANY],
        shed=result.statuses[UNAVAILABLE],
        pool_waiting=waiting,
        pool_refused=refused,
    )
    return Step(result, usage, seen, _why(result, plan.target_p99))


def _why(result: Run, target_p99: float) -> str | None:
    """Why a step did not hold. One failure is too much: capacity is what is served, not what is mostly served."""
    if result.unsent:
        return f"{result.unsent} requests could not be sent"
    if result.failed:
        bad = [f"{count} × {status}" for status, count in result.statuses.items() if status >= 400]
        broken = [f"{count} × {error}" for error, count in result.errors.items()]
        return ", ".join(bad + broken)
    p99 = result.latency.percentile(99)
    if p99 > target_p99:
        return f"p99 {milliseconds(result.latency)['p99']:.0f} ms"
    return None


def _pool(metrics_url: str | None) -> tuple[float, float] | None:
    """Seconds waited for connections and requests refused, so far; None where nobody says, or where there is no pool."""
    if metrics_url is None:
        return None
    try:
        page = ask(metrics_url, "GET", "/metrics").decode()
    except (AnswerError, UnicodeDecodeError):
        return None
    if not sum_of(page, POOL_MOST):
        return None
    return sum_of(page, POOL_WAITED), sum_of(page, POOL_REFUSED)


def sum_of(page: str, name: str) -> float:
    """All samples of one metric, whatever their labels."""
    samples: Sequence[str] = [line for line in page.splitlines() if line.startswith((name + " ", name + "{"))]
    return sum(float(line.rsplit(" ", 1)[1]) for line in samples)
