"""What traces cost: one request in a hundred recorded and sent, beside none."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.speed.banyan import banyan
from benchmarks.speed.options import Options
from benchmarks.speed.row import LESS, Goal, Row
from benchmarks.speed.subject import measure as measure_load
from benchmarks.speed.subject import warm_up
from tests.support.otlp import OtlpReceiver

NAME = "tracing"
SHARE = 0.01
MOST = 1.05
"""Of the CPU that a request costs without traces."""


def measure(options: Options) -> Iterator[Row]:
    people = 20 if options.is_quick else 200
    with tempfile.TemporaryDirectory(prefix="banyan-tracing-") as name, OtlpReceiver() as receiver:
        traced = {"BANYAN_OTLP_ENDPOINT": receiver.url, "BANYAN_TRACE_SAMPLE": str(SHARE)}
        with (
            banyan(Path(name) / "traced", traced, people) as with_traces,
            banyan(Path(name) / "plain", {}, people) as without,
        ):
            for kind in ("list", "create"):
                for subject in (with_traces, without):
                    warm_up(subject, kind)
                pairs = []
                for _ in range(options.rounds):
                    samples = [measure_load(one, kind, options.seconds) for one in (with_traces, without)]
                    pairs.append((samples[0].application_us, samples[1].application_us))
                yield Row(
                    f"{kind}, {SHARE:.0%} traced",
                    "application CPU µs",
                    pairs,
                    "without traces",
                    Goal(LESS, MOST),
                )
        assert receiver.spans, "no trace has arrived"
