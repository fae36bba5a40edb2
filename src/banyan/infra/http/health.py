"""Health: is the process alive, may it be sent requests, and what is the matter with it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from fastapi import APIRouter, Response
from pydantic import Field

from banyan import __version__
from banyan.infra.http.access import Public
from banyan.infra.http.fields import View
from banyan.infra.http.route import problems, router
from banyan.infra.telemetry.log import get_logger
from banyan.infra.telemetry.metrics import Metrics
from banyan.kernel.errors import Unavailable

log = get_logger(__name__)

# Probes and scrapes come often, from one address, must be answered whatever else goes on, and say nothing of people.
FOR_MACHINES = frozenset({"/livez", "/readyz", "/health", "/metrics"})
Check = Callable[[], Awaitable[None]]
CHECK_TIMEOUT_SECONDS = 1.0


class Health(View):
    status: str = Field(examples=["ok"], description="`ok`, `degraded` or `stopping`.")
    version: str = Field(examples=["0.1.0"])
    checks: dict[str, str] = Field(
        examples=[{"database": "ok"}], description="Each part: `ok`, or what is the matter."
    )


class Readiness:
    """Whether this process should be sent requests.

    checks: parts that it cannot do without. accelerators: parts without which it is slower, and right all the same.
    """

    def __init__(self, checks: Mapping[str, Check], accelerators: Mapping[str, Check] | None = None) -> None:
        self._needed = frozenset(checks)
        self._checks = {**checks, **(accelerators or {})}
        self.stopping = False

    async def refusal(self) -> str | None:
        """Why it should be sent no requests: `stopping` or `degraded`; None when it should."""
        report = await self.report(self._needed)
        return None if report.status == "ok" else report.status

    async def report(self, names: Collection[str] | None = None) -> Health:
        """How these parts are; all of them, unless named."""
        names = [name for name in self._checks if names is None or name in names]
        results = await asyncio.gather(*(self._run(self._checks[name]) for name in names))
        checks = dict(zip(names, results, strict=True))
        healthy = all(result == "ok" for result in results)
        status = "stopping" if self.stopping else "ok" if healthy else "degraded"
        return Health(status=status, version=__version__, checks=checks)

    async def _run(self, check: Check) -> str:
        try:
            await asyncio.wait_for(check(), CHECK_TIMEOUT_SECONDS)
        except TimeoutError:
            return f"no answer within {CHECK_TIMEOUT_SECONDS:g} s"
        except Exception as error:
            log.warning("health_check_failed", error=type(error).__name__)
            return type(error).__name__
        return "ok"


def health_router(readiness: Readiness, metrics: Metrics) -> APIRouter:
    api = router("health")

    @api.get("/health", dependencies=[Public], summary="How it is", responses=problems())
    async def health() -> Health:
        """A friendly summary, always 200 while the process can answer."""
        return await readiness.report()

    @api.get(
        "/livez",
        dependencies=[Public],
        summary="Is the process alive",
        response_class=Response,
        responses=_text,
    )
    async def livez() -> Response:
        return Response("ok\n", media_type="text/plain")

    @api.get(
        "/readyz",
        dependencies=[Public],
        summary="May it be sent requests",
        response_class=Response,
        responses={**problems(503), **_text},
    )
    async def readyz() -> Response:
        """503 from the moment a shutdown begins, and while a part that it cannot do without is down."""
        refusal = await readiness.refusal()
        if refusal is not None:
            raise Unavailable(f"This process is {refusal}.")
        return Response("ok\n", media_type="text/plain")

    @api.get(
        "/metrics",
        dependencies=[Public],
        summary="Prometheus metrics",
        response_class=Response,
        responses=_text,
    )
    async def metrics_page() -> Response:
        return Response(await metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return api


_text: dict[int | str, dict[str, object]] = {
    200: {"description": "Plain text", "content": {"text/plain": {}}}
}
