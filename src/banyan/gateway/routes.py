"""The route table: which service answers which path, read from the routers that the modules themselves declare.

A route that a module adds is in the table by itself. Routes below `/internal/` are spoken between services; they are not
in it, so the gateway has no way to them.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from secrets import token_urlsafe

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import SecretStr
from starlette.convertors import CONVERTOR_TYPES
from starlette.routing import BaseRoute, Mount

from banyan.bootstrap import build
from banyan.infra.docs_ui import docs_routes
from banyan.infra.http.access import signed_in
from banyan.infra.http.health import Readiness, health_router
from banyan.infra.http.live import live_router
from banyan.infra.http.web import web_routes
from banyan.infra.telemetry.metrics import Metrics
from banyan.settings import Settings
from banyan.targets import MODULES, TARGETS

INTERNAL = "/internal"
# What belongs to no module is served by the service with the web application, live updates by the one that has them.
FRONT = next(module for module in MODULES if TARGETS[module].web)
LIVE = next(module for module in MODULES if TARGETS[module].live)
STREAMS = frozenset({"/events", "/ws"})

_PARAMETER = re.compile(r"\{\w+(?::(\w+))?\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of a path.

    needs_token: it is answered only to a signed-in user. repeatable: with an `Idempotency-Key` it has one effect, however
    often it is sent.
    """

    method: str
    needs_token: bool = False
    repeatable: bool = False


@dataclass(frozen=True, slots=True)
class Path:
    """One path and the service that answers it, with and without a slash at its end, by whatever method.

    template: as its route declares it, `/todos/{todo_id}`. below: everything below it belongs to it too (a folder of files).
    """

    template: str
    service: str
    operations: tuple[Operation, ...]
    below: bool = False
    unlimited: bool = False

    @property
    def streams(self) -> bool:
        """Whether its answers stay open until somebody leaves."""
        return self.template in STREAMS

    @property
    def is_exact(self) -> bool:
        return "{" not in self.template

    @property
    def pattern(self) -> str:
        """A regular expression (RE2) for the whole path, without the slash at its end."""
        parts = []
        end = 0
        for parameter in _PARAMETER.finditer(self.template):
            parts.append(re.escape(self.template[end : parameter.start()]))
            parts.append(CONVERTOR_TYPES[parameter[1] or "str"].regex)
            end = parameter.end()
        return "".join([*parts, re.escape(self.template[end:])])


class AmbiguousPath(ValueError):
    """Two services declare the same path."""


@dataclass(frozen=True, slots=True)
class RouteTable:
    """paths: those that are spelled out before those with parameters. issuer: the `iss` of the tokens that they ask for."""

    paths: tuple[Path, ...]
    issuer: str


def route_table(settings: Settings) -> RouteTable:
    """What the services of this version serve. Opens nothing and writes nothing. Raises AmbiguousPath."""
    # The application is built for its routes alone: it gets no database to open and no secret to make.
    bare = {
        "secret_key": SecretStr(token_urlsafe(48)),
        "redis_url": None,
        "kafka_servers": (),
        "amqp_url": None,
        "database_url": None,
        **{f"{module}_database_url": None for module in MODULES},
    }
    application = build(settings.model_copy(update=bare), "all")
    infra, users = application.infra, application.users
    assert users is not None  # served here, as all modules are
    declared: list[tuple[str, Sequence[BaseRoute]]] = [
        (module.name, router.routes) for module in application.modules for router in module.routers
    ]
    declared.append((LIVE, live_router(infra.live, users.redeem_ticket, infra.origins).routes))
    health = health_router(Readiness({}), Metrics()).routes
    front = [*docs_routes(), *web_routes()]
    paths = [
        *_paths(declared),
        *_paths([(FRONT, health)], unlimited=True),
        *_paths([(FRONT, front)]),
        Path("/openapi.json", FRONT, (Operation("GET"),)),
    ]
    _refuse_ambiguous(paths)
    return RouteTable(tuple(sorted(paths, key=_precedence)), infra.token_issuer.issuer)


def _paths(declared: Iterable[tuple[str, Sequence[BaseRoute]]], *, unlimited: bool = False) -> list[Path]:
    found: dict[tuple[str, str], Path] = {}
    for service, routes in declared:
        for route in routes:
            template = getattr(route, "path", "").rstrip("/") or "/"
            if template == INTERNAL or template.startswith(INTERNAL + "/"):
                continue
            known = found.get((template, service))
            operations = (*(known.operations if known else ()), *_operations(route))
            found[template, service] = Path(
                template, service, operations, below=isinstance(route, Mount), unlimited=unlimited
            )
    return list(found.values())


def _operations(route: BaseRoute) -> list[Operation]:
    if isinstance(route, APIRoute):
        needs_token = any(dependant.call is signed_in for dependant in _all(route.dependant))
        repeatable = any(
            parameter.alias.lower() == "idempotency-key"
            for dependant in _all(route.dependant)
            for parameter in dependant.header_params
        )
        return [Operation(method, needs_token, repeatable) for method in sorted(route.methods or ())]
    # Files, and the socket, which a ticket or a token opens.
    methods: Iterable[str] = getattr(route, "methods", None) or {"GET"}
    return [Operation(method) for method in sorted(set(methods) - {"HEAD"})]


def _all(dependant: Dependant) -> Iterable[Dependant]:
    yield dependant
    for inner in dependant.dependencies:
        yield from _all(inner)


def _refuse_ambiguous(paths: Sequence[Path]) -> None:
    owners: dict[str, str] = {}
    for path in paths:
        # What a parameter is called makes no difference to who answers.
        owner = owners.setdefault(path.pattern, path.service)
        if owner != path.service:
            raise AmbiguousPath(f"{path.template} is declared by {owner} and by {path.service}")


def _precedence(path: Path) -> tuple[bool, bool, str]:
    """The path that is spelled out wins over the one with a parameter, and both over a folder."""
    return path.below, not path.is_exact, path.template
