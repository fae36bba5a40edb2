"""The command `banyan`. Heavy packages are imported by the commands that use them, so that `--help` is quick."""

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; arguments: without the program's name, None for those of the process. Always raises SystemExit."""
    from banyan.cli.app import app
    from banyan.cli.problems import report

    try:
        app(args=None if arguments is None else list(arguments), prog_name="banyan")
    except Exception as error:
        raise SystemExit(report(error)) from error
