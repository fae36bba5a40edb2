"""What every test may ask for: a server, more servers, clients and people."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from tests.support.accounts import Account, client_of, register
from tests.support.fleet_server import FleetServer
from tests.support.server import RunningServer, server_kind


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Against a fleet only what asks for the shared server is run: tests with a server of their own would start a single
    process, which the other two ways have."""
    if server_kind() != "fleet":
        return
    chosen = [item for item in items if _asks_for_the_shared_server(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def _asks_for_the_shared_server(item: pytest.Item) -> bool:
    names: list[str] = getattr(item, "fixturenames", [])
    alone = "make_server" in names or item.get_closest_marker("single_process") is not None
    # These two ask for the server when they are called.
    return not alone and not {"server", "new_user", "open_window"}.isdisjoint(names)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer | FleetServer]:
    """One server for the whole run. Tests that change its settings, kill it or fill it up take `make_server`."""
    kind = FleetServer if server_kind() == "fleet" else RunningServer
    with kind(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Makes servers that are stopped after the test: `make_server({"BANYAN_…": …}, command="up")`."""
    made: list[RunningServer] = []

    def make(
        settings: Mapping[str, str] | None = None, *, command: str = "serve", start: bool = True
    ) -> RunningServer:
        server = RunningServer(tmp_path / f"data-{len(made)}", settings, command=command)
        made.append(server)
        if start:
            server.start()
        return server

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def api(server: RunningServer) -> Iterator[httpx.Client]:
    """A client without a token."""
    with client_of(server.url) as client:
        yield client


@pytest.fixture
def new_user(request: pytest.FixtureRequest) -> Iterator[Callable[..., Account]]:
    """Registers and logs in: `new_user()`, `new_user(name=…, email=…, server=…)`. Without `server`: the shared one."""
    made: list[Account] = []

    def make(*, server: RunningServer | None = None, **fields: str) -> Account:
        on: RunningServer = server or request.getfixturevalue("server")
        account = register(on.url, **fields)
        made.append(account)
        return account

    yield make
    for account in made:
        account.client.close()
