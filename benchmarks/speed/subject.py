"""One of those that are compared: a server that runs, and the requests that it is asked with."""

import json
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError

from benchmarks.speed import wrk
from benchmarks.speed.people import TODOS
from benchmarks.speed.processes import Meter, Tree
from benchmarks.speed.wrk import CONNECTIONS, Load, LoadFailed, Request

from banyan.capacity import open_loop

# Work that goes on after the last answer, such as events on their way, belongs to what was asked for: it is waited for.
SETTLE_LIMIT_SECONDS = 10.0
# After people were given their to-dos, there may be twenty thousand events on their way.
FIRST_SETTLE_LIMIT_SECONDS = 120.0
SETTLE_STEP_SECONDS = 0.1
IDLE_SHARE = 0.1
WARM_UPS, WARM_UP_SECONDS, WARM_UP_TIMES = 8, 1.0, 4
MOST_REFUSED = 3

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Subject:
    """application, database: whose CPU time is measured; None for a database within the application's processes.

    requests: by kind (`list`, `create`), one for each person. folder: for files. page: the to-dos in the answer to a list.
    """

    name: str
    url: str
    application: Tree
    database: Tree | None
    requests: Mapping[str, Sequence[Request]]
    folder: Path
    page: Callable[[object], object] = lambda answer: answer


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of a closed loop. application_us, database_us: CPU time for each request; the load generator's is in
    neither."""

    load: Load
    application_us: float
    database_us: float | None
    memory_mib: float


def measure(subject: Subject, kind: str, seconds: float) -> Sample:
    """Load it with one kind of request. Raises LoadFailed when a request fails."""
    requests = wrk.write_requests(subject.folder / f"{kind}.requests", subject.requests[kind])
    application = Meter(subject.application)
    database = None if subject.database is None else Meter(subject.database)
    try:
        load = wrk.run(subject.url, requests, seconds)
    except LoadFailed as failed:
        raise LoadFailed(f"{subject.name}, {kind}: {failed}") from failed
    memory = subject.application.memory_mib()
    wait_settled(subject.application)
    return Sample(
        load,
        application.us_per(load.requests),
        None if database is None else database.us_per(load.requests),
        memory,
    )


def measure_steadily(subject: Subject, kind: str, rate: float, seconds: float) -> open_loop.Run:
    """Send so many requests a second, whatever the answers do. Raises LoadFailed when a request fails."""
    requests = [
        open_loop.request_bytes(
            subject.url + request.path, request.method, request.headers, request.body.encode()
        )
        for request in subject.requests[kind]
    ]
    run = open_loop.run(open_loop.Target.at(subject.url, requests), rate, seconds, CONNECTIONS)
    if run.failed or run.unsent:
        raise LoadFailed(f"{subject.name}, {kind} at {rate:.0f}/s: {run.as_json()}")
    wait_settled(subject.application)
    return run


def warm_up(subject: Subject, kind: str) -> None:
    """Load it without counting until each person was served some times, by each process; see first that the answer is what
    the comparison is about.

    Some refusals while its pool of connections is being filled are allowed. Raises LoadFailed.
    """
    wait_settled(subject.application, FIRST_SETTLE_LIMIT_SECONDS)
    check(subject, kind)
    done, refused = 0, 0
    for _ in range(WARM_UPS):
        try:
            done += measure(subject, kind, WARM_UP_SECONDS).load.requests
        except LoadFailed:
            refused += 1
            if refused == MOST_REFUSED:
                raise
        if done >= WARM_UP_TIMES * len(subject.requests[kind]):
            break


def check(subject: Subject, kind: str) -> None:
    """See that a list is answered with a page of twenty, a new to-do with itself. Raises LoadFailed."""
    request = subject.requests[kind][0]
    status, answer = ask(subject.url, request)
    if kind == "create":
        wanted = json.loads(request.body)["title"]
        is_right = status in (200, 201) and isinstance(answer, dict) and answer["title"] == wanted
    else:
        page = subject.page(answer)
        is_right = status == 200 and isinstance(page, list) and len(page) == TODOS
    if not is_right:
        raise LoadFailed(f"{subject.name} answered {kind} with {status}: {str(answer)[:500]}")


def ask(url: str, request: Request) -> tuple[int, object]:
    """Status and JSON of one answer."""
    body = request.body.encode() or None
    words = urllib.request.Request(url + request.path, body, dict(request.headers), method=request.method)
    try:
        with _opener.open(words, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def wait_settled(tree: Tree, limit_seconds: float = SETTLE_LIMIT_SECONDS) -> None:
    """Return when the processes have little left to do, or when the time is over."""
    deadline = time.monotonic() + limit_seconds
    while time.monotonic() < deadline:
        meter, began = Meter(tree), time.monotonic()
        time.sleep(SETTLE_STEP_SECONDS)
        if meter.seconds() < IDLE_SHARE * (time.monotonic() - began):
            return
