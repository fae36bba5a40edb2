"""Banyan and its peers, measured in turns."""

import sys
from collections.abc import Mapping, Sequence

from benchmarks.speed.row import GREATER, LESS, Goal, Row
from benchmarks.speed.subject import Sample, Subject, measure

WARM_UP_SECONDS = 1.0


def compare(
    case: str,
    kind: str,
    banyan: Subject,
    peers: Sequence[Subject],
    *,
    rounds: int,
    seconds: float,
    goals: Mapping[str, float],
) -> list[Row]:
    """Each of them once a round, in the same order; first all once without counting, to fill caches and pools.

    goals: of the throughput over a peer, by its name.
    """
    subjects = [banyan, *peers]
    for subject in subjects:
        measure(subject, kind, WARM_UP_SECONDS)
    samples: dict[str, list[Sample]] = {subject.name: [] for subject in subjects}
    for number in range(rounds):
        for subject in subjects:
            samples[subject.name].append(measure(subject, kind, seconds))
        told = ", ".join(f"{name} {those[-1].load.per_second:,.0f}/s" for name, those in samples.items())
        print(f"   {case}, round {number + 1}: {told}", file=sys.stderr)
    return [
        row
        for peer in peers
        for row in _rows(case, peer.name, samples[banyan.name], samples[peer.name], goals.get(peer.name))
    ]


def _rows(
    case: str, peer: str, ours: Sequence[Sample], theirs: Sequence[Sample], goal: float | None
) -> list[Row]:
    better = None if goal is None else Goal(LESS, 1)
    metrics = {
        "requests/s": (lambda sample: sample.load.per_second, None if goal is None else Goal(GREATER, goal)),
        "p50 ms": (lambda sample: sample.load.p50_ms, None),
        "p99 ms": (lambda sample: sample.load.p99_ms, better),
        "application CPU µs": (lambda sample: sample.application_us, None),
        "database CPU µs": (lambda sample: sample.database_us, None),
        "memory MiB": (lambda sample: sample.memory_mib, None),
    }
    rows = []
    for metric, (value, bound) in metrics.items():
        pairs = [(value(our), value(their)) for our, their in zip(ours, theirs, strict=True)]
        if all(None not in pair for pair in pairs):
            rows.append(Row(case, metric, pairs, peer, bound))
    return rows
