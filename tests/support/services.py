"""Banyan as services: a process for each module, each with a PostgreSQL database of its own."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.command_line import Finished, banyan
from tests.support.server import RunningServer, migrated_postgres_url

SECRET = "one-secret-that-all-services-of-a-test-run-share"
MODULES = ("users", "todos", "notifications")


class RunningServices:
    """A context manager: the services run inside and are gone outside. settings: on top, for all of them."""

    def __init__(self, folder: Path, settings: dict[str, str] | None = None) -> None:
        self._folder = folder
        self._settings = {"BANYAN_SECRET_KEY": SECRET, **(settings or {})}
        self._stack = ExitStack()
        self.databases = {module: migrated_postgres_url() for module in MODULES}
        self.servers: dict[str, RunningServer] = {}

    def __enter__(self) -> Self:
        # In this order: each knows the addresses of those that it asks.
        for module in MODULES:
            self.servers[module] = self._stack.enter_context(self.another(module))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __getitem__(self, module: str) -> RunningServer:
        return self.servers[module]

    def operate(self, *command: str) -> Finished:
        """What `banyan …` prints for an operator, who has the addresses of all databases."""
        operator = self.another("relay")
        return banyan(command, operator.data_dir, operator.settings)

    def another(self, target: str, settings: dict[str, str] | None = None) -> RunningServer:
        """A further process of a target, which knows the others and is not started."""
        addresses = {f"BANYAN_{name.upper()}_URL": server.url for name, server in self.servers.items()}
        if target in MODULES:
            databases = {"BANYAN_DATABASE_URL": self.databases[target]}
        else:
            databases = {f"BANYAN_{name.upper()}_DATABASE_URL": url for name, url in self.databases.items()}
        number = len(list(self._folder.glob(f"{target}-*")))
        return RunningServer(
            self._folder / f"{target}-{number}",
            {**self._settings, **addresses, **databases, **(settings or {})},
            target=target,
        )
