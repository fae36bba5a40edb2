"""Banyan and its peers, measured in turns."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.speed.options import Options
from benchmarks.speed.row import GREATER, LESS, Goal, Row
from benchmarks.speed.subject import Sample, Subject, measure, measure_steadily, warm_up

from banyan.capacity.open_loop import Run

# The steady rate, of what the slowest of them can do: all have the same ordinary load then, and nobody a queue.
STEADY_PART = 0.5

THROUGHPUT, P99, STEADY_P99 = "requests/s", "p99 ms", "steady p99 ms"
CLOSED: dict[str, Callable[[Sample], float | None]] = {
    THROUGHPUT: lambda sample: sample.load.per_second,
    "p50 ms": lambda sample: sample.load.p50_ms,
    P99: lambda sample: sample.load.p99_ms,
    "application CPU µs": lambda sample: sample.application_us,
    "database CPU µs": lambda sample: sample.database_us,
    "memory MiB": lambda sample: sample.memory_mib,
}
STEADY: dict[str, Callable[[Run], float]] = {
    "steady requests/s": lambda run: run.answered_rate,
    "steady p50 ms": lambda run: run.latency.percentile(50) * 1000,
    STEADY_P99: lambda run: run.latency.percentile(99) * 1000,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """case: its name in the table. kind: of the requests. goals: of the throughput, by peer. better_p99: over these peers the
    slowest answers have a goal too."""

    case: str
    kind: str
    goals: Mapping[str, float]
    better_p99: Sequence[str] = field(default=())

    def goal(self, peer: str, metric: str) -> Goal | None:
        if metric == THROUGHPUT and peer in self.goals:
            return Goal(GREATER, self.goals[peer])
        if metric in (P99, STEADY_P99) and peer in self.better_p99:
            return Goal(LESS, 1)
        return None


def compare(wanted: Comparison, banyan: Subject, peers: Sequence[Subject], options: Options) -> list[Row]:
    """Each of them once a round, always in the same order: first as fast as each can, then all at the same steady rate."""
    subjects = [banyan, *peers]
    for subject in subjects:
        warm_up(subject, wanted.kind)
    closed: dict[str, list[Sample]] = {subject.name: [] for subject in subjects}
    for number in range(options.rounds):
        for subject in subjects:
            closed[subject.name].append(measure(subject, wanted.kind, options.seconds))
        told = ", ".join(f"{name} {samples[-1].load.per_second:,.0f}/s" for name, samples in closed.items())
        print(f"   {wanted.case}, round {number + 1}: {told}", file=sys.stderr)
    slowest = min(median(sample.load.per_second for sample in samples) for samples in closed.values())
    steady: dict[str, list[Run]] = {subject.name: [] for subject in subjects}
    for _ in range(options.rounds):
        for subject in subjects:
            run = measure_steadily(subject, wanted.kind, slowest * STEADY_PART, options.seconds)
            steady[subject.name].append(run)
    return [
        row
        for peer in peers
        for row in (
            *_rows(wanted, CLOSED, peer.name, closed[banyan.name], closed[peer.name]),
            *_rows(wanted, STEADY, peer.name, steady[banyan.name], steady[peer.name]),
        )
    ]


def _rows(
    wanted: Comparison,
    metrics: Mapping[str, Callable],
    peer: str,
    ours: Sequence[object],
    theirs: Sequence[object],
) -> list[Row]:
    rows = []
    for metric, value in metrics.items():
        pairs = [(value(our), value(their)) for our, their in zip(ours, theirs, strict=True)]
        if all(None not in pair for pair in pairs):
            rows.append(Row(wanted.case, metric, pairs, peer, wanted.goal(peer, metric)))
    return rows
