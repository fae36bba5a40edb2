"""The scheduled function: what the loops of a server would have done since it ran last.

Events to their consumers, retries, reminders, deliveries, mails, answers to requests for new passwords, and what has run out.
Each of them in turns that take what is due (infra/turns.py), until nothing is left or the time gets short. Two that run at
once do the same work twice, and no harm: it is claimed, or noted, in the database.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from banyan.aws_lambda.environment import MARGIN_SECONDS, Context, Environment, seconds_left
from banyan.infra.resilience.deadline import DeadlineExceeded, within
from banyan.infra.telemetry.log import get_logger
from banyan.infra.turns import WorkedOff, work_off

log = get_logger(__name__)

# What a turn may take besides its longest call of somebody else's server: claiming it, and noting what became of it.
TURN_MARGIN_SECONDS = 3.0


class TurnsFailed(Exception):
    """Loops of this invocation failed; Lambda counts it as an error. The others have done their work."""


class TooShort(Exception):
    """The function's time-out leaves no time for a turn."""


def scheduled_function(environment: Environment) -> Callable[[Any, Context], dict[str, Any]]:
    """The handler. Returns what was done: `{"done": {loop: count}, "finished": whether nothing was left}`."""
    settings = environment.application.infra.settings
    longest_turn = settings.webhook_timeout.total_seconds() + TURN_MARGIN_SECONDS

    def relay(_event: Any, context: Context) -> dict[str, Any]:
        if seconds_left(context) < longest_turn + MARGIN_SECONDS:
            raise TooShort(
                f"It has {seconds_left(context):.0f} s left and needs more than {longest_turn + MARGIN_SECONDS:.0f} for a turn:"
                " raise the function's time-out."
            )
        result = environment.run(_work(environment, context, longest_turn))
        log.info("turns_taken", finished=result.finished, failed=result.failed, **result.done)
        if result.failed:
            raise TurnsFailed(", ".join(result.failed))
        return {"done": result.done, "finished": result.finished}

    return relay


async def _work(environment: Environment, context: Context, longest_turn: float) -> WorkedOff:
    """No turn begins that might not end in time. One that takes longer all the same is cut off, as a crash would do it: what
    it had claimed comes again when the lease is over."""
    result = WorkedOff()
    try:
        async with within(seconds_left(context) - MARGIN_SECONDS):
            await environment.ready()
            result = await work_off(
                environment.application.loops, has_time=lambda: seconds_left(context) > longest_turn
            )
    except DeadlineExceeded:
        log.warning("turn_cut_off")
    finally:
        await asyncio.shield(environment.settle(seconds_left(context) - MARGIN_SECONDS / 2))
    return result
