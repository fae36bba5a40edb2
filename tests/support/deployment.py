"""What deployment files may name: the settings, and the program's own commands."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
import typer.main

from banyan.cli.app import app
from banyan.settings import Settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SETTINGS = frozenset(f"BANYAN_{name.upper()}" for name in Settings.model_fields)
# The base class of every complaint about a command line.
_UsageError: Any = typer.BadParameter.__base__


def refusal(arguments: Sequence[str]) -> str | None:
    """Why `banyan` would refuse these arguments; None when it would take them. Runs nothing."""
    found: Any = typer.main.get_command(app)
    context: Any = None
    rest = list(arguments)
    try:
        while True:
            context = found.make_context(found.name or "banyan", rest, parent=context)
            if not hasattr(found, "commands"):
                return None
            _, found, rest = found.resolve_command(context, [*context._protected_args, *context.args])
    except _UsageError as error:
        return error.format_message()
