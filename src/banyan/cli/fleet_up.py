"""What `banyan fleet up` does, in this process or in one in the background."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from banyan.cli.console import command, console
from banyan.cli.problems import USAGE, CliError
from banyan.cli.runtime import load_settings
from banyan.fleet import report as reports
from banyan.fleet.folder import FleetFolder
from banyan.fleet.logs import opened_log
from banyan.fleet.ports import is_free
from banyan.fleet.process import StartFailed
from banyan.fleet.report import Event, Report
from banyan.fleet.runner import Runner, Watcher, clean_up
from banyan.fleet.screen import Screen
from banyan.infra.db.data_lock import DataDirBusy, DataLock

if TYPE_CHECKING:
    from rich.console import Console

    from banyan.fleet.plan import Plan
    from banyan.settings import Settings

TABLE_SECONDS = 1.0

PlanMaker = Callable[["Settings", FleetFolder, Mapping[str, int]], "Plan"]


def run(
    folder: FleetFolder,
    replicas: Mapping[str, int],
    report_to: int | None,
    make_plan: PlanMaker | None = None,
) -> None:
    """Run a fleet in this process until a signal or `banyan fleet down`. Raises CliError.

    report_to: a descriptor that is told, too, what happens until the fleet is up or has failed. make_plan: what to run; the
    whole of Banyan when left out.
    """
    settings = load_settings()
    folder.make()
    with _told(report_to) as told, _locked(folder) as lock:
        left = clean_up(folder)
        plan = (make_plan or _make_plan)(settings, folder, replicas)
        with Screen(console(), lambda out, url: print_banner(out, url, settings)) as screen:

            def report(event: Event) -> None:
                screen(event)
                told(event)

            if left:
                report(
                    Event("notice", text=f"{left} processes that an earlier fleet had left here were ended")
                )
            lock.announce(plan.url)
            runner = Runner(plan, folder, report)
            try:
                runner.run(_table(screen) if screen.is_live else None)
            except StartFailed as error:
                raise CliError(
                    f"{error}.", f"{error.log}\n\nIts log: {folder.log_of(error.name)}".strip()
                ) from error


def detached(folder: FleetFolder, replicas: Mapping[str, int]) -> None:
    """Start a supervisor in the background; returns when the fleet is up. Raises CliError when it does not come up."""
    settings = load_settings()
    reading, writing = os.pipe()
    arguments = ["-m", "banyan", "fleet", "up", "--report-to", str(writing)]
    if replicas:
        arguments += ["--replicas", ",".join(f"{name}={count}" for name, count in replicas.items())]
    folder.make()
    with opened_log(folder.supervisor_log) as log:
        background = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writing],
            start_new_session=True,
        )
    os.close(writing)
    problem: Event | None = None
    is_up = False
    banner = _banner_in_background(settings)
    with os.fdopen(reading, "rb") as lines, Screen(console(), banner) as screen:
        try:
            for line in lines:
                event = reports.from_line(line)
                problem = event if event.kind == "error" else problem
                is_up = is_up or event.kind == "up"
                screen(event)
        except KeyboardInterrupt:
            background.terminate()
            background.wait()
            raise
    if not is_up:
        background.wait()
        if problem is None:
            raise CliError("the fleet did not come up.", f"Its log: {folder.supervisor_log}")
        raise CliError(problem.text, problem.detail or None)


def print_banner(out: "Console", url: str, settings: "Settings", ending: str = "Ctrl-C") -> None:
    """What is said once when the fleet is up."""
    from rich.table import Table
    from rich.text import Text

    from banyan import __version__

    lines = Table.grid(padding=(0, 2))
    address = settings.public_url or url
    lines.add_row(Text("Web application", "bold"), Text(address, "bold cyan underline"))
    lines.add_row("API documents", Text(f"{address}/docs"))
    lines.add_row("Data", Text(str(settings.data_dir.resolve())))
    lines.add_row("What runs", Text(command("fleet status")))
    lines.add_row("Logs", Text(command("fleet logs --follow")))
    lines.add_row("More replicas", Text(command("fleet scale todos=3")))
    lines.add_row(
        "Administrator",
        Text(f'eval "$({command("fleet env")})" && {command("users create-admin you@example.org")}'),
    )
    out.print()
    out.print(Text.assemble(("Banyan ", "bold green"), (__version__, "green"), " is up, as a fleet"))
    out.print()
    out.print(lines, soft_wrap=True)
    out.print()
    out.print(Text(f"End it with {ending}.", "dim"))


def _banner_in_background(settings: "Settings") -> Callable[["Console", str], None]:
    return lambda out, url: print_banner(out, url, settings, command("fleet down"))


def _make_plan(settings: "Settings", folder: FleetFolder, replicas: Mapping[str, int]) -> "Plan":
    """Raises CliError that names all that is missing on this machine."""
    from banyan.fleet.planning import MissingPrograms, UnknownService, make_plan

    if settings.port and not is_free(settings.host, settings.port):
        raise CliError(
            f"port {settings.port} of {settings.host} is in use by another program.",
            "Choose another with --port or BANYAN_PORT; 0 takes a free one.",
        )
    try:
        return make_plan(settings, folder, replicas)
    except MissingPrograms as error:
        raise CliError("this machine lacks what a fleet needs.", str(error)) from error
    except UnknownService as error:
        raise CliError(f"{error}.", "Write --replicas todos=3.", exit_code=USAGE) from error


def _table(screen: Screen) -> Watcher:
    async def keep_up_to_date(runner: Runner) -> None:
        while True:
            await asyncio.sleep(TABLE_SECONDS)
            if runner.is_up:
                screen.show(await runner.status())

    return keep_up_to_date


@contextmanager
def _told(descriptor: int | None) -> Iterator[Report]:
    """Somebody who waits for the fleet to be up, and is told why when it does not come up."""
    if descriptor is None:
        yield lambda _event: None
        return
    os.set_inheritable(descriptor, False)
    with os.fdopen(descriptor, "w") as pipe:
        lines = reports.Lines(pipe)
        try:
            yield lines
        except CliError as error:
            lines(Event("error", text=error.message, detail=error.next_step or ""))
            raise


@contextmanager
def _locked(folder: FleetFolder) -> Iterator[DataLock]:
    """The data folder is ours inside. Raises CliError that says whose it is."""
    lock = DataLock(folder.data_dir)
    try:
        lock.acquire()
    except DataDirBusy as error:
        holder = error.holder
        who = f"process {holder.pid}" if holder else "another process"
        where = f" on {holder.url}" if holder and holder.url else ""
        raise CliError(
            f"{who} already serves the data in {folder.data_dir.resolve()}{where}.",
            f"`{command('fleet status')}` shows it, `{command('fleet down')}` ends it; or use another folder with --data-dir.",
        ) from error
    try:
        yield lock
    finally:
        lock.release()
