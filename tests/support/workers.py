"""`banyan worker` as a process of its own, beside a server of the test's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from tests.support.server import RunningServer

from banyan.fleet.ports import free_port


class RunningWorker(RunningServer):
    """A worker process. Its log lies in `folder`, its data in `beside`'s folder, or in one of its own.

    beside: a server whose settings it shares, and on whose database it works.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, str] | None = None, *, beside: RunningServer | None = None
    ) -> None:
        own = {"BANYAN_PORT": str(free_port())}
        shared = beside.settings if beside is not None else {}
        data_dir = beside.data_dir if beside is not None else folder / "data"
        super().__init__(data_dir, {**shared, **own, **(settings or {})}, command="worker")
        self._log_path = folder / f"worker-{own['BANYAN_PORT']}.log"
        self.url = f"http://127.0.0.1:{own['BANYAN_PORT']}"

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=5, trust_env=False, verify=False)

    def metric(self, name: str) -> dict[str, float]:
        """The samples of a metric by their labels, as Prometheus writes them."""
        found: dict[str, Any] = {}
        for line in self.get("/metrics").text.splitlines():
            if line.startswith((name + "{", name + " ")):
                labels, _, value = line[len(name) :].rpartition(" ")
                found[labels] = float(value)
        return found
