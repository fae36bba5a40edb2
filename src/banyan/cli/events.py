"""`banyan events`: the log of everything that happened."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from banyan.bootstrap import Application
    from banyan.infra.db.shards import Shards
    from banyan.infra.module import Projection
    from banyan.infra.streams.verify import Difference, Verifier
    from banyan.kernel.events import Event

commands = typer.Typer(
    help="See the event log, compare it with the tables, and make read models again.",
    no_args_is_help=True,
    epilog="""
[bold]Examples[/bold]
  banyan events tail --follow          watch what happens
  banyan events verify                 does the log tell the same as the tables?
  banyan events rebuild todo-stats     make a read model again from the log
  banyan events parked                 what could not be applied; `redrive` tries it again
""",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts, a line for each thing.")]
OneUser = Annotated[
    str | None, typer.Option("--user", help="Only this user: an id or an e-mail address.", show_default=False)
]

FOLLOW_LOOK_SECONDS = 0.2
FOLLOW_BATCH = 500
SHOWN_DIFFERENCES = 50


@commands.command()
def tail(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens next, until Ctrl-C.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many of the newest events.")] = 20,
    user: OneUser = None,
    stream: Annotated[
        str | None, typer.Option(help="Only this stream, such as todos.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest events, oldest first."""
    from banyan.cli.runtime import run

    async def work(application: "Application") -> None:
        user_id = await _user_id(application, user)
        await _tail(application, limit, user_id, stream, follow=follow, as_json=as_json)

    try:
        run(work)
    except KeyboardInterrupt:
        raise typer.Exit from None


@commands.command()
def verify(user: OneUser = None, as_json: AsJson = False) -> None:
    """Fold the log of every user and compare with the tables.

    Exit code 1 when they differ anywhere. It only reads; the server may go on working.
    """
    from dataclasses import asdict

    from banyan.cli.console import print_json, say
    from banyan.cli.runtime import run

    users, events, differences = run(lambda application: _verify(application, user))
    if as_json:
        for difference in differences:
            print_json(asdict(difference))
        print_json({"users": users, "events": events, "differences": len(differences)})
    elif differences:
        _print_differences(differences)
        say(f"[bold red]{len(differences)} differences[/bold red] in {events} events of {users} users.")
    else:
        say(f"[green]The log and the tables agree[/green]: {events} events of {users} users.")
    if differences:
        raise typer.Exit(1)


@commands.command()
def rebuild(
    projection: Annotated[
        str | None, typer.Argument(help="The read model's name; all names are listed without it.")
    ] = None,
    user: OneUser = None,
    as_json: AsJson = False,
) -> None:
    """Make a read model again from the log.

    One user at a time, each in one transaction: readers see the old one or the new one, and the server may go on working.
    """
    from banyan.cli.console import print_json, say
    from banyan.cli.runtime import run

    users, events, failures = run(lambda application: _rebuild(application, projection, user))
    if as_json:
        print_json({"projection": projection, "users": users, "events": events, "failures": failures})
    else:
        for user_id, error in failures.items():
            say(f"[red]{user_id}: {error}; this user's part is as it was.[/red]")
        say(f"Rebuilt [bold]{projection}[/bold] of {users} users from {events} events.")
    if failures:
        raise typer.Exit(1)


@commands.command()
def parked(as_json: AsJson = False) -> None:
    """List events that a consumer could not apply: waiting to be tried again, or given up (parked).

    Messages of a broker that are no event at all are listed too, with the place that they came from.
    """
    from banyan.cli.console import print_json, print_table
    from banyan.cli.runtime import run

    found = run(_set_aside)
    if as_json:
        for row in found:
            print_json(row)
        return
    columns = ("CONSUMER", "STATE", "ATTEMPTS", "ERROR", "EVENT", "STREAM", "POSITION", "USER")
    names = ("consumer", "state", "attempts", "error", "type", "stream", "position", "user_id")
    rows = [[row[name] for name in names] if "topic" not in row else _letter_row(row) for row in found]
    print_table(columns, rows, empty="Nothing is set aside.")


@commands.command()
def redrive(as_json: AsJson = False) -> None:
    """Let every parked event be tried again, by the running server."""
    from banyan.cli.console import print_json, say
    from banyan.cli.runtime import run

    count = run(_redrive)
    if as_json:
        print_json({"redriven": count})
    else:
        say(f"{count} parked events will be tried again." if count else "Nothing is parked.")


@commands.command()
def lag(as_json: AsJson = False) -> None:
    """Say how far the deliveries are behind the log."""
    from banyan.cli.console import print_json, print_table
    from banyan.cli.runtime import run

    facts = run(_lag)
    if as_json:
        print_json(facts)
        return
    rows = [
        ("waiting for the relay", facts["relay"]),
        ("set aside, tried again soon", facts["retrying"]),
        ("set aside, given up (parked)", facts["parked"]),
    ]
    print_table(("EVENTS", "COUNT"), rows, empty="")


def _letter_row(letter: dict[str, Any]) -> list[Any]:
    place = f"{letter['partition']}/{letter['offset']}"
    return [
        letter["consumer"],
        letter["state"],
        "",
        letter["error"],
        "(no event)",
        letter["topic"],
        place,
        "",
    ]


async def _tail(
    application: "Application",
    limit: int,
    user_id: str | None,
    stream: str | None,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    from banyan.infra.streams.log import last_sequence
    from banyan.infra.streams.tail import newest, past

    # Each database has a sequence of its own; what is printed is in order within one.
    databases = list(application.each_database())
    seen = [await database.read(last_sequence) for database in databases]
    for number, database in enumerate(databases):
        shown = await database.read(newest, limit, user_id, stream) if limit else []
        seen[number] = max([seen[number], *(event.sequence for event in shown)])
        _print_events(shown, as_json=as_json)
    import asyncio

    while follow:
        fresh = 0
        for number, database in enumerate(databases):
            events = await database.read(past, seen[number], FOLLOW_BATCH, user_id, stream)
            _print_events(events, as_json=as_json)
            seen[number] = max([seen[number], *(event.sequence for event in events)])
            fresh += len(events)
        if fresh == 0:
            # Another process writes them, and SQLite tells nobody: looking is the only way.
            await asyncio.sleep(FOLLOW_LOOK_SECONDS)


def _print_events(events: "Sequence[Event]", *, as_json: bool) -> None:
    from dataclasses import asdict

    from banyan.cli.console import console, print_json

    if as_json:
        for event in events:
            print_json(asdict(event))
        return
    import json

    from rich.text import Text

    out = console()
    for event in events:
        line = Text.assemble(
            (event.at, "dim"),
            "  ",
            (f"{event.stream}.{event.position}", "cyan"),
            "  ",
            (event.type, "bold"),
            "  ",
            (f"user {event.user_id}  subject {event.subject}  ", "dim"),
            json.dumps(event.data, ensure_ascii=False),
        )
        out.print(line, soft_wrap=True)
    out.file.flush()


async def _verify(application: "Application", user: str | None) -> "tuple[int, int, list[Difference]]":
    from banyan.cli.console import progress
    from banyan.infra.streams.verify import count_users, each_user

    verifiers = [(shards, _verifier(application, shards)) for shards in application.distinct_databases()]
    if user is not None:
        user_id = await _user_id(application, user)
        assert user_id is not None
        checked = [await verifier.check(user_id) for _, verifier in verifiers]
        return 1, sum(one.events for one in checked), [d for one in checked for d in one.differences]
    events, differences = 0, []
    users: set[str] = set()
    with progress("Comparing", sum([await count_users(shards) for shards, _ in verifiers])) as advance:
        for shards, verifier in verifiers:
            async for user_id in each_user(shards):
                found = await verifier.check(user_id)
                events, differences = events + found.events, differences + found.differences
                users.add(user_id)
                advance()
    return len(users), events, differences


def _verifier(application: "Application", shards: "Shards") -> "Verifier":
    """For the modules whose data lies in these shards."""
    from banyan.infra.streams.verify import Verifier

    modules = [module for module in application.modules if application.databases[module.name] is shards]
    logs = {module.log.stream: module.log for module in modules}
    return Verifier(shards, logs, [fold for module in modules for fold in module.folds])


async def _rebuild(
    application: "Application", name: str | None, user: str | None
) -> tuple[int, int, dict[str, str]]:
    from banyan.cli.console import progress
    from banyan.infra.streams.rebuild import rebuild_user
    from banyan.infra.streams.verify import count_users, each_user

    projection, shards = _projection(application, name)
    if user is not None:
        user_id = await _user_id(application, user)
        assert user_id is not None
        return 1, await rebuild_user(shards, projection, user_id), {}
    users, events, failures = 0, 0, {}
    with progress(f"Rebuilding {projection.name}", await count_users(shards)) as advance:
        async for user_id in each_user(shards):
            try:
                events += await rebuild_user(shards, projection, user_id)
                users += 1
            except Exception as error:  # one user's bad event must not keep the others from being mended
                failures[user_id] = type(error).__name__
            advance()
    return users, events, failures


def _projection(application: "Application", name: str | None) -> "tuple[Projection, Shards]":
    """The read model, and where it lies."""
    from banyan.cli.problems import USAGE, CliError

    known = {
        projection.name: (projection, application.databases[module.name])
        for module in application.modules
        for projection in module.projections
    }
    if name is None or name not in known:
        message = "name a read model." if name is None else f"there is no read model {name!r}."
        raise CliError(message, f"Known: {', '.join(sorted(known)) or 'none'}.", exit_code=USAGE)
    return known[name]


async def _set_aside(application: "Application") -> list[dict[str, Any]]:
    return [*await _failed(application), *await _dead_letters(application)]


async def _dead_letters(application: "Application") -> list[dict[str, Any]]:
    from banyan.infra.streams.dead_letters import parked_letters

    found = [
        letter for database in application.each_database() for letter in await database.read(parked_letters)
    ]
    return [
        {
            "consumer": letter.consumer,
            "state": letter.state,
            "error": letter.error,
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "message": letter.value.decode(errors="backslashreplace"),
        }
        for letter in found
    ]


async def _failed(application: "Application") -> list[dict[str, Any]]:
    from banyan.infra.streams.consumers import failed

    found = [failure for database in application.each_database() for failure in await database.read(failed)]
    return [
        {
            "consumer": failure.consumer,
            "state": failure.state,
            "attempts": failure.attempts,
            "error": failure.error,
            "type": failure.event.type,
            "event_id": failure.event.id,
            "stream": failure.event.stream,
            "position": failure.event.position,
            "user_id": failure.event.user_id,
        }
        for failure in found
    ]


async def _redrive(application: "Application") -> int:
    from banyan.infra.streams.consumers import redrive as redrive_shard
    from banyan.infra.streams.dead_letters import redrive_letters

    clock = application.infra.clock
    redriven = 0
    for database in application.each_database():
        redriven += await database.transact(redrive_shard, clock)
        redriven += await database.transact(redrive_letters)
    return redriven


async def _lag(application: "Application") -> dict[str, int]:
    states = [row["state"] for row in await _set_aside(application)]
    return {
        "relay": sum([await relay.lag() for relay in application.relays]),
        "retrying": states.count("retrying"),
        "parked": states.count("parked"),
    }


async def _user_id(application: "Application", user: str | None) -> str | None:
    from banyan.cli.users import find_user_id

    return None if user is None else await find_user_id(application, user)


def _print_differences(differences: "Sequence[Difference]") -> None:
    from banyan.cli.console import print_table, say

    rows = [
        (found.user_id, found.stream, found.place, _short(found.by_log), _short(found.by_tables))
        for found in differences[:SHOWN_DIFFERENCES]
    ]
    print_table(("USER", "STREAM", "WHERE", "THE LOG SAYS", "THE TABLES SAY"), rows, empty="")
    if len(differences) > SHOWN_DIFFERENCES:
        say(f"[dim]… and {len(differences) - SHOWN_DIFFERENCES} more; --json prints all.[/dim]")


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) else value
    return text if len(text) <= 120 else f"{text[:117]}…"
