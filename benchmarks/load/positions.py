"""What a cached list costs where positions are known in the process, asked of PostgreSQL, or asked of Valkey.

    python benchmarks/load/positions.py [SECONDS]

Each is one server process of this checkout under `wrk` with 64 connections and 8 accounts (wrk.lua, kind `list`), with a PostgreSQL and
a Valkey of its own. Counts the processor time of all three servers: it says more than requests per second do, as
the generator shares the cores with them.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from serving import server  # noqa: E402
from tests.support.postgres import postgres_server  # noqa: E402
from tests.support.server import migrated_postgres_url  # noqa: E402
from tests.support.valkey import new_valkey, url_of  # noqa: E402

HERE = Path(__file__).parent


def processor_seconds(processes: Iterable[psutil.Process]) -> float:
    found = 0.0
    for process in processes:
        for one in [process, *process.children(recursive=True)]:
            times = one.cpu_times()
            found += times.user + times.system
    return found


def measure(name: str, settings: dict[str, str], beside: dict[str, psutil.Process], seconds: int) -> None:
    generous = {"BANYAN_RATE_LIMIT_USER": "10000000/second", "BANYAN_RATE_LIMIT_ADDRESS": "10000000/second"}
    with (
        server({**generous, **settings}) as served,
        tempfile.NamedTemporaryFile("w", suffix=".txt") as tokens,
    ):
        account = [sys.executable, str(HERE / "account.py"), served.url, "--count", "8", "--todos", "20"]
        tokens.write(subprocess.run(account, check=True, capture_output=True, text=True).stdout)
        tokens.flush()
        script = [str(HERE / "wrk.lua"), served.url, "--", "list", tokens.name, "-"]
        wrk = ["wrk", "-t1", "-c64", "--latency", "-s", *script]
        subprocess.run([*wrk[:3], "-d2s", *wrk[3:]], check=True, capture_output=True)
        measured = {"banyan": served.process, **beside}
        before = {part: processor_seconds([process]) for part, process in measured.items()}
        done = subprocess.run(
            [*wrk[:3], f"-d{seconds}s", *wrk[3:]], check=True, capture_output=True, text=True
        )
        after = {part: processor_seconds([process]) for part, process in measured.items()}
    lines = [line.split() for line in done.stdout.splitlines()]
    requests = next(int(line[0]) for line in lines if line[1:3] == ["requests", "in"])
    assert "Non-2xx" not in done.stdout, done.stdout
    p50, p99 = (next(line[1] for line in lines if line[:1] == [share]) for share in ("50%", "99%"))
    costs = "  ".join(f"{part} {1e6 * (after[part] - before[part]) / requests:.0f}" for part in measured)
    print(
        f"{name:10}  {requests / seconds:6.0f}/s  p50 {p50:>8}  p99 {p99:>8}  µs CPU a request: {costs}",
        flush=True,
    )


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    database = postgres_server()
    with tempfile.TemporaryDirectory() as folder, new_valkey(Path(folder)) as valkey:
        assert valkey.process is not None
        beside = {
            "postgresql": psutil.Process(database.pid),
            "valkey": psutil.Process(valkey.process.pid),
        }
        measure("process", {}, beside, seconds)
        measure("database", {"BANYAN_DATABASE_URL": migrated_postgres_url()}, beside, seconds)
        redis = {"BANYAN_DATABASE_URL": migrated_postgres_url(), "BANYAN_REDIS_URL": url_of(valkey)}
        measure("redis", redis, beside, seconds)


if __name__ == "__main__":
    main()
