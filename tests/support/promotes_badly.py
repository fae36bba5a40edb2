"""Broken twins of the server, each with one fault in its cut-over. The promotion's tests must find each of them out.

Run it like `python -m banyan`, with the name of the fault in PLANTED.
"""

import os
from typing import Any

from banyan.cli import main
from banyan.infra.db.switchable import SwitchableDatabase
from banyan.promotion import cut_over
from banyan.promotion.postgres_side import PostgresSide


async def forget_the_last(*_: Any) -> int:
    """The changes that came after the last round of the command stay behind."""
    return 0


async def let_through(self: SwitchableDatabase, work: Any, *args: Any, **kwargs: Any) -> Any:
    """Writes go on while the last changes are carried over."""
    return await self.present.transact(work, *args, **kwargs)


async def count_anew(self: PostgresSide, counters: Any) -> None:
    """The events' sequence begins at 1 again."""


def plant(fault: str) -> None:
    if fault == "no-last-changes":
        cut_over.carry = forget_the_last
    elif fault == "not-held":
        SwitchableDatabase.transact = let_through
    elif fault == "sequence-restarted":
        PostgresSide.set_counters = count_anew
    else:
        raise ValueError(fault)


if __name__ == "__main__":
    plant(os.environ["PLANTED"])
    main()
