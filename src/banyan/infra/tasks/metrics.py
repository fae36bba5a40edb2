"""Metrics of tasks. Labels are kinds and outcomes, both of a fixed number."""

from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Histogram

BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class TaskMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "banyan_tasks",
            "Tasks by kind and outcome: done, again, dead.",
            ["kind", "outcome"],
            registry=registry,
        )
        self._duration = Histogram(
            "banyan_task_duration_seconds",
            "Time that one try of a task takes.",
            ["kind"],
            buckets=BUCKETS,
            registry=registry,
        )

    def count(self, kind: str, outcome: str) -> None:
        self._ended.labels(kind, outcome).inc()

    def timed(self, kind: str) -> AbstractContextManager[object]:
        return self._duration.labels(kind).time()
