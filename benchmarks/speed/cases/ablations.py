"""What is lost when the edge, the coalescer, the caches or Redis are switched off, one at a time."""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.speed.banyan import banyan
from benchmarks.speed.options import Options
from benchmarks.speed.processes import Tree
from benchmarks.speed.row import Row
from benchmarks.speed.subject import Sample, Subject, warm_up
from benchmarks.speed.subject import measure as measure_load
from tests.support.postgres import postgres_server
from tests.support.server import migrated_postgres_url
from tests.support.valkey import new_valkey, url_of

NAME = "ablations"
PROGRAM = "benchmarks.speed.ablated"
METRICS = {
    "requests/s": lambda sample: sample.load.per_second,
    "application CPU µs": lambda sample: sample.application_us,
    "database CPU µs": lambda sample: sample.database_us,
}
# Without the coalescer 64 requests want 20 connections: they are to wait for them, and not to be refused.
PATIENT = {"BANYAN_DATABASE_POOL_WAIT": "10"}


@dataclass(frozen=True, slots=True)
class Ablation:
    """name: of what is switched off, by the setting or in the program. kinds: of the requests that could feel it."""

    name: str
    kinds: Sequence[str]
    settings: Mapping[str, str | None] = field(default_factory=dict)
    part: str | None = None


ON_POSTGRESQL = (
    Ablation("the edge", ("list", "create"), {"BANYAN_EDGE": "false"}),
    Ablation("the short way", ("list",), part="short-way"),
    Ablation("whole answers", ("create",), part="whole-answers"),
    Ablation("the token cache", ("list",), part="token-cache"),
    Ablation("the response cache", ("list",), {"BANYAN_CACHE_MAX_BYTES": "0"}),
    Ablation("Redis", ("list", "create"), {"BANYAN_REDIS_URL": None}),
    Ablation("the coalescer", ("list", "create"), part="coalescer"),
    Ablation("runs of events", ("create",), part="runs"),
)
ON_SQLITE = (
    Ablation("the coalescer", ("create",), part="coalescer"),
    Ablation("batches ahead", ("create",), part="ahead"),
    Ablation("the group commit", ("create",), part="group-commit"),
)


def measure(options: Options) -> Iterator[Row]:
    people = 20 if options.is_quick else 200
    server = postgres_server()
    with tempfile.TemporaryDirectory(prefix="banyan-ablations-") as name, new_valkey(Path(name)) as valkey:
        assert valkey.process is not None
        database = Tree.of(server.pid, valkey.process.pid)
        for number, ablation in enumerate(ON_POSTGRESQL):
            shared = [
                PATIENT
                | {"BANYAN_DATABASE_URL": migrated_postgres_url(), "BANYAN_REDIS_URL": url_of(valkey, which)}
                for which in (0, 1)
            ]
            folder = Path(name) / f"postgresql-{number}"
            yield from _pair(folder, "PostgreSQL", shared, ablation, people, database, options)
            # The servers are gone; what they left would be taken for the next ones'.
            valkey.kill9()
            valkey.start()
            database = Tree.of(server.pid, valkey.process.pid)
        for number, ablation in enumerate(ON_SQLITE):
            folder = Path(name) / f"sqlite-{number}"
            yield from _pair(folder, "SQLite", [{}, {}], ablation, people, None, options)


def _pair(
    folder: Path,
    place: str,
    settings: Sequence[Mapping[str, str]],
    ablation: Ablation,
    people: int,
    database: Tree | None,
    options: Options,
) -> Iterator[Row]:
    folder.mkdir()
    changed = {**settings[1], **ablation.settings}
    without = {key: value for key, value in changed.items() if value is not None}
    program = ("-m", "banyan") if ablation.part is None else ("-m", PROGRAM, ablation.part)
    with ExitStack() as running:
        subjects = [
            running.enter_context(banyan(folder / "whole", settings[0], people, database=database)),
            running.enter_context(
                banyan(folder / "without", without, people, database=database, program=program)
            ),
        ]
        for kind in ablation.kinds:
            yield from _compare(
                f"{kind} ({place}), ablated", kind, f"without {ablation.name}", subjects, options
            )


def _compare(case: str, kind: str, peer: str, subjects: Sequence[Subject], options: Options) -> Iterator[Row]:
    for subject in subjects:
        warm_up(subject, kind)
    rounds: list[tuple[Sample, Sample]] = []
    for _ in range(options.rounds):
        whole, without = (measure_load(subject, kind, options.seconds) for subject in subjects)
        rounds.append((whole, without))
    for metric, value in METRICS.items():
        pairs = [(value(whole), value(without)) for whole, without in rounds]
        if all(None not in pair for pair in pairs):
            yield Row(case, metric, pairs, peer)
    told = [round(sample.application_us) for pair in rounds for sample in pair]
    print(f"   {case} {peer}: CPU µs with and without, in turns: {told}", file=sys.stderr)
