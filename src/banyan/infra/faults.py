"""Fault points: named places at which a test may have the process die, as if the machine had lost its power there.

    after-commit     on the disk, not yet acknowledged
    before-publish   committed, not yet given to the bus
    after-publish    given to the bus, the relay's bookmark not yet moved
    after-send       a notification is with its receiver, the ledger does not know yet
    before-ack       a worker has done its task, the broker does not know yet

Of `banyan promote`, on either side of the commit that decides which database is the true one:

    promote-copying      in the command, some rows are copied
    promote-held         the writes are held
    promote-carried      all is in PostgreSQL, and SQLite is still the true one
    promote-committed    PostgreSQL is the true one, and the server has not yet changed over
    rollback-fenced      PostgreSQL refuses writes, and is still the true one
    rollback-carried     all is in SQLite, not yet committed
    rollback-committed   SQLite is the true one again, and the server has not yet changed over

`BANYAN_FAULT=after-commit:40` kills the process, with SIGKILL, the 40th time that it comes by.
"""

import os
import signal

POINTS = ("after-commit", "before-publish", "after-publish", "after-send", "before-ack")
PROMOTION_POINTS = (
    "promote-copying",
    "promote-held",
    "promote-carried",
    "promote-committed",
    "rollback-fenced",
    "rollback-carried",
    "rollback-committed",
)

_armed: dict[str, int] = {}


def parse(fault: str) -> tuple[str, int]:
    """Point and count of `POINT` or `POINT:COUNT`. Raises ValueError for anything else."""
    point, colon, count = fault.partition(":")
    known = (*POINTS, *PROMOTION_POINTS)
    if point not in known or (colon and not (count.isascii() and count.isdigit() and int(count) > 0)):
        raise ValueError(f"must be one of {', '.join(known)}, with an optional :COUNT")
    return point, int(count or 1)


def arm(fault: str) -> None:
    """Let the process die at a point; see `parse`."""
    point, count = parse(fault)
    _armed[point] = count


def fault_point(point: str) -> None:
    """Die here when a test has asked for it; nothing otherwise."""
    if not _armed or point not in _armed:
        return
    _armed[point] -= 1
    if _armed[point] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
