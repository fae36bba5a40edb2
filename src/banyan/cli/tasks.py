"""`banyan tasks`: what waits for workers, and what they gave up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from banyan.cli.problems import CliError

if TYPE_CHECKING:
    from banyan.infra.tasks.protocol import TaskBroker

commands = typer.Typer(
    help="See what waits for workers, and look after the tasks that they gave up.",
    no_args_is_help=True,
    epilog="""
[bold]Examples[/bold]
  banyan tasks status        how much waits in each queue, and how many workers take from it
  banyan tasks dead          what was given up, and why
  banyan tasks redrive       let all of it be done again, when the reason is mended
""",
)

T = TypeVar("T")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts, a line for each thing.")]


@commands.command()
def status(as_json: AsJson = False) -> None:
    """Say how much waits in each queue."""
    from dataclasses import asdict

    from banyan.cli.console import print_json, print_table

    queues = _ask(lambda broker: broker.status())
    if as_json:
        for queue in queues:
            print_json(asdict(queue))
        return
    rows = [(queue.name, queue.waiting, queue.consumers) for queue in queues]
    print_table(("QUEUE", "WAITING", "WORKERS"), rows, empty="There are no queues.")


@commands.command()
def dead(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the tasks that were given up, the longest there first. They stay where they are."""
    from dataclasses import asdict

    from banyan.cli.console import print_json, print_table

    found = _ask(lambda broker: broker.dead_tasks(limit))
    if as_json:
        for one in found:
            print_json(asdict(one))
        return
    rows = [(one.id, one.kind, one.tries, one.error, one.user_id) for one in found]
    print_table(("TASK", "KIND", "TRIES", "ERROR", "USER"), rows, empty="No task was given up.")


@commands.command()
def redrive(
    task: Annotated[
        list[str] | None, typer.Argument(help="Ids of tasks; all of them without.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let tasks that were given up be done again, with all their tries."""
    from banyan.cli.console import print_json, say

    count = _ask(lambda broker: broker.redrive(task or None))
    if as_json:
        print_json({"redriven": count})
    else:
        say(f"{count} tasks will be done again." if count else "There is no such task.")


@commands.command("purge-dead")
def purge_dead(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, as_json: AsJson = False
) -> None:
    """Forget every task that was given up. What they were to do will not be done."""
    from banyan.cli.console import print_json, say

    if not yes:
        typer.confirm("Forget all tasks that were given up?", abort=True)
    count = _ask(lambda broker: broker.purge_dead())
    if as_json:
        print_json({"purged": count})
    else:
        say(f"{count} tasks are forgotten.")


def _ask(work: "Callable[[TaskBroker], Awaitable[T]]") -> T:
    from banyan.bootstrap.backends import task_broker
    from banyan.cli.runtime import load_settings
    from banyan.infra.telemetry.log import configure_logging
    from banyan.kernel.errors import Unavailable

    configure_logging("ERROR", as_json=False)
    settings = load_settings()

    async def inside() -> T:
        broker = task_broker(settings)
        if broker is None:
            raise CliError(
                "BANYAN_AMQP_URL is not set: there is no queue of tasks.",
                "Without RabbitMQ the serving process does its tasks itself; see `banyan events parked` and `banyan config`.",
            )
        try:
            return await work(broker)
        except Unavailable as error:
            raise CliError(
                f"RabbitMQ does not answer ({error.facts.get('reason', error.code)}).",
                "Look whether it runs, and whether BANYAN_AMQP_URL names it rightly.",
            ) from error
        finally:
            await broker.close()

    return asyncio.run(inside())
