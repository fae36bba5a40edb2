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
from benchmarks.speed.wrk import Load, LoadFailed, Request

# Work that goes on after the last answer, such as events on their way, belongs to what was asked for: it is waited for.
SETTLE_LIMIT_SECONDS = 10.0
SETTLE_STEP_SECONDS = 0.1
IDLE_SHARE = 0.1

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Subject:
    """urls: where its processes listen. application, database: what is measured. requests: files for wrk, by kind.

    page: the to-dos in the answer to a list.
    """

    name: str
    urls: Sequence[str]
    application: Tree
    database: Tree | None
    requests: Mapping[str, Path]
    samples: Mapping[str, Request]
    page: Callable[[object], object] = lambda answer: answer


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement. application_us, database_us: CPU time for each request; the load generator's is in neither."""

    load: Load
    application_us: float
    database_us: float | None
    memory_mib: float


def measure(subject: Subject, kind: str, seconds: float) -> Sample:
    """Load it with one kind of request. Raises LoadFailed when a request fails or, asked once before, is answered wrongly."""
    check(subject, kind)
    application = Meter(subject.application)
    database = None if subject.database is None else Meter(subject.database)
    load = wrk.run(subject.urls, subject.requests[kind], seconds)
    memory = subject.application.memory_mib()
    wait_settled(subject.application)
    return Sample(
        load,
        application.us_per(load.requests),
        None if database is None else database.us_per(load.requests),
        memory,
    )


def check(subject: Subject, kind: str) -> None:
    """See that the answer is what the comparison is about: a page of twenty, or the to-do that was sent."""
    request = subject.samples[kind]
    status, answer = ask(subject.urls[0], request)
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


def wait_settled(tree: Tree) -> None:
    """Return when the processes have little left to do, or after ten seconds."""
    deadline = time.monotonic() + SETTLE_LIMIT_SECONDS
    while time.monotonic() < deadline:
        meter, began = Meter(tree), time.monotonic()
        time.sleep(SETTLE_STEP_SECONDS)
        if meter.seconds() < IDLE_SHARE * (time.monotonic() - began):
            return
