"""A whole copy of a SQLite file that others write meanwhile, by SQLite's own backup API."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

# 4 MiB of the usual pages: a step holds back a checkpoint for about a millisecond, and progress is shown in steps.
PAGES_A_STEP = 1024
BUSY_SECONDS = 5
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class DamagedFile(Exception):
    """The file is no whole SQLite database; the text is SQLite's."""


def copy(source: Path, target: Path, tell: Callable[[int, int], None]) -> None:
    """Make `target` the state of `source` at one moment; it is one file, without a log beside it, and on the disk when this returns.

    A commit of another process meanwhile does not get lost from the source, and does not wait.
    tell: called with pages done, and pages in all. Raises DamagedFile when either is damaged.
    """
    try:
        with closing(_read_only(source)) as reader, closing(sqlite3.connect(target)) as writer:
            # The snapshot of one transaction: without it a busy writer makes the copy begin again and again.
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            reader.backup(
                writer, pages=PAGES_A_STEP, progress=lambda _status, left, total: tell(total - left, total)
            )
            # The copy is in WAL mode as its source is; a file that travels should not need a second one.
            writer.execute("PRAGMA journal_mode=DELETE")
        check(target)
    except sqlite3.DatabaseError as error:
        raise DamagedFile(str(error)) from error
    flush(target)


def check(path: Path) -> None:
    """Read every page and every index. Raises DamagedFile."""
    try:
        with closing(_read_only(path)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    except sqlite3.DatabaseError as error:
        raise DamagedFile(str(error)) from error
    if found != ["ok"]:
        raise DamagedFile("; ".join(found))


def put_in_place(copied: Path, path: Path) -> None:
    """Let a whole copy become the database at `path`, in one step. Nobody may have that open.

    The log of the database that was there must not be applied to the new one: it is emptied into the old file first.
    """
    if path.exists():
        try:
            with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.DatabaseError:
            pass  # A damaged database has nothing that could be kept; its log goes below.
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    copied.rename(path)
    flush(path.parent)


@contextmanager
def damage_told() -> Iterator[None]:
    """Raise DamagedFile for what SQLite raises when it reads a damaged file."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise DamagedFile(str(error)) from error


def damage_in(error: BaseException) -> str | None:
    """What SQLite said of a damaged file, when that is what an error, or what it came from, is about."""
    told: BaseException | None = error
    while told is not None:
        if isinstance(told, DamagedFile):
            return str(told)
        if isinstance(told, sqlite3.DatabaseError) and _primary(told) in _DAMAGE:
            return str(told)
        told = told.__cause__
    return None


def _primary(error: sqlite3.DatabaseError) -> int:
    # The upper bits say more exactly what it was about. Errors of the module itself have no code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def flush(path: Path) -> None:
    """Bring a file, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
