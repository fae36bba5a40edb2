"""The load generators, each run as a program of its own and read back as a `Result`."""

import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from serving import Served

HERE = Path(__file__).parent


class ToolFailed(Exception):
    """A load generator that could not do its work; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run. cpu_us: CPU time of the server for one request. failed: answers that were no success, and broken connections."""

    tool: str
    name: str
    command: str
    connections: int
    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    cpu_us: float | None = None

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def ab(served: Served, name: str, requests: int, connections: int, arguments: list[str], path: str) -> Result:
    """ApacheBench on one address. arguments: more of its options."""
    shown = [
        "ab",
        "-n",
        str(requests),
        "-c",
        str(connections),
        *(word for word in arguments if word == "-k"),
        path,
    ]
    before = served.cpu_seconds()
    # -l: a list that grows changes its length, which is no failure. -q: no progress lines.
    words = ["ab", "-q", "-l", "-n", str(requests), "-c", str(connections), *arguments, f"{served.url}{path}"]
    text = _run(words)
    used = served.cpu_seconds() - before

    def number(pattern: str) -> float:
        found = re.search(pattern, text)
        return float(found[1]) if found else 0.0

    done = int(number(r"Complete requests:\s+(\d+)"))
    return Result(
        tool="ab",
        name=name,
        command=" ".join(shown),
        connections=connections,
        requests=done,
        per_second=number(r"Requests per second:\s+([0-9.]+)"),
        p50_ms=number(r"50%\s+(\d+)"),
        p99_ms=number(r"99%\s+(\d+)"),
        failed=requests
        - done
        + int(number(r"Failed requests:\s+(\d+)") + number(r"Non-2xx responses:\s+(\d+)")),
        cpu_us=round(used / done * 1e6, 1),
    )


def wrk(
    served: Served, name: str, kind: str, connections: int, seconds: int, tokens: Path, tag: str = ""
) -> Result:
    """wrk with one of the kinds of wrk.lua, from one thread: the second core is the server's."""
    before = served.cpu_seconds()
    options = ["-t1", f"-c{connections}", f"-d{seconds}s"]
    text = _run(["wrk", *options, "-s", str(HERE / "wrk.lua"), served.url, "--", kind, str(tokens), tag])
    used = served.cpu_seconds() - before
    facts = json.loads(text.strip().splitlines()[-1])
    return Result(
        tool="wrk",
        name=name,
        command=f"wrk {' '.join(options)} -s wrk.lua -- {kind}",
        connections=connections,
        requests=facts["requests"],
        per_second=round(facts["requests"] / facts["seconds"], 1),
        p50_ms=facts["p50_ms"],
        p99_ms=facts["p99_ms"],
        failed=facts["bad_status"] + facts["socket_errors"],
        cpu_us=round(used / facts["requests"] * 1e6, 1),
    )


def locust(served: Served, people: int, seconds: int) -> list[Result]:
    """The scenario of locustfile.py: a result for each operation, and one for all of them."""
    # People arrive one by one: each registration and log-in costs a password hash, on purpose.
    rate = max(1, people // 10)
    options = ["--users", str(people), "--spawn-rate", str(rate), "--run-time", f"{seconds}s", "--headless"]
    before = served.cpu_seconds()
    words = [
        sys.executable,
        "-m",
        "locust",
        "--locustfile",
        str(HERE / "locustfile.py"),
        "--host",
        served.url,
    ]
    text = _run([*words, *options, "--json", "--loglevel", "ERROR"])
    used = served.cpu_seconds() - before
    found = json.loads(text[text.index("[") :])
    command = "locust -f benchmarks/load/locustfile.py " + " ".join(options)
    results = [
        _operation(entry, command, people, seconds)
        for entry in sorted(found, key=lambda entry: entry["name"])
    ]
    requests = sum(result.requests for result in results)
    times: dict[int, int] = {}
    for entry in found:
        for milliseconds, count in entry["response_times"].items():
            times[int(float(milliseconds))] = times.get(int(float(milliseconds)), 0) + count
    results.append(
        Result(
            tool="locust",
            name="all",
            command=command,
            connections=people,
            requests=requests,
            per_second=round(requests / seconds, 1),
            p50_ms=_percentile(times, 0.5),
            p99_ms=_percentile(times, 0.99),
            failed=sum(result.failed for result in results),
            cpu_us=round(used / requests * 1e6, 1),
        )
    )
    return results


def _operation(entry: dict, command: str, people: int, seconds: int) -> Result:
    times = {int(float(milliseconds)): count for milliseconds, count in entry["response_times"].items()}
    return Result(
        tool="locust",
        name=entry["name"],
        command=command,
        connections=people,
        requests=entry["num_requests"],
        per_second=round(entry["num_requests"] / seconds, 1),
        p50_ms=_percentile(times, 0.5),
        p99_ms=_percentile(times, 0.99),
        failed=entry["num_failures"],
    )


def _percentile(times: dict[int, int], part: float) -> float:
    """The time within which this part of all requests was answered. times: milliseconds → how many."""
    wanted, seen = sum(times.values()) * part, 0
    for milliseconds in sorted(times):
        seen += times[milliseconds]
        if seen >= wanted:
            return float(milliseconds)
    return 0.0


def _run(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    # Locust ends with 1 when a request failed; that is a result, and counted as one.
    if done.returncode != 0 and not (done.returncode == 1 and "locust" in words):
        raise ToolFailed(f"{words[0]} ended with {done.returncode}:\n{done.stderr or done.stdout}")
    return done.stdout
