"""The comparisons, in the order in which they run. Each is a module with a docstring of one line, a NAME, and
`measure(options) -> Iterator[Row]`, which fails when a request fails or an answer is wrong."""

from types import ModuleType

from benchmarks.speed.cases import (
    ablations,
    cache,
    growth,
    logins,
    postgresql,
    sqlite,
    start,
    streams,
    tracing,
    workers,
)

CASES: tuple[ModuleType, ...] = (
    postgresql,
    sqlite,
    cache,
    workers,
    growth,
    streams,
    tracing,
    logins,
    start,
    ablations,
)
