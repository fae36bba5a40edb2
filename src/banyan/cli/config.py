"""`banyan config`."""

import os
import textwrap
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from banyan.settings import Settings

EPILOG = """
[bold]Examples[/bold]
  banyan config                         every setting: present value, default, meaning
  banyan config --check                 only check them; exit code 2 when one cannot be used
  BANYAN_PORT=9000 banyan config port   the settings whose name has "port" in it
"""


HIDDEN = "(hidden)"
WIDEST = 110


def config(
    word: Annotated[
        str | None, typer.Argument(help="Show only settings whose name contains this.", metavar="[WORD]")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether they can be used.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for scripts, a line for each setting.")
    ] = False,
) -> None:
    """Explain every setting, with its present value.

    Settings are environment variables. Values of secrets are never shown. Exit code 2 when one cannot be used.
    """
    from banyan.cli.console import error_console, print_json, say
    from banyan.cli.problems import report
    from banyan.cli.runtime import load_settings, unknown_variables
    from banyan.settings import SettingsError

    for sentence in unknown_variables():
        error_console().print(f"[yellow]Warning:[/yellow] {sentence}")
    settings, exit_code = None, 0
    try:
        settings = load_settings()
    except SettingsError as error:
        # The explanations are what is needed now, so they are printed all the same.
        exit_code = report(error)
    if check and not exit_code:
        say("The settings can be used.")
    if not check:
        wanted = word.lower().removeprefix("banyan_") if word else ""
        rows = [row for row in _rows(settings) if wanted in row["name"].lower().removeprefix("banyan_")]
        if as_json:
            for row in rows:
                print_json(row)
        else:
            _print(rows)
    if exit_code:
        raise typer.Exit(exit_code)


def _rows(settings: "Settings | None") -> list[dict[str, Any]]:
    """name, value, default, set (by the environment) and description of each setting, as the environment spells them.

    settings: None when they cannot be used; the values are then the environment's.
    """
    from banyan.settings import Settings

    rows = []
    for name, field in Settings.model_fields.items():
        variable = f"BANYAN_{name.upper()}"
        default = _spelled(field.get_default())
        raw = os.environ.get(variable)
        if settings is not None:
            value = _spelled(getattr(settings, name))
        else:
            value = default if raw is None else HIDDEN if "Secret" in str(field.annotation) else raw
        rows.append(
            {
                "name": variable,
                "value": value,
                "default": default,
                "set": raw is not None,
                "description": field.description or "",
            }
        )
    return rows


def _spelled(value: Any) -> str | None:
    """As the environment variable would be written; a secret is only said to be set."""
    if value is None:
        return None
    if hasattr(value, "get_secret_value"):
        return HIDDEN
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.text import Text

    from banyan.cli.console import console, say

    if not rows:
        say("[dim]No setting has that in its name.[/dim]")
        return
    out = console()
    width = min(out.width, WIDEST)
    for row in rows:
        line = Text.assemble(
            (row["name"], "bold cyan" if row["set"] else "bold"),
            " = ",
            (row["value"] or "(unset)", "bold green"),
        )
        if row["set"]:
            line.append(f"   (default: {row['default'] or 'unset'})", "dim")
        out.print(line, soft_wrap=True)
        indent = " " * 4
        text = textwrap.fill(row["description"], width, initial_indent=indent, subsequent_indent=indent)
        out.print(Text(text), soft_wrap=True)
        out.print()
