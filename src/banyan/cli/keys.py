"""`banyan keys`: the pairs of keys that sign access tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from banyan.modules.users.contract import SigningKeyInfo

commands = typer.Typer(
    help="List and rotate the keys that sign access tokens.",
    no_args_is_help=True,
    epilog="""
[bold]Examples[/bold]
  banyan keys list
  banyan keys rotate               the published next key begins to sign; nobody is logged out
  banyan keys rotate --withdraw    a key has leaked, or BANYAN_SECRET_KEY is lost: tokens signed by any former key
                                   stop working at once

A key is published (at /.well-known/jwks.json) before it signs, and stays published until its last token has expired.
""",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts, a line for each key.")]


@commands.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys: active, next, retired."""
    from banyan.cli.runtime import run
    from banyan.cli.users import administration

    _print_keys(run(lambda application: administration(application).list_keys()), as_json=as_json)


@commands.command()
def rotate(
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Throw all former keys away at once: for a key that leaked.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let the next key sign, and publish a fresh next one."""
    from banyan.cli.runtime import run
    from banyan.cli.users import administration

    # Withdrawing reads no former key, and so is the way out when the secret that sealed them is lost.
    keys = run(
        lambda application: administration(application).rotate_keys(withdraw=withdraw),
        start_modules=not withdraw,
    )
    _print_keys(keys, as_json=as_json)


def _print_keys(keys: "Sequence[SigningKeyInfo]", *, as_json: bool) -> None:
    from dataclasses import asdict

    from banyan.cli.console import print_json, print_table

    if as_json:
        for key in keys:
            print_json(asdict(key))
        return
    rows = [(key.kid, key.state, key.created_at, key.verify_until or "") for key in keys]
    print_table(
        ("KEY", "STATE", "CREATED", "VERIFIES UNTIL"), rows, empty="No keys yet: the first start makes them."
    )
