"""All commands, in the order of the help page."""

import os
from pathlib import Path
from typing import Annotated

import typer

from banyan import __version__
from banyan.cli import (
    backup,
    bench,
    config,
    doctor,
    events,
    fleet,
    gateway,
    keys,
    mail,
    migrate,
    promote,
    serving,
    tasks,
    users,
    worker,
)

RUN = "Run"
LOOK_AFTER = "Look after it"

EPILOG = """
[bold]Begin here[/bold]
  banyan up                                    start everything in one process
  banyan fleet up                              start it as services and servers, with replicas
  banyan users create-admin you@example.org    make an administrator
  banyan config                                explain every setting

Settings are environment variables that begin with BANYAN_.
Exit codes: 0 done, 1 something is wrong, 2 the command or a setting is.
"""

app = typer.Typer(
    name="banyan",
    help="A backend for people, to-dos and notifications.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"banyan {__version__}")
        raise typer.Exit


@app.callback()
def _globals(
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the database; the same as BANYAN_DATA_DIR.", show_default=False),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    if data_dir is not None:
        os.environ["BANYAN_DATA_DIR"] = str(data_dir)


app.command("up", rich_help_panel=RUN, epilog=serving.UP_EPILOG)(serving.up)
app.command("serve", rich_help_panel=RUN, epilog=serving.SERVE_EPILOG)(serving.serve)
app.command("worker", rich_help_panel=RUN, epilog=worker.EPILOG)(worker.worker)
app.command("migrate", rich_help_panel=RUN, epilog=migrate.EPILOG)(migrate.migrate)
app.add_typer(fleet.commands, name="fleet", rich_help_panel=RUN)
app.add_typer(gateway.commands, name="gateway", rich_help_panel=RUN)
app.command("promote", rich_help_panel=LOOK_AFTER, epilog=promote.EPILOG)(promote.promote)
app.command("backup", rich_help_panel=LOOK_AFTER, epilog=backup.BACKUP_EPILOG)(backup.backup)
app.command("restore", rich_help_panel=LOOK_AFTER, epilog=backup.RESTORE_EPILOG)(backup.restore)
app.command("doctor", rich_help_panel=LOOK_AFTER, epilog=doctor.EPILOG)(doctor.doctor)
app.add_typer(users.commands, name="users", rich_help_panel=LOOK_AFTER)
app.add_typer(events.commands, name="events", rich_help_panel=LOOK_AFTER)
app.add_typer(tasks.commands, name="tasks", rich_help_panel=LOOK_AFTER)
app.command("bench", rich_help_panel=LOOK_AFTER, epilog=bench.EPILOG)(bench.bench)
app.command("config", rich_help_panel=LOOK_AFTER, epilog=config.EPILOG)(config.config)
app.add_typer(mail.commands, name="mail", rich_help_panel=LOOK_AFTER)
app.add_typer(keys.commands, name="keys", rich_help_panel=LOOK_AFTER)
