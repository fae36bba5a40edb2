"""The route table: everything that people can ask for, each with one service that answers it."""

import re
from dataclasses import replace
from pathlib import Path as FilePath

import httpx
import pytest
from fastapi import APIRouter

from banyan.bootstrap import asgi, build
from banyan.gateway import routes
from banyan.gateway.routes import AmbiguousPath, Operation, Path, RouteTable, route_table
from banyan.infra.docs_ui import docs_routes
from banyan.infra.http.web import web_routes
from banyan.settings import Settings

OWNERS = {
    "/": "users",
    "/docs": "users",
    "/openapi.json": "users",
    "/health": "users",
    "/.well-known/jwks.json": "users",
    "/users/me": "users",
    "/admin/users": "users",
    "/auth/login": "users",
    "/todos": "todos",
    "/todos/{todo_id}/history": "todos",
    "/lists/{list_id}": "todos",
    "/notify/{user_id}": "notifications",
    "/notifications/unread_count": "notifications",
    "/events": "notifications",
    "/ws": "notifications",
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data") / "untouched")  # pyright: ignore[reportCallIssue]


@pytest.fixture(scope="module")
def table(settings: Settings) -> RouteTable:
    return route_table(settings)


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Path → methods, as the OpenAPI document of a whole Banyan tells it."""
    import asyncio

    settings = Settings(data_dir=tmp_path_factory.mktemp("documented"))  # pyright: ignore[reportCallIssue]

    async def ask() -> dict[str, set[str]]:
        transport = httpx.ASGITransport(asgi(build(settings)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            document = (await client.get("/openapi.json")).json()
        return {
            path.rstrip("/") or "/": {method.upper() for method in operations}
            for path, operations in document["paths"].items()
        }

    return asyncio.run(ask())


def services_of(table: RouteTable, address: str) -> set[str]:
    return {path.service for path in table.paths if re.fullmatch(path.pattern + "/?", address)}


def unrouted(table: RouteTable, documented: dict[str, set[str]]) -> list[str]:
    """What the document tells of and the table does not, or not with one service."""
    wrong = []
    for template, methods in documented.items():
        if len(services_of(table, re.sub(r"\{\w+\}", "01a1", template))) != 1:
            wrong.append(template)
            continue
        known = {
            method.method for path in table.paths if path.template == template for method in path.operations
        }
        if known != methods:
            wrong.append(template)
    return wrong


def test_every_documented_operation_is_routed_to_one_service(
    table: RouteTable, documented: dict[str, set[str]]
) -> None:
    assert len(documented) > 30
    assert unrouted(table, documented) == []


def test_a_path_that_is_left_out_is_found(table: RouteTable, documented: dict[str, set[str]]) -> None:
    """The test above can fail."""
    without = RouteTable(tuple(path for path in table.paths if path.template != "/lists"), table.issuer)
    assert unrouted(without, documented) == ["/lists"]
    one_method_less = [
        replace(path, operations=path.operations[1:]) if path.template == "/todos" else path
        for path in table.paths
    ]
    assert unrouted(RouteTable(tuple(one_method_less), table.issuer), documented) == ["/todos"]


@pytest.mark.parametrize(("template", "service"), OWNERS.items())
def test_services_own_their_paths(table: RouteTable, template: str, service: str) -> None:
    assert {path.service for path in table.paths if path.template == template} == {service}


def test_pages_and_files_are_routed(table: RouteTable) -> None:
    templates = {path.template: path for path in table.paths}
    for route in [*docs_routes(), *web_routes()]:
        template = getattr(route, "path", "").rstrip("/") or "/"
        assert templates[template].service == "users"
    assert templates["/static"].below
    assert templates["/docs/assets"].below


def test_what_services_say_to_each_other_is_not_in_it(table: RouteTable, tmp_path: FilePath) -> None:
    assert [path.template for path in table.paths if path.template.startswith("/internal")] == []
    spoken = [
        route
        for module in build(Settings(data_dir=tmp_path)).modules  # pyright: ignore[reportCallIssue]
        for router in module.internal
        for route in router.routes
    ]
    assert spoken, "there is something to leave out"


def test_a_route_that_a_module_adds_is_in_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_one_more(settings: Settings, target: str):
        application = build(settings, target)
        added = APIRouter()
        added.add_api_route("/todos/{todo_id}/pictures/{name:path}", lambda: None, methods=["PUT"])
        hidden = APIRouter()
        hidden.add_api_route("/internal/todos/secret", lambda: None)
        todos = next(module for module in application.modules if module.name == "todos")
        modules = [replace(todos, routers=[*todos.routers, added, hidden])]
        return replace(
            application, modules=[module for module in application.modules if module is not todos] + modules
        )

    monkeypatch.setattr(routes, "build", with_one_more)
    table = route_table(settings)
    (added,) = [path for path in table.paths if "pictures" in path.template]
    assert (added.service, added.operations) == ("todos", (Operation("PUT"),))
    assert re.fullmatch(added.pattern, "/todos/7/pictures/of/a/banyan.png")
    assert services_of(table, "/internal/todos/secret") == set()


def test_two_services_with_the_same_path_are_refused() -> None:
    paths = [Path("/things/{id}", "users", ()), Path("/things/{thing_id}", "todos", ())]
    with pytest.raises(AmbiguousPath, match="is declared by users and by todos"):
        routes._refuse_ambiguous(paths)


def test_operations_say_what_the_gateway_may_do(table: RouteTable) -> None:
    operations = {
        (path.template, operation.method): operation for path in table.paths for operation in path.operations
    }
    assert operations["/todos", "POST"].needs_token
    assert operations["/todos", "POST"].repeatable
    assert not operations["/users", "POST"].needs_token
    assert operations["/users/me", "GET"].needs_token
    assert not operations["/users/me", "PATCH"].repeatable
    assert operations["/admin/users", "GET"].needs_token, "administrators are signed in, too"
    # An expired token in the header must not keep anybody from getting a new one.
    assert not operations["/auth/refresh", "POST"].needs_token


def test_what_is_spelled_out_comes_first(table: RouteTable) -> None:
    order = [path.template for path in table.paths]
    assert order.index("/todos/stats") < order.index("/todos/{todo_id}")
    assert order.index("/docs/oauth2-redirect") < order.index("/docs/assets")


def test_making_it_leaves_nothing_behind(settings: Settings, table: RouteTable) -> None:
    assert not settings.data_dir.exists()
