"""A whole fleet in the place of a test's server: the gateway's address, and the data of all services together."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from tests.support.fleet import RunningFleet
from tests.support.server import rows_of, settings_of

from banyan.settings import Settings
from banyan.targets import MODULES


class FleetServer:
    """What `RunningServer` offers to tests that only look, for a fleet.

    settings, environment: what an operator's commands need to work on it.
    """

    def __init__(self, data_dir: Path) -> None:
        self.fleet = RunningFleet(data_dir)
        self.data_dir = data_dir
        self.environment: Mapping[str, str] = {}
        self.url = ""
        self.port = 0

    def __enter__(self) -> Self:
        self.fleet.__enter__()
        self.url = self.fleet.url
        self.port = httpx.URL(self.url).port or 80
        self.environment = self.fleet.environment()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.fleet.__exit__(kind, error, trace)

    @property
    def settings(self) -> Mapping[str, str]:
        return self.environment

    def read_settings(self) -> Settings:
        return settings_of(self.environment)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds in the databases of all services."""
        urls = [self.environment[f"BANYAN_{module.upper()}_DATABASE_URL"] for module in MODULES]
        return [row for url in urls for row in rows_of(url, query)]

    def log_text(self) -> str:
        """All that the processes of the fleet have logged."""
        folder = self.fleet.folder.logs
        return "\n".join(path.read_text("utf-8", errors="replace") for path in sorted(folder.glob("*.log*")))
