"""The comparisons, in the order in which they run. Each is a module with a docstring of one line, a NAME, and
`measure(options) -> Iterator[Row]`, which fails when a request fails or an answer is wrong."""

from types import ModuleType

from benchmarks.speed.cases import logins, postgresql, sqlite, start, streams

CASES: tuple[ModuleType, ...] = (postgresql, sqlite, streams, logins, start)
