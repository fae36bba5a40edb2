"""PostgreSQL's own pg_dump, pg_restore and psql, of the server's major version."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from banyan.backup.errors import BackupError
from banyan.infra.db.postgres_pool import open_connection, translated

PACKAGES = Path("/usr/lib/postgresql")
DUMPING = "dumping contents of table"

_FACTS = """
SELECT current_setting('server_version_num')::int / 10000 AS major,
       (SELECT count(*) FROM pg_tables WHERE schemaname = 'public') AS tables,
       (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'banyan %') AS busy
"""


# What Redis remembers may be newer than what was restored: with trust withdrawn, nobody reads it before it is made anew.
_DISTRUST_REDIS = """
DO $$ BEGIN
  IF to_regclass('public.cache_trust') IS NOT NULL THEN UPDATE public.cache_trust SET trusted = false; END IF;
END $$
"""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """major: the server's version. tables: how many are in the database. busy: connections of Banyan's processes to it."""

    major: int
    tables: int
    busy: int


async def facts(url: str) -> ServerFacts:
    """Raises Unavailable."""
    connection = await open_connection(url, {})
    try:
        with translated():
            row = await connection.fetchrow(_FACTS)
    finally:
        await connection.close()
    return ServerFacts(row["major"], row["tables"], row["busy"])


async def revision(url: str) -> str | None:
    """The migration of a database; None when it has had none. Raises Unavailable."""
    connection = await open_connection(url, {})
    try:
        with translated():
            if await connection.fetchval("SELECT to_regclass('public.alembic_version')") is None:
                return None
            return await connection.fetchval("SELECT version_num FROM public.alembic_version")
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs' folder. Passwords go to them by the environment: everybody can read a command line."""

    folder: Path

    def dump(self, url: str, file: Path, tell: Callable[[], None], *, snapshot: str | None = None) -> None:
        """The database as of one moment, in pg_dump's custom format, read back once.

        tell: called for each table. snapshot: an exported one, which says what moment.

        Raises BackupError.
        """
        options = ["--format=custom", "--no-owner", "--no-privileges", "--schema=public", "--verbose"]
        command = [self.folder / "pg_dump", *options, "--lock-wait-timeout=10s", f"--file={file}"]
        if snapshot is not None:
            command.append(f"--snapshot={snapshot}")
        with subprocess.Popen(  # noqa: S603 - programs that we found
            [*command, _without_password(url)], env=_environment(url), stderr=subprocess.PIPE, text=True
        ) as dumping:
            assert dumping.stderr is not None
            said = []
            for line in dumping.stderr:
                said.append(line)
                if DUMPING in line:
                    tell()
        if dumping.returncode != 0:
            raise BackupError(f"pg_dump failed: {_last_error(said)}")
        self.check(file)

    def check(self, file: Path) -> None:
        """Unpack it all, to nowhere. Raises BackupError when it is damaged."""
        done = subprocess.run(  # noqa: S603
            [self.folder / "pg_restore", "--file=/dev/null", file],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BackupError(
                f"{file.name} is damaged: {_last_error(done.stderr.splitlines())}", "Take another one."
            )

    def restore(self, url: str, file: Path, *, replace: bool) -> None:
        """Fill the database, in one transaction. replace: throw away what is in it, in the same transaction.

        Raises BackupError; the database is then as it was.
        """
        before = "DROP SCHEMA public CASCADE; CREATE SCHEMA public;" if replace else "SELECT 1;"
        # What is in the schema, without the schema itself, which every database has.
        options = ["--no-owner", "--no-privileges", "--schema=public", "--file=-"]
        unpack = [self.folder / "pg_restore", *options, file]
        fill = [
            self.folder / "psql",
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            "--single-transaction",
            f"--command={before}",
            "--file=-",
            f"--command={_DISTRUST_REDIS}",
            _without_password(url),
        ]
        with (
            subprocess.Popen(unpack, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpacking,  # noqa: S603
            subprocess.Popen(  # noqa: S603
                fill,
                env=_environment(url),
                stdin=unpacking.stdout,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            ) as filling,
        ):
            assert unpacking.stdout is not None
            unpacking.stdout.close()
            _, said = filling.communicate()
        if filling.returncode != 0:
            raise BackupError(
                f"the database was left as it was, because psql failed: {_last_error(said.splitlines())}"
            )


def tools(major: int) -> Tools:
    """Those of the server's major version. Raises BackupError.

    pg_dump refuses a newer server, and what a newer pg_dump writes an older server may not read.
    """
    for folder in _folders(major):
        if (
            all((folder / name).exists() for name in ("pg_dump", "pg_restore", "psql"))
            and _major(folder) == major
        ):
            return Tools(folder)
    raise BackupError(
        f"the server is PostgreSQL {major}, and its pg_dump is not on this machine.",
        f"Install it (Debian: apt-get install postgresql-client-{major}), or name its folder in BANYAN_POSTGRES.",
    )


def _folders(major: int) -> Iterator[Path]:
    if named := os.environ.get("BANYAN_POSTGRES"):
        yield Path(named)
    yield PACKAGES / str(major) / "bin"
    if found := shutil.which("pg_dump"):
        yield Path(found).parent


def _major(folder: Path) -> int | None:
    done = subprocess.run(  # noqa: S603
        [folder / "pg_dump", "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"\b(\d+)", done.stdout)
    return int(found[1]) if found else None


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    user, _, _ = parts.netloc.rpartition("@")[0].partition(":")
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}@{host}" if user else host))


def _environment(url: str) -> dict[str, str]:
    password = urlsplit(url).password
    return {**os.environ, "LC_ALL": "C", **({"PGPASSWORD": unquote(password)} if password else {})}


def _last_error(lines: Sequence[str]) -> str:
    """The first line that tells of an error; the programs say where it was after it."""
    told = [line.strip() for line in lines if "error" in line.lower()] or [
        line.strip() for line in lines[-1:]
    ]
    return told[0] if told else "it did not say why"
