"""What traces cost: one request in a hundred recorded and sent, beside none."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.speed.banyan import banyan
from benchmarks.speed.options import Options
from benchmarks.speed.row import LESS, Goal, Row
from benchmarks.speed.subject import Subject, warm_up
from benchmarks.speed.subject import measure as measure_load
from tests.support.otlp import OtlpReceiver

NAME = "tracing"
SHARE = 0.01
MOST = 1.05
"""Of the CPU that a request costs without traces."""

# A few per cent are less than one measurement is wrong by: many short ones, of which no two neighbours differ by the machine's mood.
ROUNDS, SECONDS = 5, 0.3
"""Times the rounds, and the seconds, that were asked for."""


def measure(options: Options) -> Iterator[Row]:
    people = 20 if options.is_quick else 200
    rounds = options.rounds if options.is_quick else options.rounds * ROUNDS
    with tempfile.TemporaryDirectory(prefix="banyan-tracing-") as name, OtlpReceiver() as receiver:
        traced = {"BANYAN_OTLP_ENDPOINT": receiver.url, "BANYAN_TRACE_SAMPLE": str(SHARE)}
        with (
            banyan(Path(name) / "traced", traced, people) as with_traces,
            banyan(Path(name) / "plain", {}, people) as without,
        ):
            for kind in ("list", "create"):
                for subject in (with_traces, without):
                    warm_up(subject, kind)
                pairs = [_pair(with_traces, without, kind, number, options) for number in range(rounds)]
                case = f"{kind}, {SHARE:.0%} traced"
                yield Row(case, "application CPU µs", pairs, "without traces")
                # By pairs: while rounds go by, the machine changes, and tables grow.
                times = [ours / theirs for ours, theirs in pairs]
                yield Row.alone(case, "CPU by that without traces", times, Goal(LESS, MOST))
        assert receiver.spans, "no trace has arrived"


def _pair(
    with_traces: Subject, without: Subject, kind: str, number: int, options: Options
) -> tuple[float, float]:
    """Application CPU µs of a request, with traces and without; who comes first is the other one each time."""
    order = (with_traces, without) if number % 2 == 0 else (without, with_traces)
    cpu = {one.url: measure_load(one, kind, options.seconds * SECONDS).application_us for one in order}
    return cpu[with_traces.url], cpu[without.url]
