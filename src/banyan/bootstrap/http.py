"""An application over HTTP: the edge, and behind it FastAPI."""

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from banyan import __version__
from banyan.bootstrap.application import Application
from banyan.bootstrap.composition import build
from banyan.infra.auth.hashing_pool import HashingPool
from banyan.infra.docs_ui import docs_routes
from banyan.infra.http.access import Gate
from banyan.infra.http.client import ClientAddress
from banyan.infra.http.edge import Edge
from banyan.infra.http.health import health_router
from banyan.infra.http.hot import hot_routes
from banyan.infra.http.internal_streams import stream_router
from banyan.infra.http.lane import Lane, lane_routes
from banyan.infra.http.live import live_router
from banyan.infra.http.openapi import describe
from banyan.infra.http.origins import CORS_EXPOSED, CORS_HEADERS, CORS_MAX_AGE_SECONDS, CORS_METHODS
from banyan.infra.http.problems import install_problem_handlers
from banyan.infra.http.route import BanyanRoute
from banyan.infra.http.traced import Traced
from banyan.infra.http.web import web_routes
from banyan.infra.resilience.rate_limit import Rate
from banyan.infra.telemetry.sampling import Sampler


def asgi(application: Application) -> ASGIApp:
    """The application over HTTP. It answers while `application.running()`."""
    infra, settings, target = application.infra, application.infra.settings, application.target
    app = FastAPI(
        title="Banyan",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if target.web else None,
        redirect_slashes=False,
    )
    app.router.route_class = BanyanRoute
    install_problem_handlers(app)
    routers = public_routers(application)
    # Not `include_router`: it compiles each path anew, and would lose the optional slash of BanyanRoute.
    for router in [*routers, *_internal_routers(application)]:
        app.router.routes.extend(router.routes)
    if target.web:
        app.router.routes.extend(docs_routes())
        app.router.routes.extend(web_routes(settings.trace_sample if settings.otlp_endpoint else None))
        describe(app, lambda: _documented(application))

    hot = hot_routes(route for router in routers for route in router.routes) if settings.edge else {}
    sampler = None if settings.otlp_endpoint is None else Sampler(settings.trace_sample)
    edge = Edge(
        app,
        hot=hot,
        gate=Gate(infra.token_cache, infra.revocations, infra.limiter, Rate.parse(settings.rate_limit_user)),
        limiter=infra.limiter,
        address_rate=Rate.parse(settings.rate_limit_address),
        max_body_bytes=settings.max_body_bytes,
        origins=infra.origins,
        addresses=ClientAddress(settings.trusted_proxies),
        public_url=settings.public_url,
        metrics=infra.metrics.http,
        lane=_lane(lane_routes(route for router in routers for route in router.routes), infra.passwords.pool),
        sampler=sampler,
    )
    served: ASGIApp = edge if sampler is None else Traced(edge, hot=hot, sampler=sampler)
    if not settings.allowed_origins:
        return served
    return CORSMiddleware(
        served,
        allow_origins=list(settings.allowed_origins),
        allow_methods=CORS_METHODS,
        allow_headers=CORS_HEADERS,
        expose_headers=CORS_EXPOSED,
        allow_credentials=True,
        max_age=CORS_MAX_AGE_SECONDS,
    )


def _lane(routes: frozenset[tuple[str, str]], pool: HashingPool) -> Lane:
    return Lane(
        routes,
        pool.refuse_beyond,
        # As many again as are hashed, and one: before the hash or after it, so that no thread has to wait for them.
        places=2 * pool.threads + 1,
        patience_seconds=pool.max_wait_seconds,
        late=pool.late,
    )


def public_routers(application: Application) -> Sequence[APIRouter]:
    """What people may call, of the modules and of the process itself."""
    routers = [router for module in application.modules for router in module.routers]
    if application.target.live and application.users is not None:
        routers.append(
            live_router(application.infra.live, application.users.redeem_ticket, application.infra.origins)
        )
    routers.append(health_router(application.readiness, application.infra.metrics))
    return routers


def _internal_routers(application: Application) -> Sequence[APIRouter]:
    """What other services may call."""
    tokens = application.infra.service_tokens
    routers = [router for module in application.modules for router in module.internal]
    return routers + [stream_router(name, stream, tokens) for name, stream in application.streams.items()]


def _documented(application: Application) -> Sequence[BaseRoute]:
    """The whole API, whichever part of it this process serves."""
    whole = application
    if not application.target.live:
        whole = build(application.infra.settings, "all")
    return [route for router in public_routers(whole) for route in router.routes]
