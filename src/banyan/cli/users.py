"""`banyan users`: accounts, with the authority of whoever may read the database."""

import sys
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from banyan.bootstrap import Application
    from banyan.modules.users.contract import Account, UserAdministration

commands = typer.Typer(
    help="List accounts, make administrators, disable people, set passwords.",
    no_args_is_help=True,
    epilog="""
[bold]Examples[/bold]
  banyan users create-admin you@example.org        asks for a password
  banyan users list --search example.org
  banyan users disable you@example.org             ends all sessions within a second, also on a running server
  echo "$PASSWORD" | banyan users set-password you@example.org --password-stdin

WHO is a user's id or e-mail address.
""",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts, a line for each account.")]
Who = Annotated[str, typer.Argument(help="The user's id or e-mail address.", metavar="WHO")]
Email = Annotated[str, typer.Argument(help="The e-mail address.", metavar="EMAIL")]
Name = Annotated[
    str | None,
    typer.Option(help="The person's name; the part before the @ when left out.", show_default=False),
]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input instead of asking.")
]


@commands.command("list")
def list_users(
    search: Annotated[
        str | None, typer.Option(help="Only whose name or address holds this.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")] = 100,
    before: Annotated[
        str | None,
        typer.Option(help="Go on past the account with this id.", metavar="ID", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List accounts, newest first."""
    from banyan.cli.console import print_json, print_table
    from banyan.cli.runtime import run

    found = run(
        lambda application: administration(application).list_users(query=search, limit=limit, before=before)
    )
    if as_json:
        for account in found:
            print_json(_facts(account))
        return
    rows = [(a.id, a.email, a.name, a.role, _state(a), a.created_at[:19] + "Z") for a in found]
    print_table(("ID", "E-MAIL", "NAME", "ROLE", "STATE", "CREATED"), rows, empty="No accounts.")


@commands.command()
def show(who: Who, as_json: AsJson = False) -> None:
    """Show one account."""
    from banyan.cli.runtime import run

    _print_account(run(lambda application: administration(application).find_user(who)), as_json=as_json)


@commands.command()
def create(
    email: Email,
    name: Name = None,
    admin: Annotated[bool, typer.Option("--admin", help="Make it an administrator.")] = False,
    password_stdin: FromStdin = False,
    as_json: AsJson = False,
) -> None:
    """Make an account. Its address counts as verified."""
    _create(email, name, admin=admin, password_stdin=password_stdin, as_json=as_json)


@commands.command("create-admin")
def create_admin(
    email: Email, name: Name = None, password_stdin: FromStdin = False, as_json: AsJson = False
) -> None:
    """Make an administrator: a new account, or the one that has this address already."""
    _create(email, name, admin=True, password_stdin=password_stdin, as_json=as_json)


@commands.command()
def disable(who: Who, as_json: AsJson = False) -> None:
    """End all sessions of an account and refuse new ones. Nothing of it is deleted."""
    from banyan.cli.runtime import run

    account = run(lambda application: administration(application).disable_user(who))
    _print_account(account, "Disabled; all sessions have ended.", as_json=as_json)


@commands.command()
def enable(who: Who, as_json: AsJson = False) -> None:
    """Let a disabled account log in again."""
    from banyan.cli.runtime import run

    account = run(lambda application: administration(application).enable_user(who))
    _print_account(account, "Enabled.", as_json=as_json)


@commands.command("set-password")
def set_password(who: Who, password_stdin: FromStdin = False, as_json: AsJson = False) -> None:
    """Give an account another password, and end all its sessions."""
    from banyan.cli.runtime import run

    # Found first: nobody should type a password twice to hear of a misspelt address.
    account = run(lambda application: administration(application).find_user(who))
    password = _read_password(from_stdin=password_stdin)
    account = run(lambda application: administration(application).set_password(account.id, password))
    _print_account(account, "The password is set; all sessions have ended.", as_json=as_json)


def administration(application: "Application") -> "UserAdministration":
    contract = next(module.contract for module in application.modules if module.name == "users")
    return cast("UserAdministration", contract)


async def find_user_id(application: "Application", who: str) -> str:
    """The id of a user given by id or address. Also that of an account that is gone, whose events may be left.

    Raises UserNotFound for an address that nobody has.
    """
    from banyan.kernel.ids import is_id

    return who if is_id(who) else (await administration(application).find_user(who)).id


def _create(email: str, name: str | None, *, admin: bool, password_stdin: bool, as_json: bool) -> None:
    from banyan.cli.problems import CliError
    from banyan.cli.runtime import run

    taken = run(lambda application: _find(application, email))
    if taken is not None and not admin:
        raise CliError(f"{email} is registered already, as {taken.id}.")
    # An account that is there keeps its password; it only becomes an administrator.
    password = "" if taken is not None else _read_password(from_stdin=password_stdin)
    called = name or email.partition("@")[0]

    async def work(application: "Application") -> "tuple[Account, bool]":
        users = administration(application)
        if admin:
            return await users.create_admin(name=called, email=email, password=password)
        return await users.create_user(name=called, email=email, password=password), True

    account, is_new = run(work)
    what = "administrator" if admin else "account"
    done = (
        f"Made the {what}." if is_new else "The account is an administrator now; its name and password stay."
    )
    _print_account(account, done, as_json=as_json)


async def _find(application: "Application", who: str) -> "Account | None":
    from banyan.modules.users.contract import UserNotFound

    try:
        return await administration(application).find_user(who)
    except UserNotFound:
        return None


def _read_password(*, from_stdin: bool) -> str:
    """Never from the command line: other users of the machine can read that."""
    from banyan.cli.problems import USAGE, CliError

    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise CliError(
            "a password is needed, and there is no terminal to ask on.",
            "Pipe it in, with --password-stdin.",
            exit_code=USAGE,
        )
    return typer.prompt("Password", hide_input=True, confirmation_prompt=True)


def _print_account(account: "Account", done: str | None = None, *, as_json: bool) -> None:
    from banyan.cli.console import print_json, print_pairs, say

    if as_json:
        print_json(_facts(account))
        return
    if done:
        say(f"[green]{done}[/green]")
    facts = {**_facts(account), "state": _state(account)}
    print_pairs([(name, value) for name, value in facts.items() if value is not None])


def _facts(account: "Account") -> dict[str, object]:
    from dataclasses import asdict

    return asdict(account)


def _state(account: "Account") -> str:
    return "disabled" if account.disabled_at else "in use"
