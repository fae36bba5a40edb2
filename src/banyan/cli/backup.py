"""`banyan backup` and `banyan restore`."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from banyan.cli.problems import CliError

if TYPE_CHECKING:
    from banyan.backup.backup import Progress, Tell

T = TypeVar("T")

BACKUP_EPILOG = """
[bold]Examples[/bold]
  banyan backup /backups/monday           a folder
  banyan backup /backups/monday.tar.gz    one file, compressed
  banyan backup latest.tar --force        overwrite the former one, once the new one is whole

The server may go on working. A backup holds everybody's data, and the secret too when that is in the data folder: keep it
where nobody else can read it.
"""

RESTORE_EPILOG = """
[bold]Examples[/bold]
  banyan --data-dir /srv/new restore /backups/monday.tar.gz
  banyan restore /backups/monday --force     overwrite the data that are there

Stop the server first. Everything is checked before anything is changed.
"""

Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts, a line for each step.")]


def backup(
    target: Annotated[
        Path, typer.Argument(metavar="FILE|FOLDER", help="Where to; .tar and .tar.gz make one file.")
    ],
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Back everything up, while the server works.

    Everything that was acknowledged before is in it. It is read back, and is there whole or not at all.
    """
    from dataclasses import asdict

    from banyan.backup.backup import back_up
    from banyan.cli.console import command, print_json, say
    from banyan.cli.runtime import load_settings, require_migrated

    settings = load_settings()
    require_migrated(settings)
    path = target.absolute()
    with _telling(as_json=as_json) as tell:
        made = _run(lambda: back_up(settings, path, tell, force=force))
    if as_json:
        print_json({"done": "backup", "target": str(path), "bytes": _size(path), **asdict(made)})
        return
    say(f"[bold green]Backed up[/bold green] to [bold]{path}[/bold], {_size(path):,} bytes.")
    if not made.one_moment:
        say("[yellow]Each of the databases is of a moment of its own:[/yellow] see docs/guide/backup.md.")
    if made.secret_in == "environment":  # noqa: S105 - a place
        say("BANYAN_SECRET_KEY is not in it: keep that too, in another place.")
    say(f"Restore it with [bold]{command('restore')} {path}[/bold]")


def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="What `banyan backup` has written.")],
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup, into an empty place unless told otherwise."""
    from dataclasses import asdict

    from banyan.backup.restore import restore as bring_back
    from banyan.cli.console import command, print_json, say
    from banyan.settings import load_settings

    settings = load_settings()
    with _telling(as_json=as_json) as tell:
        restored = _run(lambda: bring_back(settings, source.absolute(), tell, force=force))
    if as_json:
        facts = {"needs_migration": restored.needs_migration, "same_secret": restored.same_secret}
        print_json(
            {"done": "restore", "source": str(source.absolute()), **facts, **asdict(restored.manifest)}
        )
        return
    say(f"[bold green]Restored[/bold green] what was backed up at {restored.manifest.made_at}.")
    if not restored.same_secret:
        say(
            "[bold yellow]The secret is another one than the backup's:[/bold yellow] set BANYAN_SECRET_KEY to that one before"
        )
        say(
            f"you start. If it is lost, {command('keys rotate --withdraw')} makes new keys, and logs everybody out."
        )
    if restored.needs_migration:
        say(f"It is of an older version: run [bold]{command('migrate')}[/bold] first.")
    if settings.kafka_servers:
        say(
            "Kafka may hold events that the backup does not know: empty its topics first, see docs/guide/backup.md."
        )
    say(f"Look at it with [bold]{command('events verify')}[/bold], then start.")


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    from banyan.backup.errors import BackupError
    from banyan.infra.db.data_lock import DataDirBusy

    try:
        return asyncio.run(work())
    except BackupError as error:
        raise CliError(error.message, error.next_step) from error
    except DataDirBusy as error:
        who = f"process {error.holder.pid}" if error.holder else "another process"
        raise CliError(f"{who} serves this data folder.", "Stop it first.") from error
    except OSError as error:
        raise CliError(f"{error.strerror}: {error.filename}.", "Nothing was overwritten.") from error


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


@contextmanager
def _telling(*, as_json: bool) -> "Iterator[Tell]":
    """Gives whom to tell of progress: a line of JSON each for scripts, bars where somebody watches, else nobody."""
    from banyan.cli.console import error_console, print_json

    if as_json:
        from dataclasses import asdict

        yield lambda progress: print_json(asdict(progress))
        return
    if not sys.stderr.isatty():
        yield lambda _progress: None
        return
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Bars(*columns, console=error_console(), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def tell(progress: "Progress") -> None:
            if progress.database not in tasks:
                tasks[progress.database] = bars.add_task(progress.database, total=None)
            bars.update(tasks[progress.database], completed=progress.done, total=progress.total or None)

        yield tell
