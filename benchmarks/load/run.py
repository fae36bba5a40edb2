"""Load on a server of its own: `ab` and `wrk` on single routes, then the Locust scenario. `make bench-load` calls it.

    .venv/bin/python benchmarks/load/run.py [--quick] [--compare] [--fleet] [--only ab,wrk,locust]

Starts `banyan up` (with `--fleet`: `banyan fleet up`) with its default settings on a free port with an empty data folder,
and stops it at the end. Prints a table, writes benchmarks/load/results/latest.json or fleet.json (unless `--quick`), and
fails when any request failed. CPU is that of all processes that were started, databases and gateway included.
"""

import argparse
import json
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
from account import make_account
from serving import Served, server
from tools import Result, ab, locust, wrk

RESULTS = Path(__file__).parent / "results"
ACCOUNTS = 8
TODOS = 20


def with_ab(served: Served, requests: int, connections: int, folder: Path) -> Iterator[Result]:
    """Single routes, one account each for reading and writing."""
    reader = ["-H", f"Authorization: Bearer {make_account(served.url, TODOS)}"]
    writer = ["-H", f"Authorization: Bearer {make_account(served.url)}"]
    body = folder / "todo.json"
    body.write_text('{"title":"Water the banyan"}')
    post = [*writer, "-T", "application/json", "-p", str(body)]
    yield ab(served, "GET /todos", requests, connections, reader, "/todos")
    yield ab(served, "GET /todos, keep-alive", requests, connections, ["-k", *reader], "/todos")
    yield ab(served, "POST /todos", requests, connections, post, "/todos")
    yield ab(served, "POST /todos, keep-alive", requests, connections, ["-k", *post], "/todos")
    yield ab(served, "GET /notifications", requests, connections, reader, "/notifications")


def with_wrk(served: Served, seconds: int, folder: Path) -> Iterator[Result]:
    """The hot routes with connections that stay open."""
    tokens = folder / "tokens"
    people = [make_account(served.url, TODOS) for _ in range(ACCOUNTS)]
    tokens.write_text("\n".join(people) + "\n")
    tag = etag_of(served.url, people[0])
    yield wrk(served, "GET /todos, unchanged list", "list", 64, seconds, tokens)
    yield wrk(served, "GET /todos, 304", "unchanged", 64, seconds, tokens, tag)
    yield wrk(served, "9 × GET, 1 × POST /todos", "mixed", 64, seconds, tokens)
    yield wrk(served, "POST /todos, 1 connection", "create", 1, seconds, tokens)
    yield wrk(served, "POST /todos, 8 connections", "create", 8, seconds, tokens)
    yield wrk(served, "POST /todos, 64 connections", "create", 64, seconds, tokens)


def without_the_edge(seconds: int, folder: Path) -> Iterator[Result]:
    """The same two hot routes through the router, as if there were no edge."""
    with server({"BANYAN_EDGE": "false"}) as served:
        tokens = folder / "tokens"
        tokens.write_text("\n".join(make_account(served.url, TODOS) for _ in range(ACCOUNTS)) + "\n")
        yield wrk(served, "GET /todos, unchanged list, no edge", "list", 64, seconds, tokens)
        yield wrk(served, "POST /todos, 64 connections, no edge", "create", 64, seconds, tokens)


def etag_of(url: str, token: str) -> str:
    request = urllib.request.Request(f"{url}/todos", headers={"authorization": f"Bearer {token}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return answer.headers["etag"]


def machine() -> dict[str, object]:
    """What the numbers were measured on."""
    model = platform.processor()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = [
            line.partition(":")[2].strip()
            for line in cpu_info.read_text().splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def show(result: Result) -> Result:
    cpu = "" if result.cpu_us is None else f"{result.cpu_us:>8.0f} µs CPU"
    print(
        f"  {result.tool:<7}{result.name:<38}{result.per_second:>9.0f}/s"
        f"{result.p50_ms:>9.2f} ms p50{result.p99_ms:>9.2f} ms p99{result.failed:>6} failed{cpu}",
        flush=True,
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=10_000, help="of each ab run")
    parser.add_argument("--concurrency", type=int, default=100, help="connections of each ab run")
    parser.add_argument("--seconds", type=int, default=8, help="of each wrk run")
    parser.add_argument("--people", type=int, default=100, help="of the Locust scenario")
    parser.add_argument("--scenario-seconds", type=int, default=60, help="of the Locust scenario")
    parser.add_argument("--only", default="ab,wrk,locust", help="which tools, separated by commas")
    parser.add_argument("--compare", action="store_true", help="also measure without the edge")
    parser.add_argument("--fleet", action="store_true", help="measure a whole fleet, through its gateway")
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds of each, to see that it works; writes nothing"
    )
    options = parser.parse_args()
    if options.quick:
        options.requests, options.seconds, options.people, options.scenario_seconds = 1000, 2, 10, 8
    tools = options.only.split(",")
    for tool, package in (("ab", "apache2-utils"), ("wrk", "wrk")):
        if tool in tools and shutil.which(tool) is None:
            sys.exit(
                f"{tool} is missing. On Debian or Ubuntu: apt-get install {package}. Or leave it out with --only."
            )

    facts = machine()
    started = time.monotonic()
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server(fleet=options.fleet) as served:
            print(
                f"\n  banyan {'fleet ' if options.fleet else ''}up, at {served.url}; {facts['cpu']}, {facts['cores']} cores, shared with the load generator\n"
            )
            if "ab" in tools:
                results += map(show, with_ab(served, options.requests, options.concurrency, folder))
            if "wrk" in tools:
                results += map(show, with_wrk(served, options.seconds, folder))
            if "locust" in tools:
                results += map(show, locust(served, options.people, options.scenario_seconds))
            memory = round(served.memory_mib())
        if options.compare:
            results += map(show, without_the_edge(options.seconds, folder))
    failed = sum(result.failed for result in results if result.name != "all")
    print(f"\n  {failed} failed; {memory} MiB resident at the end; {time.monotonic() - started:.0f} s\n")
    if not options.quick:
        document = {
            "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "machine": facts,
            "server_memory_mib": memory,
            "results": [result.as_json() for result in results],
        }
        RESULTS.mkdir(exist_ok=True)
        latest = RESULTS / ("fleet.json" if options.fleet else "latest.json")
        latest.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    sys.exit("Some requests failed: see above." if failed else 0)


if __name__ == "__main__":
    main()
