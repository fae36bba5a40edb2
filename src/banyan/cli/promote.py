"""`banyan promote`: from SQLite to PostgreSQL while the server serves, and back."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from banyan.cli.problems import USAGE, CliError

if TYPE_CHECKING:
    from banyan.promotion.moving import Progress, Tell
    from banyan.promotion.promote import Moved
    from banyan.settings import Settings

T = TypeVar("T")

EPILOG = """
[bold]Examples[/bold]
  banyan promote --to postgresql://banyan:PASSWORD@db.example.org/banyan
  banyan promote --to -            the address on standard input, where no list of processes shows it
  banyan promote --status          where the data is
  banyan promote --rollback        back to SQLite, without losing what was written meanwhile
  banyan promote --confirm         final: no way back, and nothing is noted for it any more

The database must be empty. The server goes on serving; writes wait for less than a second. Interrupted with Ctrl-C or
killed, nothing has happened, or all of it.
"""

INTERRUPTED = 130


def promote(
    to: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The PostgreSQL database to move to; - reads it from standard input."
        ),
    ] = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="Make the promotion final.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Move back to the SQLite file.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say where the data is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Move this installation from SQLite to PostgreSQL, while it serves.

    Copies, catches up, compares every row, then changes over with writes held for less than a second. Until it is
    confirmed it can be rolled back.
    """
    if (to is not None) + confirm + rollback + status != 1:
        raise CliError("choose one of --to, --confirm, --rollback and --status.", exit_code=USAGE)
    from banyan.infra import faults
    from banyan.settings import load_settings

    if find_spec("asyncpg") is None:
        raise CliError(
            "PostgreSQL needs an extra.", "Install it with: pip install 'banyan-backend[postgres]'"
        )
    settings = load_settings()
    if settings.fault is not None:
        faults.arm(settings.fault)
    if to is not None:
        _promote(settings, sys.stdin.readline().strip() if to == "-" else to, as_json=as_json)
    elif rollback:
        _roll_back(settings, as_json=as_json)
    elif confirm:
        _confirm(settings, as_json=as_json)
    else:
        _status(settings, as_json=as_json)


def _promote(settings: "Settings", url: str, *, as_json: bool) -> None:
    from banyan.promotion.promote import promote as move

    if not url.startswith(("postgresql://", "postgres://")):
        raise CliError(
            "--to must be a URL such as postgresql://USER:PASSWORD@HOST/DATABASE.", exit_code=USAGE
        )
    with _telling(as_json=as_json) as tell:
        moved = _run(settings, lambda: move(settings, url, tell))
    _say_moved("promoted", moved, as_json=as_json)
    if not as_json:
        from banyan.cli.console import command, say

        if moved.pid is None:
            say(f"No server runs. The next `{command('up')}` serves from PostgreSQL.")
        say(f"Look at it for a while, then make it final with [bold]{command('promote --confirm')}[/bold],")
        say(f"or go back with [bold]{command('promote --rollback')}[/bold].")


def _roll_back(settings: "Settings", *, as_json: bool) -> None:
    from banyan.promotion.promote import roll_back

    with _telling(as_json=as_json) as tell:
        moved = _run(settings, lambda: roll_back(settings, tell))
    _say_moved("rolled back", moved, as_json=as_json)


def _confirm(settings: "Settings", *, as_json: bool) -> None:
    from banyan.cli.console import print_json, say
    from banyan.promotion.promote import confirm

    target = _run(settings, lambda: confirm(settings))
    if as_json:
        print_json({"confirmed": True, "target": target})
        return
    say(f"The promotion to [bold]{target}[/bold] is final.")
    say(
        f"Set BANYAN_DATABASE_URL when it suits you; until then it is read from {settings.data_dir}/promotion.json."
    )


def _status(settings: "Settings", *, as_json: bool) -> None:
    from banyan.cli.console import print_json, say
    from banyan.promotion.promote import standing

    found = _run(settings, lambda: standing(settings))
    record = found.record
    if as_json:
        facts = (
            {"phase": record.phase, "target": record.target} if record else {"phase": None, "target": None}
        )
        print_json({**facts, "changes": found.changes})
    elif record is None:
        say("The data is in SQLite; nothing was promoted.")
    elif record.phase == "copying":
        say(f"A copy is being made in [bold]{record.target}[/bold]; SQLite is the true one.")
    elif record.phase == "promoted":
        say(f"The data is in [bold]{record.target}[/bold], not confirmed yet; {found.changes} changes since.")
    else:
        say(f"The data is in [bold]{record.target}[/bold], for good.")


def _run(settings: "Settings", work: Callable[[], Awaitable[T]]) -> T:
    from banyan.infra.telemetry.log import configure_logging
    from banyan.promotion.errors import PromotionError

    configure_logging("ERROR", as_json=False)

    async def inside() -> T:
        return await work()

    try:
        return asyncio.run(inside())
    except PromotionError as error:
        raise CliError(error.message, error.next_step) from error
    except KeyboardInterrupt:
        raise CliError("interrupted.", _where(settings), exit_code=INTERRUPTED) from None


def _where(settings: "Settings") -> str:
    from banyan.infra.db.promotion_record import read_record

    record = read_record(settings.database_path)
    if record is None or not record.has_moved:
        return "The data is in SQLite, as if nothing had been."
    return f"The cut-over was complete: the data is in {record.target}."


def _say_moved(what: str, moved: "Moved", *, as_json: bool) -> None:
    from dataclasses import asdict

    from banyan.cli.console import print_json, print_table, say

    rows = sum(table.rows for table in moved.compared)
    held_ms = round(moved.cut_over.held_seconds * 1000)
    if as_json:
        facts: dict[str, Any] = {
            "done": what,
            "target": moved.target,
            "copied": moved.copied,
            "compared": rows,
        }
        tables = [asdict(table) for table in moved.compared]
        print_json({**facts, "held_ms": held_ms, **asdict(moved.cut_over), "tables": tables})
        return
    print_table(
        ["Table", "Rows", "Checksum, the same on both sides"],
        [(table.name, f"{table.rows:,}", table.checksum) for table in moved.compared if table.rows],
        empty="There are no rows.",
    )
    say(
        f"[bold green]{what.capitalize()}[/bold green] to [bold]{moved.target}[/bold]: {rows:,} rows compared; writes were"
        f" held for {held_ms} ms, with {moved.cut_over.changes} changes carried over and {moved.cut_over.waited} writes waiting."
    )


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
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=error_console(), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def tell(progress: "Progress") -> None:
            name = f"{progress.stage:9} {progress.what}"
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=None)
            bars.update(tasks[name], completed=progress.done, total=progress.total or None)

        yield tell
