"""The operations of the API, as its OpenAPI document tells them."""

import functools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import BaseRoute

from banyan.bootstrap import Application, asgi, build
from banyan.settings import Settings

METHODS = ("get", "put", "post", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the document. template: its path, with names of parameters in braces."""

    method: str
    template: str
    definition: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def needs_token(self) -> bool:
        return bool(self.definition.get("security"))

    @property
    def path_parameters(self) -> list[str]:
        return [p["name"] for p in self.definition.get("parameters", []) if p["in"] == "path"]

    @property
    def media_type(self) -> str | None:
        """The type of its body; None when it takes none."""
        return next(iter(self.definition.get("requestBody", {}).get("content", {})), None)

    @property
    def example(self) -> Any:
        """The first documented example of its body; None when there is none."""
        if self.media_type is None:
            return None
        content = self.definition["requestBody"]["content"][self.media_type]
        if "examples" in content:
            return next(iter(content["examples"].values()))["value"]
        return _example(content["schema"])


def _example(schema: dict[str, Any]) -> Any:
    if "$ref" in schema:
        schema = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "examples" in schema:
        return schema["examples"][0]
    for choice in schema.get("anyOf", []):
        if (found := _example(choice)) is not None:
            return found
    return None


@functools.cache
def _built() -> tuple[Application, FastAPI]:
    """The application as it is composed, without a database and without a server."""
    folder = Path(tempfile.mkdtemp(prefix="banyan-openapi-"))
    application = build(Settings(data_dir=folder))  # pyright: ignore[reportCallIssue]  # the rest has defaults
    app: Any = asgi(application)
    while not isinstance(app, FastAPI):
        app = app._app if hasattr(app, "_app") else app.app
    return application, app


@functools.cache
def document() -> dict[str, Any]:
    return _built()[1].openapi()


@functools.cache
def operations() -> list[Operation]:
    return [
        Operation(method.upper(), path, item[method])
        for path, item in document()["paths"].items()
        for method in METHODS
        if method in item
    ]


def api_routes() -> Iterator[APIRoute | APIWebSocketRoute]:
    """Every path operation and socket that is mounted."""
    yield from (route for route in _all_routes() if isinstance(route, APIRoute | APIWebSocketRoute))


def other_routes() -> Iterator[BaseRoute]:
    """What is mounted beside them: static files and the document."""
    yield from (route for route in _all_routes() if not isinstance(route, APIRoute | APIWebSocketRoute))


def _all_routes() -> Iterator[BaseRoute]:
    pending = list(_built()[1].routes)
    while pending:
        route = pending.pop(0)
        inner = getattr(route, "original_router", None) or getattr(route, "router", None)
        if not isinstance(route, APIRoute | APIWebSocketRoute) and inner is not None:
            pending = [*inner.routes, *pending]
        else:
            yield route
