"""Banyan in one process on SQLite, beside PocketBase."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.speed.banyan import banyan
from benchmarks.speed.options import Options
from benchmarks.speed.pairs import Comparison, compare
from benchmarks.speed.pocketbase import pocketbase
from benchmarks.speed.row import Row

NAME = "sqlite"
LISTED = Comparison("list (SQLite)", "list", {"PocketBase": 6.0})
CREATED = Comparison("create (SQLite)", "create", {"PocketBase": 3.0})


def measure(options: Options) -> Iterator[Row]:
    people = 50 if options.is_quick else 1000
    with (
        tempfile.TemporaryDirectory(prefix="banyan-speed-") as name,
        banyan(Path(name) / "banyan", {}, people) as ours,
        pocketbase(Path(name) / "pocketbase", people) as theirs,
    ):
        for wanted in (LISTED, CREATED):
            yield from compare(wanted, ours, [theirs], options)
