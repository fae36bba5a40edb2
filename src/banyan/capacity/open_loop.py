"""An open-loop HTTP load generator: requests are due at planned times, whatever the answers do.

A closed loop (ab, wrk, most scripts) sends the next request when the last answer is there. When the server stalls, it stops
asking, and counts one slow answer where a thousand people would have waited: "coordinated omission" (Gil Tene, "How NOT to measure
latency"). Here the n-th request is due at start + n / rate, and its latency runs from that moment, however late it could be sent.

One thread, non-blocking sockets and no event loop: asyncio's timers are in whole milliseconds, and its layers cost as
much as the request. One core sends some 20,000 requests a second.
"""

import gc
import ipaddress
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Self
from urllib.parse import urlsplit

from banyan.capacity.connection import Connection, Wakening
from banyan.capacity.histogram import Histogram

# After the last request was due, what is late may still be sent and answered for so long.
DRAIN_SECONDS = 2.0


class NotLoopback(Exception):
    """Load was about to be sent to a machine that is not this one."""

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(f"{host} is not this machine")


class CannotConnect(Exception):
    """Nobody takes connections at the address before the run begins."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, and what they are.

    next_request: the bytes of the next request, head and body; called once for each request, so it must be cheap: bytes made
    beforehand and cycled through. is_good: of a status; others are failures. allow_remote: send load to another machine.
    """

    host: str
    port: int
    next_request: Callable[[], bytes]
    is_good: Callable[[int], bool] = lambda status: 200 <= status < 300 or status == 304
    allow_remote: bool = False

    @classmethod
    def at(cls, url: str, requests: Sequence[bytes], *, allow_remote: bool = False) -> Self:
        """The server at `url` (plain HTTP), asked these requests in turn, over and over."""
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"not a plain http:// address: {url}")
        return cls(parts.hostname, parts.port or 80, cycle(requests).__next__, allow_remote=allow_remote)


@dataclass(slots=True)
class Run:
    """What came of one run: planned = answered + failed + unsent, always.

    rate: asked for, a second. seconds: planned. elapsed: until the last answer.
    latency: from the planned time. What was given up at the end, unsent or unanswered, is in it with the time that it had waited:
    too little, but never the flattery of leaving it out. Broken connections are not in it.
    statuses: of whole answers, good and bad. errors: why there was no answer. failed: bad statuses and errors.
    unsent: due, but no connection was free before the end.
    lateness: how late the generator itself sent what it could have sent in time; when that is long, it measured itself.
    cpu_seconds: of the generator.
    """

    rate: float
    seconds: float
    planned: int = 0
    answered: int = 0
    unsent: int = 0
    elapsed: float = 0.0
    cpu_seconds: float = 0.0
    latency: Histogram = field(default_factory=Histogram)
    lateness: Histogram = field(default_factory=Histogram)
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    bad_answers: int = 0

    @property
    def failed(self) -> int:
        return self.bad_answers + self.errors.total()

    @property
    def answered_rate(self) -> float:
        """Good answers a second, over the time that they took."""
        return self.answered / self.elapsed if self.elapsed else 0.0

    @property
    def generator_share(self) -> float:
        """How much of one core the generator used; near 1 it could not have sent more."""
        return self.cpu_seconds / self.elapsed if self.elapsed else 0.0

    def as_json(self) -> dict[str, object]:
        return {
            "rate": self.rate,
            "seconds": self.seconds,
            "planned": self.planned,
            "answered": self.answered,
            "failed": self.failed,
            "unsent": self.unsent,
            "answered_rate": round(self.answered_rate, 1),
            "latency_ms": milliseconds(self.latency),
            "generator": {
                "cpu_share": round(self.generator_share, 3),
                "late_p99_ms": round(self.lateness.percentile(99) * 1000, 3),
            },
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "errors": dict(self.errors),
        }


def milliseconds(latency: Histogram) -> dict[str, float]:
    percents = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9}
    found = {name: round(latency.percentile(percent) * 1000, 3) for name, percent in percents.items()}
    return {**found, "max": round(latency.maximum * 1000, 3)}


def request_bytes(
    url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
) -> bytes:
    """A request as it goes over the wire; the connection stays open after it."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def run(target: Target, rate: float, seconds: float, connections: int = 64) -> Run:
    """Send `rate` requests a second for `seconds` over at most `connections` connections, one request on each at a time.

    Returns when everything is answered, or DRAIN_SECONDS after the last request was due. Blocks the thread meanwhile.
    Raises NotLoopback, CannotConnect, and ValueError for a rate, time or number that is not above 0.
    """
    if rate <= 0 or seconds <= 0 or connections <= 0:
        raise ValueError("rate, seconds and connections must be above 0")
    address = address_of(target)
    with selectors.DefaultSelector() as selector:
        lines = [Connection(address, selector) for _ in range(connections)]
        try:
            try:
                for line in lines:
                    line.open_and_wait()
            except OSError as error:
                raise CannotConnect(f"{target.host}:{target.port}: {error.strerror or error}") from error
            with _no_garbage_collection():
                return _drive(target, lines, Wakening(selector), Run(rate, seconds))
        finally:
            for line in lines:
                line.close()


def _drive(target: Target, lines: list[Connection], wakening: Wakening, result: Run) -> Run:
    clock, is_good = time.perf_counter, target.is_good
    planned = result.planned = max(1, round(result.rate * result.seconds))
    interval = 1 / result.rate
    idle = deque(lines)
    sent = under_way = 0
    # Whether a connection was free when the last round ended: then what is sent late now is late by the generator's own fault.
    was_free = True
    cpu = time.thread_time()
    start = clock()
    give_up = start + result.seconds + DRAIN_SECONDS
    while (sent < planned or under_way) and (now := clock()) < give_up:
        due = min(planned, int((now - start) / interval) + 1)
        while sent < due and idle:
            line, when = idle.popleft(), start + sent * interval
            if was_free:
                result.lateness.record(clock() - when)
            sent += 1
            if line.send(target.next_request(), when):
                under_way += 1
            else:
                result.errors[line.error] += 1
                idle.append(line)
        was_free = bool(idle)
        # With no connection free, only an answer can let the next one go.
        until = start + sent * interval if was_free and sent < planned else give_up
        for line in wakening.wait(until - clock()):
            status = line.status
            under_way -= 1
            idle.append(line)
            if status is None:
                result.errors[line.error] += 1
                continue
            result.latency.record(clock() - line.planned)
            result.statuses[status] += 1
            if is_good(status):
                result.answered += 1
            else:
                result.bad_answers += 1
    stopped = clock()
    result.elapsed = max(stopped - start, result.seconds)
    result.cpu_seconds = time.thread_time() - cpu
    _give_up(result, lines, sent, start, stopped)
    return result


def _give_up(result: Run, lines: list[Connection], sent: int, start: float, now: float) -> None:
    """Count what was not sent or not answered, with the time that it has waited so far."""
    for line in lines:
        if line.is_busy:
            result.errors["no answer"] += 1
            result.latency.record(now - line.planned)
    result.unsent = result.planned - sent
    for number in range(sent, result.planned):
        result.latency.record(now - (start + number / result.rate))


def address_of(target: Target) -> tuple[str, int]:
    """The numeric address of the target. Raises NotLoopback and CannotConnect."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CannotConnect(f"{target.host}: {error.strerror or error}") from error
    # Servers that listen at the name `localhost` mostly mean the IPv4 one.
    _, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    if not target.allow_remote and not ipaddress.ip_address(address[0]).is_loopback:
        raise NotLoopback(target.host)
    return str(address[0]), int(address[1])


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A collection in the middle would be a pause that looks like the server's."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
