"""`banyan migrate`."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from banyan.infra.db.migrate import MigrationStatus
    from banyan.settings import Settings

EPILOG = """
[bold]Examples[/bold]
  banyan migrate            bring the database up to date, or make an empty one
  banyan migrate --check    only say where it stands; exit code 1 when something is pending
"""


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 when something is pending.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Bring the database up to date, or each of them when modules have their own.

    Repeating it is safe. `banyan up` does it by itself; `banyan serve` does not, so that a fleet is migrated once, before it starts.
    """
    from banyan.cli.console import print_json
    from banyan.cli.runtime import load_settings
    from banyan.infra.db.migrate import status
    from banyan.settings import database_label
    from banyan.targets import MODULES

    settings = load_settings()
    pending = False
    for database in settings.databases(MODULES):
        before = status(database)
        done = False if check else _upgrade(settings.data_dir, database)
        after = status(database)
        pending = pending or after.is_pending
        label = database_label(database)
        if as_json:
            facts = {"database": label, "current": after.current, "newest": after.newest}
            print_json({**facts, "before": before.current, "migrated": done, "pending": after.is_pending})
        else:
            _say(label, before, after, done=done)
    if pending:
        raise typer.Exit(1)


def _say(label: str, before: "MigrationStatus", after: "MigrationStatus", *, done: bool) -> None:
    from banyan.cli.console import say

    if done:
        say(f"Migrated [bold]{label}[/bold] from {before.current or 'nothing'} to {after.current}.")
    elif after.is_current:
        say(f"[bold]{label}[/bold] is up to date, at {after.current}.")
    elif not after.is_pending:
        say(
            f"[bold]{label}[/bold] is at {after.current}, of a later version than this one, which needs {after.newest}."
        )
    else:
        say(f"[bold]{label}[/bold] is at {after.current or 'nothing'}; {after.newest} is pending.")


def upgrade(settings: "Settings") -> None:
    """Migrate every database, one process at a time."""
    from banyan.targets import MODULES

    for database in settings.databases(MODULES):
        _upgrade(settings.data_dir, database)


def _upgrade(data_dir: Path, database: Path | str) -> bool:
    """Returns whether anything had to be done."""
    from banyan.infra.db.migrate import upgrade as upgrade_database

    with _alone(data_dir):
        return upgrade_database(database)


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Wait for other migrations of this folder: two that run side by side would both create the first table."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(data_dir / "migrate.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
