"""Whether a process records traces, and as whom."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from banyan.settings import Settings


def service_name(target: str) -> str:
    """The `service.name` of a process's spans and log lines."""
    return "banyan" if target == "all" else f"banyan-{target}"


def recording(settings: Settings, target: str) -> AbstractAsyncContextManager[None]:
    """Spans are recorded inside, when there is somewhere to send them. To be entered after forking."""
    if settings.otlp_endpoint is None:
        return _nothing()
    # Imported here: OpenTelemetry is an extra, and takes a fifth of a second.
    from banyan.infra.telemetry.otlp import sending

    return sending(settings.otlp_endpoint, service_name(target), settings.env)


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield
