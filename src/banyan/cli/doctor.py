"""`banyan doctor`."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from banyan.doctor.finding import Finding
    from banyan.settings import Settings

EPILOG = """
[bold]Examples[/bold]
  banyan doctor           look at everything, and say what to do
  banyan doctor --json    a line for each check

Exit code 1 when something fails, 2 when the settings cannot be used; a warning is no failure.
"""

COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for scripts, a line for each check.")
    ] = False,
) -> None:
    """Check this installation: settings, servers, migrations, clocks, disk. Changes nothing."""
    from dataclasses import asdict

    from banyan.cli.console import print_json, say
    from banyan.cli.runtime import load_settings, unknown_variables
    from banyan.doctor.finding import Finding
    from banyan.infra.db.sqlite_copy import DamagedFile, damage_told
    from banyan.infra.telemetry.log import configure_logging
    from banyan.settings import load_settings as plain_settings

    try:
        with damage_told():
            settings = load_settings()
    except DamagedFile:
        # Whether the data was promoted stands in the file; that it cannot be read is told below.
        settings = plain_settings()
    configure_logging("CRITICAL", as_json=False)
    findings = [
        Finding("settings", "warn", text, "Correct its name, or unset it.") for text in unknown_variables()
    ]
    findings = findings or [Finding("settings", "ok", "They can be used, and none is unknown.")]
    findings += asyncio.run(_look(settings))
    for finding in findings:
        if as_json:
            print_json(asdict(finding))
        else:
            _say(finding)
    failed = sum(finding.state == "fail" for finding in findings)
    if not as_json:
        say(
            f"[bold red]{failed} checks failed.[/bold red]"
            if failed
            else "[green]Nothing keeps Banyan from working.[/green]"
        )
    if failed:
        raise typer.Exit(1)


async def _look(settings: "Settings") -> "list[Finding]":
    from banyan.doctor import machine, servers

    return [*machine.look(settings), *[finding async for finding in servers.look(settings)]]


def _say(finding: "Finding") -> None:
    from rich.text import Text

    from banyan.cli.console import console

    state = Text(f"{finding.state:5}", COLOURS[finding.state])
    console().print(Text.assemble(state, (f"{finding.check}: ", "bold"), finding.what), soft_wrap=True)
    if finding.todo:
        console().print(Text(f"      {finding.todo}"), soft_wrap=True)
