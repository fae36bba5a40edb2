"""`banyan gateway`: the Envoy in front of the services."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from banyan.cli.problems import USAGE, CliError

if TYPE_CHECKING:
    from banyan.gateway.plan import Plan
    from banyan.gateway.routes import RouteTable
    from banyan.settings import Settings

commands = typer.Typer(
    help="Make the configuration of the gateway: the Envoy in front of the services, which sends each path to its service.",
    no_args_is_help=True,
    epilog="""
[bold]Examples[/bold]
  banyan gateway routes                     which service answers which path
  banyan gateway render --out gateway       write Envoy's files into a folder
  envoy -c gateway/envoy.yaml               start it
  banyan gateway render --out gateway       later: it takes up what has changed
  banyan gateway render --check             would Envoy run by it?

`banyan fleet up` does all of this by itself.
""",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts, a line for each thing.")]


@commands.command()
def render(
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the files; `gateway` in the data folder without it.", show_default=False
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Write nothing: let Envoy say whether it would run by it. Exit code 1 when not."
        ),
    ] = False,
    replica: Annotated[
        list[str] | None,
        typer.Option(
            help="SERVICE=HOST:PORT of one replica, `all` for a process that serves everything; repeat it. The same as"
            " BANYAN_GATEWAY_REPLICAS.",
            metavar="SERVICE=HOST:PORT",
            show_default=False,
        ),
    ] = None,
    internal: Annotated[
        list[str] | None,
        typer.Option(
            help="Port of 127.0.0.1 by which the other services call this one; repeat it. The same as BANYAN_GATEWAY_INTERNAL.",
            metavar="SERVICE=PORT",
            show_default=False,
        ),
    ] = None,
    seen_as: Annotated[
        Path | None,
        typer.Option(
            help="The folder's path as Envoy sees it, when it is mounted elsewhere.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write Envoy's configuration, or what has changed in it.

    It listens on BANYAN_HOST and BANYAN_PORT. A running Envoy takes up changed routes and replicas without closing a connection.
    """
    from banyan.cli.console import print_json, say
    from banyan.cli.runtime import load_settings
    from banyan.gateway.routes import route_table

    settings = load_settings()
    plan = _plan(settings, replica, internal)
    table = route_table(settings)
    if check:
        _check(plan, table)
        say("Envoy would run by this configuration.")
        return
    from banyan.gateway.render import BOOTSTRAP, write

    folder = out or settings.data_dir / "gateway"
    changed = write(plan, table, folder, seen_as=seen_as)
    if as_json:
        print_json({"folder": str(folder.resolve()), "changed": changed})
    elif changed:
        say(f"Wrote {', '.join(changed)} in [bold]{folder.resolve()}[/bold].")
        if BOOTSTRAP in changed:
            say(f"Start the gateway with: envoy -c {folder / BOOTSTRAP}")
    else:
        say(f"Everything in [bold]{folder.resolve()}[/bold] is up to date.")


@commands.command()
def routes(as_json: AsJson = False) -> None:
    """Show which service answers which path.

    The table is read from the routes that the services declare. What is not in it is answered 404 by the gateway.
    """
    from banyan.cli.console import print_json, print_table
    from banyan.cli.runtime import load_settings
    from banyan.gateway.routes import route_table

    rows = [
        {
            "path": path.template + ("/…" if path.below else ""),
            "service": path.service,
            "methods": sorted(operation.method for operation in path.operations),
            "token_checked": sorted(
                operation.method for operation in path.operations if operation.needs_token
            ),
            "repeatable_with_key": sorted(
                operation.method for operation in path.operations if operation.repeatable
            ),
            "streams": path.streams,
        }
        for path in route_table(load_settings()).paths
    ]
    if as_json:
        for row in rows:
            print_json(row)
        return
    columns = ("PATH", "SERVICE", "METHODS", "TOKEN CHECKED", "REPEATABLE WITH KEY", "STREAMS")
    cells = [
        (
            row["path"],
            row["service"],
            " ".join(row["methods"]),
            " ".join(row["token_checked"]),
            " ".join(row["repeatable_with_key"]),
            "yes" if row["streams"] else "",
        )
        for row in rows
    ]
    print_table(columns, cells, empty="No service declares a route.")


def _plan(settings: "Settings", replicas: list[str] | None, internal: list[str] | None) -> "Plan":
    from banyan.gateway.plan import Plan, parse_ports, parse_replicas

    if find_spec("yaml") is None:
        raise CliError("the gateway needs an extra: pip install 'banyan-backend[fleet]'")
    try:
        return Plan.of(
            settings,
            replicas=parse_replicas(replicas) if replicas else None,
            internal_ports=parse_ports(internal) if internal else None,
        )
    except ValueError as error:
        raise CliError(
            f"{error}.",
            "`banyan gateway render --help` shows how replicas and ports are written.",
            exit_code=USAGE,
        ) from error


def _check(plan: "Plan", table: "RouteTable") -> None:
    from banyan.fleet.servers.envoy import find_program
    from banyan.fleet.servers.server import MissingProgram
    from banyan.gateway.check import refusal

    try:
        envoy = find_program()
    except MissingProgram as error:
        raise CliError(str(error)) from error
    reason = refusal(envoy, plan, table)
    if reason is not None:
        raise CliError(f"Envoy refuses this configuration:\n{reason}")
