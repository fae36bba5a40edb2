"""The traces of what waits here for a moment, in a table that has no column for them."""

from banyan.infra.telemetry.trace import current_traceparent, is_recording

MOST_KEPT = 1024


class KeptTraces:
    """Which trace a thing belongs to, for the process that wrote it down and will most likely go on with it.

    Only recorded ones, and the newest: after a restart, or in another process, what is gone on with belongs to no trace.
    """

    def __init__(self) -> None:
        self._traces: dict[str, str] = {}

    def keep(self, key: str) -> None:
        """`key` belongs to the present trace."""
        trace = current_traceparent()
        if trace is None or not is_recording():
            return
        self._traces[key] = trace
        if len(self._traces) > MOST_KEPT:
            del self._traces[next(iter(self._traces))]

    def of(self, key: str) -> str | None:
        return self._traces.get(key)
