"""wrk: a closed loop of so many connections, each of which sends its next request when it has its answer."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("requests.lua")
CONNECTIONS = 64


class LoadFailed(Exception):
    """A request without a good answer, or a load generator that did not work; the text says what there was."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run has seen."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Request:
    """One of the requests that a run sends in turn. Tabs and line breaks cannot be in any part of it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str = ""

    def as_line(self) -> str:
        headers = [f"{name}: {value}" for name, value in self.headers.items()]
        return "\t".join([self.method, self.path, self.body, *headers])


def write_requests(path: Path, requests: Iterable[Request]) -> Path:
    """The file that `run` wants."""
    path.write_text("".join(request.as_line() + "\n" for request in requests))
    return path


def run(url: str, requests: Path, seconds: float, *, connections: int = CONNECTIONS) -> Load:
    """Send the requests of the file in turn for so long, from one thread: the machine's other core is the server's.

    Raises LoadFailed when any request was refused, broken or timed out, or none was answered.
    """
    program = shutil.which("wrk")
    if program is None:
        raise LoadFailed("wrk is not on this machine (Debian: apt-get install wrk).")
    words = [program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
    done = subprocess.run(
        [*words, "-s", str(SCRIPT), url, "--", str(requests)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LoadFailed(f"wrk ended with {done.returncode}:\n{done.stderr or done.stdout}")
    return parse(done.stdout)


def parse(printed: str) -> Load:
    """What the last line of wrk's output says. Raises LoadFailed."""
    try:
        facts = json.loads(printed.strip().splitlines()[-1])
        load = Load(facts["requests"], facts["seconds"], facts["p50_ms"], facts["p99_ms"])
        bad, broken = facts["bad_status"], facts["socket_errors"]
    except (IndexError, KeyError, TypeError, ValueError):
        raise LoadFailed(f"wrk did not say what it saw:\n{printed}") from None
    if bad or broken:
        raise LoadFailed(
            f"of {load.requests} requests {bad} were refused, {broken} lost their connection or timed out"
        )
    if not load.requests:
        raise LoadFailed("no request was answered")
    return load
