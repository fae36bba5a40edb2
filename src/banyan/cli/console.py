"""Printing: tables and colours for people, JSON lines for scripts, progress only where somebody watches."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# A pipe has no width; rich would cut at 80 columns what `grep` should see whole.
PIPE_COLUMNS = 250


def console() -> "Console":
    return _console(to_error=False)


def error_console() -> "Console":
    return _console(to_error=True)


def _console(*, to_error: bool) -> "Console":
    from rich.console import Console

    stream = sys.stderr if to_error else sys.stdout
    return Console(stderr=to_error, highlight=False, width=None if stream.isatty() else PIPE_COLUMNS)


def say(text: str = "") -> None:
    """One line for people, with rich's markup."""
    console().print(text)


def print_json(value: Any) -> None:
    """One JSON document on one line: a list of things is printed as a line each, which `jq` and `while read` both take."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """Rows in columns; `empty` when there are none. Cells are shown as they are: markup in data does nothing."""
    if not rows:
        say(f"[dim]{empty}[/dim]")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console().print(table)


def print_pairs(pairs: Sequence[tuple[str, Any]]) -> None:
    """Names and values of one thing, a line each."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for name, value in pairs:
        grid.add_row(Text(name.replace("_", " "), "bold"), Text(str(value)))
    console().print(grid)


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[], None]]:
    """Gives a function to call for each thing that is done. Draws a bar on standard error, when that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=error_console(), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)


def program() -> str:
    """How the reader can call this program: by name when it is found by name, otherwise by its path."""
    if shutil.which("banyan"):
        return "banyan"
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{Path(sys.executable).name} -m banyan"
    try:
        return str(called.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(called)


def command(text: str) -> str:
    """A command for the reader to run on the same data: `banyan users list`, with the data folder where it needs one."""
    data_dir = os.environ.get("BANYAN_DATA_DIR")
    return f"{program()} {f'--data-dir {data_dir} ' if data_dir else ''}{text}"
