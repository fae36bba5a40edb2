"""What goes wrong, said to people: one sentence about what, one about what to do next."""

import sys

FAILED = 1
USAGE = 2


class CliError(Exception):
    """Ends the command. next_step: what the reader can do about it."""

    def __init__(self, message: str, next_step: str | None = None, *, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.exit_code = exit_code


def report(error: Exception) -> int:
    """Print an error to standard error; returns the exit code. An error that nobody foresaw is raised again."""
    known = _known(error)
    if known is None:
        raise error
    from rich.text import Text

    from banyan.cli.console import error_console

    console = error_console()
    console.print(Text.assemble(("Error: ", "bold red"), known.message), soft_wrap=True)
    if known.next_step:
        console.print(Text(known.next_step), soft_wrap=True)
    sys.stderr.flush()
    return known.exit_code


def _known(error: Exception) -> CliError | None:
    # Imported on the way out of a failure, when the quick commands have long ended.
    from banyan.infra.db.sqlite_copy import damage_in
    from banyan.kernel.errors import BanyanError
    from banyan.settings import SettingsError

    if isinstance(error, CliError):
        return error
    if isinstance(error, SettingsError):
        return CliError(
            f"these settings cannot be used:\n  {str(error).replace(chr(10), chr(10) + '  ')}",
            "`banyan config` explains each setting and shows what is set.",
            exit_code=USAGE,
        )
    if isinstance(error, BanyanError):
        faults = "".join(f"\n  {fault.pointer}: {fault.detail}" for fault in getattr(error, "errors", ()))
        return CliError(error.detail + faults)
    damage = damage_in(error)
    return None if damage is None else _damaged(damage)


def _damaged(what: str) -> CliError:
    from banyan.settings import load_settings

    path = load_settings().database_path.resolve()
    return CliError(
        f"the database {path} is damaged: {what}.",
        "Stop the server, keep a copy of the file, and restore the newest backup: `banyan restore BACKUP --force`."
        " `banyan doctor` says how bad it is.",
    )
