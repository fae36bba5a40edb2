"""Metrics of this process, in Prometheus's form. Each is listed in docs/guide/metrics.md."""

import platform
import time
from collections.abc import Awaitable, Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import Metric

from banyan import __version__
from banyan.infra.telemetry.counted import CacheUse
from banyan.infra.telemetry.readings import Reading, Readings
from banyan.kernel.errors import BanyanError, RateLimited

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
        self._refused = Counter(
            "banyan_http_refused",
            "Requests refused for their number: `limit_` and the limit's name, or the code of a 503.",
            ["reason"],
            registry=registry,
        )
        self.in_progress = 0
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

    def refused(self, error: BanyanError | None) -> None:
        """A request was answered 429 or 503. error: why, where it is known."""
        if isinstance(error, RateLimited):
            # Somebody's own doing, whatever the limit is: alerts look for the rest.
            reason = f"limit_{error.facts.get('policy', ('other',))[0]}"
        else:
            reason = error.code if error else "other"
        self._refused.labels(reason).inc()


class _TargetRegistry(CollectorRegistry):
    """Says with each sample what the process runs: put on when it is scraped, so that counting costs no more."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [
                sample._replace(labels={"target": self._target, **sample.labels}) for sample in metric.samples
            ]
            yield metric


class Metrics:
    """Everything that `/metrics` shows. target: what this process runs, the label of every sample."""

    def __init__(self, target: str = "all") -> None:
        self.registry = _TargetRegistry(target)
        self.http = HttpMetrics(self.registry)
        self.readings = Readings()
        self.registry.register(self.readings)
        ProcessCollector(registry=self.registry)
        # Where several processes serve one address, whichever is asked answers for all (exchange.py).
        self.of_all: Callable[[], Awaitable[bytes]] | None = None
        self.gauge("banyan_http_requests_in_progress", "Requests being answered now.", self._in_progress)
        about = {"version": __version__, "python": platform.python_version()}
        self.gauge("banyan_build_info", "What runs here; always 1.", lambda: 1, **about)

    def gauge(self, name: str, documentation: str, read: Callable[[], float], **labels: str) -> None:
        """A value that is read when it is scraped."""
        self.readings.add("gauge", name, documentation, lambda: (Reading(read(), labels),))

    def counter(self, name: str, documentation: str, read: Callable[[], float], **labels: str) -> None:
        """The same for a value that only grows while the process lives; the name ends with `_total`."""
        self.readings.add("counter", name, documentation, lambda: (Reading(read(), labels),))

    def cache(self, cache: str, use: CacheUse) -> None:
        """How often a cache was asked, and had the answer."""
        name, documentation = "banyan_cache_requests_total", "Look-ups, by whether the answer was there."
        self.counter(name, documentation, lambda: use.hits, cache=cache, result="hit")
        self.counter(name, documentation, lambda: use.misses, cache=cache, result="miss")

    async def collected(self) -> list[Metric]:
        """Of this process alone."""
        await self.readings.refresh()
        return list(self.registry.collect())

    async def page(self) -> bytes:
        if self.of_all is not None:
            return await self.of_all()
        await self.readings.refresh()
        return generate_latest(self.registry)

    def _in_progress(self) -> float:
        return self.http.in_progress
