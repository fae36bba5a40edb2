"""Turns: the loops' work in a process that does not stay, such as a scheduled function.

Each loop that has a `turn` takes it, in rounds, until a whole round found nothing to do or the time is up. What one turn
leaves for another (the relay makes a notification, which then is to be delivered) comes in the next round.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from banyan.infra.loops import Loop
from banyan.infra.telemetry.log import get_logger

log = get_logger(__name__)


@dataclass(slots=True)
class WorkedOff:
    """done: how much each loop did. failed: the loops whose turn raised. finished: nothing was left, of the others."""

    done: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    finished: bool = False


async def work_off(loops: Sequence[Loop], *, has_time: Callable[[], bool]) -> WorkedOff:
    """Let the loops take turns. has_time: asked before each turn.

    A turn that raises is logged, and that loop has no further one: it keeps no other from its work. Loops of one name (the
    relays of several databases) are counted together.
    """
    result = WorkedOff()
    while True:
        did = 0
        for loop in loops:
            if loop.turn is None or loop.name in result.failed:
                continue
            if not has_time():
                return result
            try:
                count = await loop.turn()
            except Exception as error:
                log.error("turn_failed", loop=loop.name, error=type(error).__name__, exc_info=True)
                result.failed.append(loop.name)
                continue
            did += count
            result.done[loop.name] = result.done.get(loop.name, 0) + count
        if did == 0:
            result.finished = True
            return result
