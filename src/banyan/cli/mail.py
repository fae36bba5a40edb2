"""`banyan mail`: mails that were not sent because no SMTP server is set."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from banyan.infra.mail.outbox import DevelopmentOutbox

commands = typer.Typer(
    help="Read the mails that Banyan kept instead of sending them (without an SMTP server).",
    no_args_is_help=True,
    epilog="""
[bold]Examples[/bold]
  banyan mail list            the newest mails
  banyan mail show            the newest one, with its links
  banyan mail show ID --html  its HTML part
""",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@commands.command("list")
def list_mails(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest mails, newest first."""
    from dataclasses import asdict

    from banyan.cli.console import print_json, print_table

    entries = _outbox().entries(limit)
    if as_json:
        for entry in entries:
            print_json(asdict(entry))
        return
    rows = [(entry.id, entry.at, entry.to, entry.subject) for entry in entries]
    print_table(("ID", "AT", "TO", "SUBJECT"), rows, empty="No mail yet.")


@commands.command("show")
def show(
    mail_id: Annotated[
        str | None, typer.Argument(help="The mail's id; the newest mail when left out.", metavar="[ID]")
    ] = None,
    html: Annotated[bool, typer.Option("--html", help="Print the HTML part.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one mail."""
    from dataclasses import asdict

    from banyan.cli.console import print_json, say
    from banyan.cli.problems import CliError

    outbox = _outbox()
    if mail_id is None:
        newest = outbox.entries(1)
        if not newest:
            raise CliError("there is no mail yet.")
        mail_id = newest[0].id
    mail = outbox.read(mail_id)
    if as_json:
        print_json({**asdict(mail.entry), "text": mail.text, "html": mail.html, "path": str(mail.path)})
        return
    if html:
        typer.echo(mail.html or "")
        return
    from rich.markup import escape

    say(f"[bold]To[/bold]       {escape(mail.entry.to)}")
    say(f"[bold]Subject[/bold]  {escape(mail.entry.subject)}")
    say(f"[bold]At[/bold]       {mail.entry.at}")
    say(f"[bold]File[/bold]     {escape(str(mail.path))}")
    typer.echo(f"\n{mail.text}")


def _outbox() -> "DevelopmentOutbox":
    from banyan.cli.problems import CliError
    from banyan.cli.runtime import load_settings
    from banyan.infra.mail.outbox import DevelopmentOutbox

    settings = load_settings()
    if settings.smtp_host is not None:
        raise CliError(
            f"mails are sent by {settings.smtp_host}, none is kept here.",
            "Unset BANYAN_SMTP_HOST to have them written into the data folder instead.",
        )
    return DevelopmentOutbox(settings.data_dir / "mail", sender=settings.mail_from)
