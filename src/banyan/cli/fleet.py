"""`banyan fleet`: every server and service of a scaled-out Banyan on this machine."""

import os
import signal
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from banyan.cli.problems import USAGE, CliError

if TYPE_CHECKING:
    from banyan.fleet.folder import FleetFolder
    from banyan.fleet.logs import LogLine
    from banyan.fleet.report import Report

UP_EPILOG = """
[bold]Examples[/bold]
  banyan fleet up                        data in ./data; Ctrl-C ends it
  banyan fleet up --replicas todos=3     more processes of a service
  banyan fleet up --port 9000 --detach   elsewhere, in the background

Data stay in the data folder: the next `up` goes on with them.
"""

WATCH_SECONDS = 1.0

commands = typer.Typer(
    help="Run all of Banyan as a fleet on this machine: PostgreSQL, Valkey, Kafka, RabbitMQ, services with replicas, and Envoy in front.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog="""
[bold]Examples[/bold]
  banyan fleet up                  start everything and watch it
  banyan fleet status              what runs, from another terminal
  banyan fleet logs todos -f       what the to-do service says
  banyan fleet scale todos=3       three processes for to-dos
  banyan fleet kill todos-1        kill one, and see it come back
  banyan fleet down                end everything

No containers: the servers are those of this machine, or come with `pip install 'banyan-backend\\[fleet]'`.
""",
)


class NoFleet(CliError):
    """There is no supervisor in this data folder."""


Name = Annotated[str, typer.Argument(help="A process, such as todos-1, or a whole service, such as todos.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@commands.command("up", epilog=UP_EPILOG)
def up(
    host: Annotated[
        str | None, typer.Option(help="Address of the gateway; the same as BANYAN_HOST.", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port of the gateway; the same as BANYAN_PORT.", show_default=False)
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of all data; the same as BANYAN_DATA_DIR.", show_default=False)
    ] = None,
    replicas: Annotated[
        list[str] | None,
        typer.Option(
            help="How many processes of a service: todos=3. Several with commas.", show_default=False
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Run in the background.")] = False,
    report_to: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Start every server and service, and keep them running.

    Says at once what is missing on this machine. A process that dies is started again. Ctrl-C ends all of it.
    """
    # Until the supervisor takes these signals over there is nothing to end but this process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    for name, value in (("HOST", host), ("PORT", port), ("DATA_DIR", data_dir)):
        if value is not None:
            os.environ[f"BANYAN_{name}"] = str(value)
    folder, wanted = folder_of_settings(), _replicas(replicas or [])
    from banyan.cli import fleet_up

    if detach:
        fleet_up.detached(folder, wanted)
    else:
        fleet_up.run(folder, wanted, report_to)


@commands.command(
    "status", epilog="[bold]Examples[/bold]\n  banyan fleet status --json | jq -r '.processes[].name'"
)
def status(
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay, and keep it up to date.")] = False,
) -> None:
    """Show what runs. Exit code 1 when no fleet runs here, or not all of it is ready."""
    folder = folder_of_settings()  # first: without the fleet's packages none of these can be imported
    from banyan.cli.console import console, print_json
    from banyan.fleet.status import from_json
    from banyan.fleet.table import drawn

    if watch:
        _watch(folder)
        return
    fields = _ask(folder, {"command": "status"})
    found = from_json(fields)
    if as_json:
        print_json(fields)
    else:
        console().print(drawn(found))
    if not found.is_whole:
        raise typer.Exit(1)


@commands.command(
    "logs",
    epilog="[bold]Examples[/bold]\n  banyan fleet logs -f              everything, as it is written\n  banyan fleet logs todos -n 200    the last lines of all processes for to-dos",
)
def logs(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Processes or services; all of them when left out.", metavar="[NAME]…"),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay, and print what is written.")] = False,
    count: Annotated[int, typer.Option("-n", min=0, help="How many lines of the past.")] = 50,
    raw: Annotated[bool, typer.Option("--raw", help="Lines as they were written, JSON and all.")] = False,
) -> None:
    """Print what the processes have written, in the order of time. Works when nothing runs, too."""
    from banyan.fleet.logs import Reading

    folder = folder_of_settings()
    found = {path.stem: path for path in sorted(folder.logs.glob("*.log"))}
    if not found:
        raise CliError(
            f"no fleet has ever run in {folder.data_dir.resolve()}.", "Start one with `banyan fleet up`."
        )
    chosen = _chosen_logs(found, names or [])
    reading = Reading(chosen)
    try:
        for line in reading.past(count):
            _print_line(line, list(found), raw=raw)
        for line in reading.coming() if follow else ():
            _print_line(line, list(found), raw=raw)
    except (KeyboardInterrupt, BrokenPipeError):
        raise typer.Exit from None


@commands.command("scale", epilog="[bold]Examples[/bold]\n  banyan fleet scale todos=3 users=2")
def scale(
    wanted: Annotated[
        list[str], typer.Argument(help="A service and a number: todos=3.", metavar="SERVICE=N…")
    ],
) -> None:
    """Change how many processes a service has, without losing a request."""
    folder = folder_of_settings()
    _ask_and_watch(folder, {"command": "scale", "replicas": _replicas(wanted)})
    _print_status(folder)


@commands.command(
    "restart",
    epilog="[bold]Examples[/bold]\n  banyan fleet restart todos      one process after the other\n  banyan fleet restart todos-2    only this one",
)
def restart(name: Name) -> None:
    """Start a service anew, one process after the other, without losing a request.

    A server (PostgreSQL, say) is away for a moment; the services wait for it as they would for any outage.
    """
    folder = folder_of_settings()
    _ask_and_watch(folder, {"command": "restart", "name": name})
    _print_status(folder)


@commands.command(
    "kill",
    epilog="[bold]Examples[/bold]\n  banyan fleet kill todos-1       and `banyan fleet status` a second later",
)
def kill(name: Name) -> None:
    """Kill one process at once (SIGKILL), to see it come back."""
    from banyan.cli.console import command, say

    folder = folder_of_settings()
    killed = _ask(folder, {"command": "kill", "name": name})
    say(f"[bold]{killed}[/bold] is killed. `{command('fleet status')}` shows it coming back.")


@commands.command(
    "env",
    epilog='[bold]Examples[/bold]\n  eval "$(banyan fleet env)" && banyan users create-admin you@example.org',
)
def env() -> None:
    """Print the settings with which other commands work on this fleet, for a shell to read."""
    import shlex

    folder = folder_of_settings()
    for name, value in sorted(_ask(folder, {"command": "environment"}).items()):
        typer.echo(f"export {name}={shlex.quote(value)}")


@commands.command(
    "down",
    epilog="[bold]Examples[/bold]\n  banyan fleet down && banyan fleet up    everything anew, on the same data",
)
def down() -> None:
    """End everything, in order; data stay. Also ends what a supervisor that was killed may have left."""
    folder = folder_of_settings()  # first, as for `status`
    from banyan.cli.console import say
    from banyan.fleet.runner import clean_up
    from banyan.infra.db.data_lock import DataDirBusy, DataLock

    try:
        _ask_and_watch(folder, {"command": "stop"})
    except NoFleet:
        lock = DataLock(folder.data_dir)
        try:
            lock.acquire()
        except DataDirBusy as error:
            raise CliError(
                f"no fleet, but another Banyan serves the data in {folder.data_dir.resolve()}."
            ) from error
        try:
            left = clean_up(folder)
        finally:
            lock.release()
        what = f"{left} processes that it had left were ended." if left else "There is nothing to end."
        say(f"No fleet runs in {folder.data_dir.resolve()}. {what}")


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(1)


# Talking to the supervisor


def _watch(folder: "FleetFolder") -> None:
    from rich.live import Live

    from banyan.cli.console import console
    from banyan.fleet.status import from_json
    from banyan.fleet.table import drawn

    try:
        with Live(console=console(), auto_refresh=False) as live:
            while True:
                live.update(drawn(from_json(_ask(folder, {"command": "status"}))), refresh=True)
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        raise typer.Exit from None


def folder_of_settings() -> "FleetFolder":
    """The fleet's folder, by the settings. Raises CliError when the fleet is not installed."""
    needed = ("psutil", "yaml")
    if any(find_spec(package) is None for package in needed):
        raise CliError("the fleet needs an extra.", "pip install 'banyan-backend[fleet]'")
    from banyan.cli.runtime import load_settings
    from banyan.fleet.folder import FleetFolder

    return FleetFolder(load_settings().data_dir.absolute())


def _ask(folder: "FleetFolder", request: dict[str, Any], report: "Report | None" = None) -> Any:
    """What the supervisor answers. Raises CliError when there is none, or when it cannot do it."""
    from banyan.cli.console import command
    from banyan.fleet import control
    from banyan.fleet.supervisor import FleetError

    try:
        return control.ask(folder.control_socket, request, report or (lambda _event: None))
    except control.NoSupervisor as error:
        raise NoFleet(
            f"no fleet runs in {folder.data_dir.resolve()}.",
            f"Start one with `{command('fleet up')}`, or say where it runs with --data-dir or BANYAN_DATA_DIR.",
        ) from error
    except FleetError as error:
        raise CliError(str(error), error.next_step or None) from error


def _ask_and_watch(folder: "FleetFolder", request: dict[str, Any]) -> None:
    """Ask, and show what happens until it is done."""
    from banyan.cli.console import console
    from banyan.fleet.screen import Screen

    with Screen(console()) as screen:
        _ask(folder, request, screen)


def _print_status(folder: "FleetFolder") -> None:
    from banyan.cli.console import console
    from banyan.fleet.status import from_json
    from banyan.fleet.table import drawn

    console().print(drawn(from_json(_ask(folder, {"command": "status"}))))


def _replicas(texts: list[str]) -> dict[str, int]:
    """`todos=3` and `todos=3,users=2` as numbers. Raises CliError."""
    wanted = {}
    for part in ",".join(texts).split(","):
        name, equals, number = part.strip().partition("=")
        if part.strip() and not (name and equals and number.isdigit()):
            raise CliError(
                f"{part.strip()!r} is not a service and a number.", "Write it as todos=3.", exit_code=USAGE
            )
        if part.strip():
            wanted[name] = int(number)
    return wanted


# Logs


def _chosen_logs(found: dict[str, Path], names: list[str]) -> dict[str, Path]:
    """The logs of these processes and services. Raises CliError for one that has none."""
    chosen: dict[str, Path] = {}
    for name in names:
        of_it = {
            each: path for each, path in found.items() if each == name or each.rpartition("-")[0] == name
        }
        if not of_it:
            raise CliError(f"there is no log of {name}.", f"There are logs of {', '.join(found)}.")
        chosen |= of_it
    return chosen or found


def _print_line(line: "LogLine", names: list[str], *, raw: bool) -> None:
    from rich.text import Text

    from banyan.cli.console import console
    from banyan.fleet.logs import for_people
    from banyan.fleet.table import color_of

    width = max(map(len, names))
    text = line.text if raw else for_people(line.text)
    prefix = (f"{line.name:<{width}} | ", color_of(line.name, names))
    console().print(Text.assemble(prefix, text), soft_wrap=True)
