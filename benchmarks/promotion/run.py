"""How long a promotion takes, and how long writes are held, with many to-dos and under load.

Run it from the checkout: .venv/bin/python benchmarks/promotion/run.py [TODOS]
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.accounts import register  # noqa: E402 - the checkout's tests are no package that is installed
from tests.support.postgres import postgres_server  # noqa: E402
from tests.support.promotion_load import LoadedServer  # noqa: E402
from tests.support.server import RunningServer, banyan_environment  # noqa: E402

BATCH = 500
TODOS_OF_A_USER = 5000


def main(todos: int) -> None:
    with tempfile.TemporaryDirectory(prefix="banyan-promotion-") as folder:
        server = RunningServer(Path(folder) / "data")
        try:
            with LoadedServer(server, Path(folder), seed=1) as loaded:
                fill(server.url, todos)
                url = postgres_server().new_database()
                before = loaded.acknowledged, time.monotonic()
                for arguments in (["--to", url], ["--rollback"]):
                    print(json.dumps(timed(server, arguments)))
                rate = (loaded.acknowledged - before[0]) / (time.monotonic() - before[1])
                faults = loaded.failures() + loaded.judge()
                print(json.dumps({"operations_per_second_meanwhile": round(rate), "faults": faults}))
        finally:
            server.stop()


def fill(url: str, todos: int) -> None:
    for _ in range(0, todos, TODOS_OF_A_USER):
        client = register(url).client
        for first in range(0, min(todos, TODOS_OF_A_USER), BATCH):
            made = [
                {
                    "op": "create",
                    "todo": {"title": f"Number {first + number}", "notes": "Remember the milk. " * 5},
                }
                for number in range(BATCH)
            ]
            assert client.post("/todos/batch", json={"operations": made}).status_code == 200
        client.close()


def timed(server: RunningServer, arguments: list[str]) -> dict[str, object]:
    """Seconds of each stage, as its lines of progress come."""
    command = [sys.executable, "-m", "banyan", "promote", *arguments, "--json"]
    stages: dict[str, float] = {}
    began = last = time.monotonic()
    facts: dict[str, object] = {}
    environment = banyan_environment(server.data_dir)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            facts = json.loads(line)
            now = time.monotonic()
            if "stage" in facts:
                name = str(facts["stage"])
                stages[name] = round(stages.get(name, 0) + now - last, 2)
            last = now
    assert process.returncode == 0, facts
    wanted = ("done", "copied", "compared", "held_ms", "changes", "waited")
    return {**{name: facts[name] for name in wanted}, "stages": stages, "seconds": round(last - began, 2)}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
