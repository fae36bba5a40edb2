"""Banyan without one of the things that make it quick, to see what that one brings: `ablated.py PART serve`, like `banyan serve`.

What has a setting is switched off by it (cases/ablations.py); this is for what nobody should ever switch off, and so has none.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from banyan.cli import main


def without_coalescer() -> None:
    """Each item is a batch of its own, and waits for those before it."""
    from banyan.infra.db.coalescer import Coalescer

    made = Coalescer.__init__

    def one_by_one(self: Any, run_batch: Any, **options: Any) -> None:
        options["max_items"] = 1
        made(self, run_batch, **options)

    Coalescer.__init__ = one_by_one


def without_ahead() -> None:
    """On SQLite a batch of the coalescer is made when the one before it has been answered."""
    from banyan.infra.db.coalescer import Coalescer

    made = Coalescer.__init__

    def in_turn(self: Any, run_batch: Any, **options: Any) -> None:
        options.pop("ahead", None)
        made(self, run_batch, **options)

    Coalescer.__init__ = in_turn


def without_group_commit() -> None:
    """On SQLite each unit of work has a commit, and so an fsync, of its own."""
    from banyan.infra.db import sqlite

    sqlite.MAX_UNITS_PER_COMMIT = 1


def without_token_cache() -> None:
    """The signature of the token is checked at every request."""
    from banyan.infra.auth.token_cache import VerifiedTokenCache

    VerifiedTokenCache.verify = VerifiedTokenCache.known = lambda self, token: self._verifier.verify(token)


def without_whole_answers() -> None:
    """uvicorn is told head and body of every answer one after another, but for those on the short way."""
    from banyan.infra.http import edge

    edge.write_whole = lambda *_: False


def without_short_way() -> None:
    """Every request has uvicorn's cycle and task, and goes through the edge."""
    from banyan.infra.http.short_way import ShortWay

    ShortWay.admit = lambda *_: None


def without_runs() -> None:
    """Projections apply each event by statements of its own."""
    from banyan.infra.db.transaction import Transaction
    from banyan.infra.streams.consumers import Consumer
    from banyan.kernel.events import Event

    async def apply(self: Consumer, tx: Transaction, wanted: Sequence[Event]) -> None:
        for event in wanted:
            await self.handle(tx, event)

    Consumer.apply = apply


PARTS: dict[str, Callable[[], None]] = {
    "coalescer": without_coalescer,
    "ahead": without_ahead,
    "group-commit": without_group_commit,
    "token-cache": without_token_cache,
    "whole-answers": without_whole_answers,
    "short-way": without_short_way,
    "runs": without_runs,
}

if __name__ == "__main__":
    PARTS[sys.argv.pop(1)]()
    main()
