"""A server of several worker processes, of which one at a time can be killed."""

import os
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
from tests.support.eventually import eventually
from tests.support.server import READY_TIMEOUT_SECONDS, RunningServer, migrated_postgres_url

# The secret of commands that work on the same data.
SECRET = "the same secret for all of these workers, 48 chars"


class WorkersServer(RunningServer):
    """`banyan serve` with workers, on a PostgreSQL database of its own. Its `kill9` kills one worker, which its parent
    starts again; `launch` and `wait_ready` then wait for that."""

    def __init__(
        self, data_dir: Path, settings: Mapping[str, str] | None = None, *, workers: int = 2
    ) -> None:
        own = {
            "BANYAN_DATABASE_URL": migrated_postgres_url(),
            "BANYAN_SECRET_KEY": SECRET,
            "BANYAN_WORKERS": str(workers),
        }
        super().__init__(data_dir, {**own, **(settings or {})})
        self._count = workers

    def worker_pids(self) -> list[int]:
        return children_of(self.pid)

    def kill9(self) -> None:
        victim = random.choice(self.worker_pids())
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: victim not in self.worker_pids() or None, "the worker is gone")

    def kill_parent(self) -> list[int]:
        """SIGKILL to the parent alone; returns the workers that it had."""
        workers = self.worker_pids()
        os.kill(self.pid, signal.SIGKILL)
        assert self.process is not None
        self.process.wait()
        return workers

    def launch(self) -> None:
        if not self.is_running:
            super().launch()

    def wait_ready(self, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> None:
        super().wait_ready(timeout_seconds)
        deadline = time.monotonic() + timeout_seconds
        while len(self.told_up()) < self._count:
            assert time.monotonic() < deadline, f"not all workers are up\n{self.log_text()}"
            time.sleep(0.02)

    def told_up(self) -> list[str]:
        """The numbers of the workers that tell their metrics."""
        page = httpx.get(self.url + "/metrics", timeout=10, trust_env=False).text
        lines = [line for line in page.splitlines() if line.startswith("banyan_worker_up{")]
        return [line.split('"')[1] for line in lines if float(line.split()[-1]) == 1]


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
