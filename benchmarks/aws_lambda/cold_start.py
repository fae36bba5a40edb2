"""The cold start of the functions on AWS Lambda: `python -m benchmarks.aws_lambda.cold_start [--starts N]`.

Each start is a new process of the real runtime client (`awslambdaric`), against a runtime API and a PostgreSQL server of this
machine. Printed are medians, with the least and the most:

    init         from the process's start until it asks for its first invocation: Python, imports, building, connecting
    of it CPU    the processor's time in it, which other work on the machine does not lengthen
    of it imports  as `python -X importtime` has it, of a start that does nothing else
    first        the first invocation, GET /readyz
    warm         GET /todos of a person who has ten, after ten of them
    memory       resident, after all that

Lambda adds what it takes to fetch the image and to start the environment; its init phase has a whole processor.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.accounts import PASSWORD, unused_email
from tests.support.lambda_runtime import LambdaFunction
from tests.support.server import migrated_postgres_url

NO_MAIL = {"BANYAN_SMTP_HOST": "127.0.0.1", "BANYAN_SMTP_PORT": "9"}
WARM = 50
FIRST_OF_WARM = 10
TICKS = 100
IMPORTS = """
import sys, time
began = time.process_time()
from banyan.infra.hidden_imports import hidden
with hidden("rich"):
    import banyan.aws_lambda.environment, banyan.aws_lambda.http, asyncpg
print(time.process_time() - began)
"""


def milliseconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def cpu_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / TICKS


def memory_mib(pid: int) -> float:
    (line,) = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")
    ]
    return int(line.split()[1]) / 1024


def imports_ms() -> float:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    return float(done.stdout) * 1000


def person(function: LambdaFunction) -> str:
    email = unused_email()
    assert (
        function.request("POST", "/users/", {"name": "Ada", "email": email, "password": PASSWORD}).status
        == 201
    )
    token = function.request("POST", "/auth/login", {"email": email, "password": PASSWORD}).json()[
        "access_token"
    ]
    for number in range(10):
        assert function.request("POST", "/todos", {"title": f"To-do {number}"}, token=token).status == 201
    return token


def one_start(database: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        function = LambdaFunction("handler", Path(folder), {"BANYAN_DATABASE_URL": database})
        figures = {"init": milliseconds(function.__enter__)}
        try:
            assert function.process is not None
            pid = function.process.pid
            figures["of it CPU"] = cpu_ms(pid)
            figures["of it imports (CPU)"] = imports_ms()
            figures["first"] = milliseconds(lambda: function.request("GET", "/readyz"))
            token = person(function)
            listings = [
                milliseconds(lambda: function.request("GET", "/todos", token=token)) for _ in range(WARM)
            ]
            figures["warm"] = statistics.median(listings[FIRST_OF_WARM:])
            figures["memory (MiB)"] = memory_mib(pid)
        finally:
            function.__exit__(None, None, None)
        relay = LambdaFunction("relay", Path(folder), {"BANYAN_DATABASE_URL": database, **NO_MAIL})
        figures["relay: init"] = milliseconds(relay.__enter__)
        try:
            while not relay.invoke()["finished"]:
                pass
            figures["relay: nothing to do"] = milliseconds(relay.invoke)
        finally:
            relay.__exit__(None, None, None)
        return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=7, help="How many cold starts.")
    parser.add_argument("--json", action="store_true", help="Print the medians as JSON.")
    options = parser.parse_args()
    database = migrated_postgres_url()
    with tempfile.TemporaryDirectory() as compiled:
        # The image is compiled when it is made. Here the first start does that, which is not counted.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = compiled
        one_start(database)
        starts = [one_start(database) for _ in range(options.starts)]
    medians = {name: statistics.median(start[name] for start in starts) for name in starts[0]}
    if options.json:
        print(json.dumps(medians, indent=2))
        return
    print(f"{options.starts} starts; milliseconds unless said otherwise")
    for name, median in medians.items():
        values = [start[name] for start in starts]
        print(f"{name:24} {median:8.1f}   ({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main()
