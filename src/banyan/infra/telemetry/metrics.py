"""Metrics of this process, in Prometheus's form."""

import time
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class HttpMetrics:
    """Rate, errors and duration of every route. Labels are route templates, never paths: their number is bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._duration = Histogram(
            "banyan_http_request_duration_seconds",
            "Time from the request's head to the answer's last byte.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._answers = Counter(
            "banyan_http_requests",
            "Answers by route and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._children: dict[tuple[str, str, int], tuple[Callable[[float], None], Callable[[], None]]] = {}

    def observe(self, method: str, route: str, status: int, started: float) -> None:
        """started: `time.perf_counter()` at the beginning."""
        child = self._children.get((method, route, status))
        if child is None:
            known = (
                method if method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS") else "other"
            )
            child = (
                self._duration.labels(known, route).observe,
                self._answers.labels(known, route, str(status)).inc,
            )
            if known == method:
                self._children[method, route, status] = child
        observe, increment = child
        observe(time.perf_counter() - started)
        increment()


class Metrics:
    """Everything that `/metrics` shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.http = HttpMetrics(self.registry)
        # Where several processes serve one address, whichever is asked answers for all (exchange.py).
        self.of_all: Callable[[], Awaitable[bytes]] | None = None

    def gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """A value that is read when it is scraped."""
        Gauge(name, documentation, registry=self.registry).set_function(read)

    async def page(self) -> bytes:
        return generate_latest(self.registry) if self.of_all is None else await self.of_all()
