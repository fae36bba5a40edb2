"""A PostgreSQL server of the test run's own: in a temporary folder, on a socket in it and a free port, fsync on.

PostgreSQL refuses to run as root; then it runs as the user `postgres`, whom its package makes.
"""

import atexit
import functools
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.programs import missing

from banyan.fleet.ports import free_port

START_TIMEOUT_SECONDS = 30.0
_databases = itertools.count(1)


class PostgresServer:
    """A running server. url: of one of its databases, which need not exist yet.

    settings: of the server, on top of those of the tests.
    """

    def __init__(self, binaries: Path, settings: Mapping[str, str] | None = None) -> None:
        self._binaries = binaries
        self._settings = dict(settings or {})
        self._user = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="banyan-pg-"))
        self.port = free_port()
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        initdb = ["initdb", "-D", str(self._folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync"]
        # A language with rules of its own: what relies on the order of bytes must say so.
        subprocess.run(
            self._command(*initdb, "-E", "UTF8", "--locale-provider=icu", "--icu-locale=en-US"),
            check=True,
            capture_output=True,
            cwd=self._folder,
        )
        self._process = self._launch()
        atexit.register(self.stop)
        self._wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template1") -> str:
        """The URL of a new database, made from a template to which nobody is connected."""
        name = f"test_{os.getpid()}_{next(_databases)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints for a statement, bare."""
        done = subprocess.run(
            [self._binaries / "psql", self.url(database), "-XAtqc", statement],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def stop(self) -> None:
        if self._process.poll() is None:
            # "immediate": the data goes with it, so nothing need be written down first.
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _launch(self) -> "subprocess.Popen[bytes]":
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            "max_connections": "200",
            **self._settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "server.log").open("wb") as log:
            return subprocess.Popen(
                self._command("postgres", "-D", str(self._folder / "data"), *options),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _command(self, program: str, *arguments: str) -> list[str]:
        path = str(self._binaries / program)
        if self._user is None:
            return [path, *arguments]
        user = pwd.getpwnam(self._user)
        ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        return ["setpriv", *ids, "--", path, *arguments]

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        probe = [self._binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(probe, check=False).returncode != 0:
            log = (self._folder / "server.log").read_text()
            assert self._process.poll() is None, f"PostgreSQL ended\n{log}"
            assert time.monotonic() < deadline, f"PostgreSQL did not start\n{log}"
            time.sleep(0.05)


@functools.cache
def _started(binaries: Path) -> PostgresServer:
    return PostgresServer(binaries)


def postgres_server() -> PostgresServer:
    """The server of this test run, started when it is first needed. Without PostgreSQL the test is skipped."""
    binaries = find_binaries()
    if binaries is None:
        missing(
            "PostgreSQL's server is not on this machine (Debian: apt-get install postgresql; or name the folder of"
            " its programs in BANYAN_POSTGRES)."
        )
    return _started(binaries)


def find_binaries() -> Path | None:
    """The folder of initdb and postgres: BANYAN_POSTGRES, the PATH's, or the newest one of Debian's packages."""
    named = os.environ.get("BANYAN_POSTGRES")
    on_path = shutil.which("initdb")
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    candidates = [Path(named)] if named else []
    candidates += [Path(on_path).resolve().parent] if on_path else []
    candidates += reversed(packaged)
    return next((path for path in candidates if (path / "postgres").exists()), None)
