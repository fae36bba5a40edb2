"""`banyan bench`: what this machine's Banyan can take."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from banyan.cli.problems import USAGE, CliError

if TYPE_CHECKING:
    from banyan.capacity.machine import Machine
    from banyan.capacity.measure import Measurement, Plan
    from banyan.capacity.people import Mix

EPILOG = """
[bold]Examples[/bold]
  banyan bench                              lists, creates, both: a quick look
  banyan bench --capacity                   the knee, and what ran out there
  banyan bench --capacity --plot knee.png   and a picture of it
  banyan bench --capacity --mix write=1 --target-p99 100ms
  banyan bench --capacity --url http://127.0.0.1:8000 --json

Without --url it starts a server in a temporary folder and removes it; with it,
it registers accounts there and erases them. Ctrl-C prints what is known so far.
How to read the result: docs/guide/capacity.md.
"""

INTERRUPTED = 130
LONGEST_TARGET_SECONDS = 10.0
TOKEN_MARGIN_SECONDS = 20.0
QUICK_MIXES = (("list", "read=1"), ("create", "write=1"), ("9 lists to 1 create", "read=9,write=1"))


def bench(
    capacity: Annotated[
        bool,
        typer.Option(
            "--capacity", help="Find the highest rate that holds the target, and what ran out first."
        ),
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(
            help="Measure the server at this http:// address, in place of one of its own.", show_default=False
        ),
    ] = None,
    i_own_it: Annotated[
        bool,
        typer.Option("--i-own-it", help="The server at --url may be on another machine, which is yours."),
    ] = False,
    database_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Let the server of its own use PostgreSQL: a new database there, dropped at the end.",
            show_default=False,
        ),
    ] = None,
    target_p99: Annotated[
        str, typer.Option(metavar="TIME", help="What the slowest of 100 requests may take: 50ms, 0.2s.")
    ] = "50ms",
    mix: Annotated[
        str, typer.Option(help="Lists of 20 to-dos (read) to created to-dos (write).")
    ] = "read=9,write=1",
    people: Annotated[
        int, typer.Option(min=1, max=500, help="Accounts that the requests are spread over.")
    ] = 50,
    connections: Annotated[
        int, typer.Option(min=1, max=2000, help="Connections of the load generator.")
    ] = 64,
    step: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds that one rate is sent.")] = 2.0,
    most: Annotated[int, typer.Option(min=1, help="Never send more requests a second.")] = 100_000,
    budget: Annotated[
        int, typer.Option(min=1, max=3600, help="Seconds in which the search is to end.")
    ] = 120,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw latency and processors by rate.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Measure what a server takes on this machine, with requests that come when they are due, whether it keeps up or not."""
    from banyan.capacity.measure import Plan
    from banyan.capacity.people import Mix
    from banyan.cli.bench_report import draw, require_matplotlib, show

    if plot is not None and not capacity:
        raise CliError("--plot is a picture of --capacity.", exit_code=USAGE)
    if url is not None and database_url is not None:
        raise CliError("--database-url is for a server of its own, without --url.", exit_code=USAGE)
    if plot is not None:
        require_matplotlib()
    target = _seconds(target_p99)
    try:
        mixes = (
            {"capacity": Mix.parse(mix)} if capacity else {name: Mix.parse(of) for name, of in QUICK_MIXES}
        )
    except ValueError as error:
        raise CliError(f"{error}.", exit_code=USAGE) from error
    if capacity:
        plan = Plan(target, connections, seconds=step, most=most, budget=budget)
    else:
        plan = Plan(
            target,
            connections,
            seconds=step / 2,
            most=most,
            precision=0.2,
            budget=min(budget, 60) / len(mixes),
        )
    measured: dict[str, Measurement] = {}
    interrupted = False
    try:
        with _interruptible(), _server(url, database_url, i_own_it=i_own_it) as server:
            _measure(server, people, mixes, plan, measured, quiet=as_json)
    except KeyboardInterrupt:
        interrupted = True
    show(measured, capacity=capacity, interrupted=interrupted, as_json=as_json)
    if plot is not None and any(measurement.steps for measurement in measured.values()):
        draw(measured["capacity"], f"banyan bench --capacity --mix {mix}", plot, quiet=as_json)
    if interrupted:
        raise CliError("interrupted.", "What is above is what was known by then.", exit_code=INTERRUPTED)


@dataclass(frozen=True, slots=True)
class _Server:
    """machine: looks at its processes. is_remote: load may go to another machine."""

    url: str
    machine: "Machine"
    is_remote: bool = False


@contextmanager
def _server(url: str | None, database_url: str | None, *, i_own_it: bool) -> Iterator[_Server]:
    """The server that is to be measured. Raises CliError."""
    from banyan.capacity.machine import Machine
    from banyan.capacity.own_server import DidNotStart, own_server
    from banyan.cli.bench_report import note

    if url is not None:
        yield _foreign(url.rstrip("/"), i_own_it=i_own_it)
        return
    if database_url is not None and find_spec("asyncpg") is None:
        raise CliError(
            "PostgreSQL needs an extra.", "Install it with: pip install 'banyan-backend[postgres]'"
        )
    try:
        with own_server(database_url) as own:
            if own.is_in_memory:
                note(
                    "The temporary folder lies in memory (tmpfs): creating costs no disk. TMPDIR names another folder."
                )
            yield _Server(own.url, Machine([own.pid], beside=database_url is not None))
    except DidNotStart as error:
        raise CliError(f"the server did not start:\n{error}") from error


def _foreign(url: str, *, i_own_it: bool) -> _Server:
    from banyan.capacity.machine import Machine, listeners
    from banyan.capacity.open_loop import CannotConnect, NotLoopback, Target, address_of

    try:
        target = Target.at(url, [b""])
        address_of(target)
    except ValueError as error:
        raise CliError(f"{error}.", "The load generator speaks plain HTTP.", exit_code=USAGE) from error
    except CannotConnect as error:
        raise CliError(f"{error}.") from error
    except NotLoopback as error:
        if not i_own_it:
            raise CliError(
                f"{error}, and load is sent to this machine only.",
                "If that server is yours, and nobody else's work depends on it, say --i-own-it.",
                exit_code=USAGE,
            ) from error
        return _Server(url, Machine([]), is_remote=True)
    return _Server(url, Machine(listeners(target.port)))


def _measure(
    server: _Server,
    people: int,
    mixes: "Mapping[str, Mix]",
    plan: "Plan",
    measured: "dict[str, Measurement]",
    *,
    quiet: bool,
) -> None:
    """Fills `measured`, so that it holds what is known whenever this ends."""
    from banyan.capacity.json_client import AnswerError
    from banyan.capacity.measure import Measurement, measure
    from banyan.capacity.open_loop import CannotConnect, Target
    from banyan.capacity.people import registered
    from banyan.cli.bench_report import telling

    try:
        with (
            telling(quiet=quiet) as teller,
            registered(server.url, people, teller.registered, teller.left) as (some, good_for),
        ):
            # Tokens are not renewed on the way: the search ends before they do.
            budget = max(1.0, min(plan.budget, good_for / len(mixes) - TOKEN_MARGIN_SECONDS))
            for name, mix in mixes.items():
                measurement = measured[name] = Measurement(replace(plan, budget=budget))
                target = Target.at(server.url, mix.requests(server.url, some), allow_remote=server.is_remote)
                measure(measurement, target, server.machine, server.url, teller.step)
    except AnswerError as error:
        raise CliError(f"the server at {server.url} did not do as asked: {error}.") from error
    except CannotConnect as error:
        raise CliError(f"nobody answers: {error}.") from error


def _seconds(text: str) -> float:
    """`50ms` or `0.05s`. Raises CliError."""
    for unit, factor in (("ms", 0.001), ("s", 1.0)):
        if text.endswith(unit):
            try:
                seconds = float(text.removesuffix(unit)) * factor
            except ValueError:
                break
            if 0 < seconds <= LONGEST_TARGET_SECONDS:
                return seconds
    raise CliError(f"--target-p99 {text!r} is no time such as 50ms or 0.2s, up to 10s.", exit_code=USAGE)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends the measurement as Ctrl-C does: nothing is left behind."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
