"""What the gateway costs: the same requests straight to a server and through Envoy, on one machine.

    python -m benchmarks.gateway.cost [--seconds 5] [--turns 3]

Latency comes from wrk, processor time from the kernel: of the server, and of Envoy, for each request. The generator shares
the machine with both, so the throughput says little; processor time and the difference of latencies say more.
"""

import argparse
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.accounts import Account, register
from tests.support.gateway import Gateway, everything_at, gateway
from tests.support.server import RunningServer

TODOS = 20
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds, and microseconds of processor time a request."""

    requests: int
    median: float
    p99: float
    server_cpu: float
    envoy_cpu: float


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(
    url: str, path: str, at_once: int, seconds: int, user: Account, server: RunningServer, made: Gateway
) -> Measured:
    assert made.running.process is not None
    pids = (server.pid, made.running.process.pid)
    before = [cpu_seconds(pid) for pid in pids]
    done = subprocess.run(
        [
            "wrk",
            "-t1",
            f"-c{at_once}",
            f"-d{seconds}",
            "--latency",
            "-H",
            f"Authorization: Bearer {user.access_token}",
            url + path,
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    used = [cpu_seconds(pid) - earlier for pid, earlier in zip(pids, before, strict=True)]
    assert "Non-2xx" not in done, done
    requests = int(re.search(r"(\d+) requests in", done)[1])  # pyright: ignore[reportOptionalSubscript]
    return Measured(
        requests, _latency(done, "50%"), _latency(done, "99%"), *(each / requests * 1e6 for each in used)
    )


def _latency(text: str, share: str) -> float:
    found = re.search(rf"{share}\s+([\d.]+)(us|ms|s)", text)
    assert found is not None, text
    return float(found[1]) * UNITS[found[2]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trusting = {"BANYAN_TRUSTED_PROXIES": "127.0.0.1"}
        with (
            RunningServer(Path(folder) / "server", trusting) as server,
            gateway(Path(folder) / "gateway", everything_at(server.port)) as made,
        ):
            user = register(server.url)
            for number in range(TODOS):
                user.client.post("/todos", json={"title": f"number {number}"})
            print(f"{'':34}{'median':>9}{'p99':>9}{'server':>9}{'Envoy':>9}")
            print(f"{'':34}{'ms':>9}{'ms':>9}{'µs CPU':>9}{'µs CPU':>9}")
            for path in ("/todos", "/todos/stats"):
                for at_once in (1, 32):
                    for name, url in (("direct", server.url), ("through Envoy", made.url)):
                        turns = [
                            measure(url, path, at_once, arguments.seconds, user, server, made)
                            for _ in range(arguments.turns)
                        ]
                        best = min(turns, key=lambda turn: turn.median)
                        label = f"GET {path}, {at_once} at once, {name}"
                        print(
                            f"{label:38}{best.median:5.2f}{best.p99:9.2f}{best.server_cpu:9.0f}{best.envoy_cpu:9.0f}"
                        )
            user.client.close()


if __name__ == "__main__":
    main()
