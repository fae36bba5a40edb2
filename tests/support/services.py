"""Banyan as services: a process for each module, each with a PostgreSQL database of its own, a relay, and Kafka between them."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.command_line import Finished, banyan
from tests.support.kafka import running_broker
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
        broker = self._stack.enter_context(running_broker())
        self._settings["BANYAN_KAFKA_SERVERS"] = broker.address
        # In this order: each knows the addresses of those that it asks.
        for target in (*MODULES, "relay"):
            self.servers[target] = self._stack.enter_context(self.another(target))
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
        """A further process of a target, not started. It knows the others; a relay asks nobody, and knows nobody."""
        addresses = {}
        if target in MODULES:
            addresses = {
                f"BANYAN_{name.upper()}_URL": self.servers[name].url
                for name in MODULES
                if name in self.servers
            }
            databases = {"BANYAN_DATABASE_URL": self.databases[target]}
        else:
            databases = {f"BANYAN_{name.upper()}_DATABASE_URL": url for name, url in self.databases.items()}
        number = len(list(self._folder.glob(f"{target}-*")))
        return RunningServer(
            self._folder / f"{target}-{number}",
            {**self._settings, **addresses, **databases, **(settings or {})},
            target=target,
        )
