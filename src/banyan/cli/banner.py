"""What `banyan up` says when it is up."""

from typing import TYPE_CHECKING

from banyan import __version__
from banyan.cli.console import command, console

if TYPE_CHECKING:
    from banyan.settings import Settings

EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def url_of(settings: "Settings") -> str:
    """Where this process can be reached from this machine."""
    host = "127.0.0.1" if settings.host in EVERY_ADDRESS else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def print_banner(settings: "Settings") -> None:
    from rich.table import Table
    from rich.text import Text

    from banyan.settings import database_label
    from banyan.targets import MODULES

    url = settings.public_url or url_of(settings)
    lines = Table.grid(padding=(0, 2))
    lines.add_row(Text("Web application", "bold"), Text(url, "bold cyan underline"))
    lines.add_row("API documents", f"{url}/docs")
    lines.add_row("Data", Text(", ".join(map(database_label, settings.databases(MODULES)))))
    lines.add_row("Mail", Text(_mail(settings)))
    lines.add_row("Administrator", Text(f"made by {command('users create-admin you@example.org')}"))
    lines.add_row("Settings", Text(f"shown by {command('config')}"))
    out = console()
    out.print()
    out.print(
        Text.assemble(("Banyan ", "bold green"), (__version__, "green"), " is up", _listens_where(settings))
    )
    out.print()
    out.print(lines, soft_wrap=True)
    out.print()
    out.print("[dim]Stop it with Ctrl-C.[/dim]")
    # Into a pipe or a file it must not wait in a buffer for the end of the process.
    out.file.flush()


def _listens_where(settings: "Settings") -> str:
    return (
        f", on every address of this machine, port {settings.port}" if settings.host in EVERY_ADDRESS else ""
    )


def _mail(settings: "Settings") -> str:
    if settings.smtp_host:
        return f"sent by {settings.smtp_host}:{settings.smtp_port}"
    return f"not sent, but kept; read it with {command('mail list')}"
