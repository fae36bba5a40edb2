"""A Banyan server of its own for a test: a real process, in a temporary folder, on a free port.

The process is what people run (`python -m banyan serve`), so what holds here holds for them. It can be killed and
started again on the same data and the same port.

With BANYAN_TEST_AGAINST=postgresql every server has a PostgreSQL database of its own in place of the SQLite file; with
BANYAN_TEST_AGAINST=fleet the server that tests share is a whole fleet (fleet_server.py).
"""

import asyncio
import functools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import httpx
from tests.support.postgres import postgres_server

from banyan.infra.db.migrate import upgrade
from banyan.infra.db.promotion_record import followed
from banyan.settings import Settings

READY_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 15.0
LOOK_SECONDS = 0.01

TEST_SETTINGS = {
    "BANYAN_HOST": "127.0.0.1",
    "BANYAN_LOG_FORMAT": "json",
    # Argon2 at the least that the settings allow; each registration still costs about 20 ms.
    "BANYAN_ARGON2_MEMORY_KIB": "19456",
    "BANYAN_ARGON2_ITERATIONS": "2",
    # All tests come from one address.
    "BANYAN_RATE_LIMIT_LOGIN_ADDRESS": "100000/minute",
    "BANYAN_RATE_LIMIT_REGISTER": "100000/minute",
    # Where tests receive webhooks.
    "BANYAN_WEBHOOK_NETWORKS": "127.0.0.0/8",
    "BANYAN_WEBHOOK_HTTP": "true",
}


class ServerDied(AssertionError):
    """The server ended, or did not become ready, when it should have; the text holds its log."""


@functools.cache
def _migrated_database() -> Path:
    """An empty database with all migrations, made once a test run: each server starts on a copy."""
    folder = Path(tempfile.mkdtemp(prefix="banyan-template-"))
    path = folder / "banyan.sqlite3"
    upgrade(path)
    return path


def server_kind() -> str:
    """`sqlite`, `postgresql`, or `fleet`."""
    return os.environ.get("BANYAN_TEST_AGAINST", "sqlite")


@functools.cache
def _migrated_template() -> str:
    url = postgres_server().new_database()
    upgrade(url)
    return url.rpartition("/")[2]


def migrated_postgres_url() -> str:
    """The URL of a new PostgreSQL database with all migrations, a copy of one that is made once a test run."""
    return postgres_server().new_database(template=_migrated_template())


def banyan_environment(data_dir: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a `banyan` process: none of the caller's own settings, the test settings, and `settings`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BANYAN_")}
    return {**inherited, **TEST_SETTINGS, "BANYAN_DATA_DIR": str(data_dir), **(settings or {})}


def migrated_data_dir(data_dir: Path) -> Path:
    """Make `data_dir` hold an empty, migrated database; returns it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    shutil.copy(_migrated_database(), data_dir / "banyan.sqlite3")
    return data_dir


async def _fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def rows_of(url: str, query: str) -> list[tuple[Any, ...]]:
    """What a query finds in a PostgreSQL database."""
    return asyncio.run(_fetch(url, query))


def settings_of(environment: Mapping[str, str]) -> Settings:
    """The settings that a process with this environment has."""
    fields = {name[7:].lower(): text for name, text in environment.items() if name.startswith("BANYAN_")}
    return Settings(**fields)  # pyright: ignore[reportArgumentType] - texts, as in an environment


class RunningServer:
    """A server process. A context manager: it is running inside and gone outside.

    data_dir: made and migrated when it holds no database yet. settings: `BANYAN_…` variables on top of the test ones.
    target: what `serve` serves.
    program: what to give to the interpreter in place of `-m banyan`.
    """

    def __init__(
        self,
        data_dir: Path,
        settings: Mapping[str, str] | None = None,
        *,
        command: str = "serve",
        target: str = "all",
        program: Sequence[str] = ("-m", "banyan"),
    ) -> None:
        self.data_dir = data_dir
        self.settings = dict(settings or {})
        self.command = command
        self.target = target
        self.program = list(program)
        self.port = 0
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None
        self._log_path = data_dir / "server.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self.process is not None, "the server was never started"
        return self.process.pid

    @property
    def environment(self) -> dict[str, str]:
        """What a `banyan` command needs to speak of the same data."""
        return banyan_environment(self.data_dir, {"BANYAN_PORT": str(self.port), **self.settings})

    def read_settings(self) -> Settings:
        """This server's settings, for what a test does in its own process on the same data."""
        return settings_of(self.environment)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds in the server's database, past the server."""
        url = self.settings.get("BANYAN_DATABASE_URL")
        promoted = followed(self.data_dir, self.data_dir / "banyan.sqlite3") if url is None else None
        if promoted is not None:
            url = promoted.url
        if url is not None:
            return rows_of(url, query)
        with closing(sqlite3.connect(f"file:{self.data_dir}/banyan.sqlite3?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()

    def start(self) -> float:
        """Start it and wait until it is ready; returns how many seconds that took. Again: on the port that it had."""
        began = time.monotonic()
        self.launch()
        self.wait_ready()
        return time.monotonic() - began

    def launch(self) -> None:
        """Start it without waiting."""
        assert not self.is_running, "the server runs already"
        if server_kind() == "postgresql" and self._uses_sqlite:
            self.settings.setdefault("BANYAN_DATABASE_URL", migrated_postgres_url())
        elif (
            self._uses_sqlite and self.command == "serve" and not (self.data_dir / "banyan.sqlite3").exists()
        ):
            migrated_data_dir(self.data_dir)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, self.command, *self._arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C in the test run reaches the tests, which then stop the server.
                start_new_session=True,
            )

    @property
    def _uses_sqlite(self) -> bool:
        return not any(name.endswith("DATABASE_URL") for name in self.settings)

    @property
    def _arguments(self) -> list[str]:
        return [] if self.target == "all" else [self.target]

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait_ready(self, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> None:
        """Return when `/readyz` answers 200. Raises ServerDied when the process ends or the time is over."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if not self.is_running:
                raise ServerDied(
                    f"the server ended with {self.process and self.process.returncode}\n{self.log_text()}"
                )
            self.url = self.url_in_lock_file() or self.url
            if self.url and self._is_ready():
                self.port = httpx.URL(self.url).port or 80
                return
            time.sleep(LOOK_SECONDS)
        raise ServerDied(f"the server was not ready within {timeout_seconds:g} s\n{self.log_text()}")

    def url_in_lock_file(self) -> str | None:
        """The address that this very process has put into its lock file, once its socket is bound."""
        try:
            holder = json.loads((self.data_dir / "banyan.lock").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return holder.get("url") if holder.get("pid") == self.pid else None

    def kill9(self) -> None:
        """SIGKILL to the whole process group: no handler runs, nothing is flushed. Returns when it is gone."""
        assert self.process is not None, "the server was never started"
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def terminate(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> int:
        """SIGTERM, as an orchestrator does; returns the exit code. Raises ServerDied when it does not end in time."""
        assert self.process is not None, "the server was never started"
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise ServerDied(
                f"the server ignored SIGTERM for {timeout_seconds:g} s\n{self.log_text()}"
            ) from None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """SIGSTOP: its sockets stay open, and nothing answers."""
        os.killpg(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Make sure that it is gone."""
        if self.is_running:
            self.terminate()

    def processor_seconds(self) -> float | None:
        """Processor time that the process has used so far; None where the kernel does not tell.

        On a quiet machine it is nearly all the time that a start takes; on a busy one it is the part that is ours.
        """
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log_text(self) -> str:
        """All that every process of this server has printed and logged."""
        return self._log_path.read_text("utf-8", errors="replace") if self._log_path.exists() else ""

    def _is_ready(self) -> bool:
        try:
            return (
                httpx.get(self.url + "/readyz", timeout=2, trust_env=False, verify=False).status_code == 200
            )
        except httpx.TransportError:
            return False
