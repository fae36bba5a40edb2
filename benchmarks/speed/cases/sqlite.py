"""Banyan in one process on SQLite, beside PocketBase."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.speed.banyan import banyan
from benchmarks.speed.options import Options
from benchmarks.speed.pairs import compare
from benchmarks.speed.pocketbase import NAME as POCKETBASE
from benchmarks.speed.pocketbase import pocketbase
from benchmarks.speed.row import Row

NAME = "sqlite"
# Of the throughput.
GOALS = {"list": 6.0, "create": 3.0}


def measure(options: Options) -> Iterator[Row]:
    people = 50 if options.is_quick else 1000
    with (
        tempfile.TemporaryDirectory(prefix="banyan-speed-") as name,
        banyan(Path(name) / "banyan", {}, people) as ours,
        pocketbase(Path(name) / "pocketbase", people) as theirs,
    ):
        for kind, goal in GOALS.items():
            yield from compare(
                f"{kind} (SQLite)",
                kind,
                ours,
                [theirs],
                rounds=options.rounds,
                seconds=options.seconds,
                goals={POCKETBASE: goal},
            )
