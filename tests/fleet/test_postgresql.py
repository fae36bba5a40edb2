"""PostgreSQL as the fleet runs it: from an empty folder, and again on its data."""

import asyncio
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.support.programs import missing
from tests.support.running import Running

from banyan.fleet.ports import free_port
from banyan.fleet.servers import postgresql
from banyan.fleet.servers.server import MissingProgram, Server

DATABASES = ["banyan_users", "banyan_todos"]


@pytest.fixture(params=["open", "closed"])
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder for a server; a closed one lies where nobody but the owner may enter."""
    parent = Path(tempfile.mkdtemp(prefix="banyan-fleet-pg-"))
    parent.chmod(0o755 if request.param == "open" else 0o700)
    yield parent / "postgresql"
    shutil.rmtree(parent)


def described(folder: Path, port: int, databases: list[str] = DATABASES) -> Server:
    try:
        return postgresql.describe(folder, port, databases)
    except MissingProgram as error:
        missing(str(error))


def ask(url: str, query: str) -> Any:
    async def once() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(once())


def test_its_databases_are_there_when_it_is_ready_and_data_survive_a_kill(folder: Path) -> None:
    port = free_port()
    with Running(described(folder, port)) as server:
        for name in DATABASES:
            assert ask(postgresql.url(folder, port, name), "SELECT current_database()") == name
        todos = postgresql.url(folder, port, "banyan_todos")
        ask(todos, "CREATE TABLE kept (number integer)")
        assert ask(todos, "INSERT INTO kept VALUES (7) RETURNING number") == 7
        server.kill9()
        server.start()
        assert ask(todos, "SELECT number FROM kept") == 7
    other = free_port()
    # On another port, and with a database more.
    with Running(described(folder, other, [*DATABASES, "banyan_more"])):
        assert ask(postgresql.url(folder, other, "banyan_todos"), "SELECT number FROM kept") == 7
        assert ask(postgresql.url(folder, other, "banyan_more"), "SELECT current_database()") == "banyan_more"


def test_it_keeps_what_it_acknowledges_and_is_closed_to_others(folder: Path) -> None:
    port = free_port()
    with Running(described(folder, port)):
        url = postgresql.url(folder, port, "banyan_users")
        found = {
            name: ask(url, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "listen_addresses")
        }
        assert found == {"fsync": "on", "synchronous_commit": "on", "listen_addresses": "127.0.0.1"}
        assert int(ask(url, "SHOW max_connections")) == postgresql.MAX_CONNECTIONS
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(f"postgresql://{postgresql.USER}:wrong@127.0.0.1:{port}/banyan_users", "SELECT 1")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600


def test_root_runs_it_as_somebody_else(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has to")
    server = described(folder, free_port())
    is_open = stat.S_IMODE(folder.parent.stat().st_mode) == 0o755
    assert (server.user, server.argv[0] == "unshare") == (("postgres", False) if is_open else (None, True))
    with Running(server):
        owner = pwd.getpwuid((folder / "data").stat().st_uid).pw_name
        assert owner == ("postgres" if is_open else "root")


def test_a_start_that_was_interrupted_begins_anew(folder: Path) -> None:
    server = described(folder, free_port())
    (folder / "data.unfinished").mkdir(parents=True)
    (folder / "data.unfinished" / "half").touch()
    with Running(server):
        assert not (folder / "data.unfinished").exists()
        assert not (folder / "data" / "half").exists()


def test_data_of_another_version_say_what_to_install(folder: Path) -> None:
    described(folder, free_port())
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(MissingProgram, match=r"made by PostgreSQL 9, .* apt-get install postgresql-9"):
        postgresql.describe(folder, free_port())


def test_without_postgresql_one_sentence_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "PACKAGES", folder)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("BANYAN_POSTGRES", raising=False)
    with pytest.raises(MissingProgram, match="apt-get install postgresql"):
        postgresql.describe(folder, free_port())
