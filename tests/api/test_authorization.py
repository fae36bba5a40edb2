"""Every operation × everybody who may come: the matrix is derived from the OpenAPI document.

An operation that is added is in the matrix at once; one whose rule is not declared fails here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute
from tests.support.accounts import PASSWORD, Account, client_of, wait_refused
from tests.support.command_line import banyan
from tests.support.operations import Operation, api_routes, operations, other_routes
from tests.support.problems import assert_problem
from tests.support.server import RunningServer
from tests.support.tokens import TokenForge

from banyan.infra.http import access
from banyan.kernel.ids import new_id

RULES = {
    access.public: "public",
    access.signed_in: "signed in",
    access.administrator: "administrator",
    access.service: "service",
}
# Routes that say themselves who may come: the socket takes a ticket or a header, and refuses by itself.
OWN_RULE = {"/ws"}
# Beside the API: pages and files that anybody may see.
PUBLIC_FILES = {
    "/",
    "/docs",
    "/docs/assets",
    "/docs/oauth2-redirect",
    "/favicon.ico",
    "/favicon.svg",
    "/manifest.webmanifest",
    "/openapi.json",
    "/static",
    "/sw.js",
}
# Public, and yet refused without the right credential in the body.
TAKES_CREDENTIALS = {"POST /auth/login", "POST /auth/logout", "POST /auth/refresh", "POST /auth/token"}


def rules_of(route: APIRoute | APIWebSocketRoute) -> set[str]:
    """The access rules that a route declares, itself or by what it depends on."""
    declared: set[str] = set()

    def visit(dependant: Dependant) -> None:
        rule = RULES.get(dependant.call)  # pyright: ignore[reportArgumentType]  # None is no rule
        if rule is not None:
            # An administrator is signed in as well; that is no second rule.
            declared.add(rule)
            return
        for inner in dependant.dependencies:
            visit(inner)

    for inner in route.dependant.dependencies:
        visit(inner)
    return declared


def rule_of(operation: Operation) -> str:
    (route,) = [
        route
        for route in api_routes()
        if isinstance(route, APIRoute)
        and route.path == operation.template
        and operation.method in (route.methods or ())
    ]
    (rule,) = rules_of(route)
    return rule


PROTECTED = [operation for operation in operations() if rule_of(operation) != "public"]
ADMINISTRATIVE = [operation for operation in PROTECTED if rule_of(operation) == "administrator"]
OWNED = [
    operation for operation in PROTECTED if operation.path_parameters and operation not in ADMINISTRATIVE
]
PLAIN = [operation for operation in PROTECTED if operation not in OWNED and operation not in ADMINISTRATIVE]


def named(cases: list[Operation]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operation", cases, ids=[operation.name for operation in cases])


@dataclass
class World:
    """An owner with one of everything. markers: texts that nobody else may ever see."""

    server: RunningServer
    owner: Account
    forge: TokenForge
    ids: dict[str, str] = field(default_factory=dict)
    markers: list[str] = field(default_factory=list)

    def send(self, operation: Operation, token: str | None, **ids: str) -> httpx.Response:
        """The operation on the owner's things, with its documented example, as somebody."""
        path = operation.template.format_map({**self.ids, **ids})
        request: dict[str, Any] = {}
        body = BODIES.get(operation.name, operation.example)
        if body is not None:
            request["json" if operation.media_type == "application/json" else "data"] = body
        # Streams have no end: the head of the answer is enough.
        with (
            client_of(self.server.url, token) as client,
            client.stream(operation.method, path, **request) as answer,
        ):
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                return httpx.Response(answer.status_code, headers=answer.headers, request=answer.request)
            answer.read()
            return answer


# Where the document's example is about somebody else's password.
BODIES: dict[str, Any] = {
    "DELETE /users/me": {"password": PASSWORD},
    "POST /users/me/password": {"current_password": PASSWORD, "new_password": "twelve quiet herons at dawn"},
}


@pytest.fixture(scope="module")
def forge(server: RunningServer) -> TokenForge:
    return TokenForge(server.read_settings())


@pytest.fixture
def world(server: RunningServer, forge: TokenForge, new_user: Callable[..., Account]) -> World:
    owner = new_user(name="Owner of secrets")
    marker = f"marker-{new_id()}"
    todo = owner.client.post("/todos", json={"title": f"todo {marker}"}).json()
    made = owner.client.post("/lists", json={"name": f"list {marker}"}).json()
    owner.client.post(f"/notify/{owner.id}", json={"message": f"message {marker}"})
    hook = {"kind": "webhook", "url": f"http://127.0.0.1:9/{marker}"}
    channel = owner.client.post("/notifications/channels", json=hook).json()
    inbox = owner.client.get("/notifications").json()
    ids = {
        "user_id": owner.id,
        "todo_id": todo["id"],
        "list_id": made["id"],
        "notification_id": next(entry["id"] for entry in inbox if entry["kind"] == "message"),
        "channel_id": channel["id"],
        "session_id": owner.session_id,
    }
    return World(server, owner, forge, ids, [marker, owner.email])


@pytest.fixture(scope="module")
def admin(server: RunningServer) -> Iterator[Account]:
    from tests.support.accounts import register

    account = register(server.url, name="Administrator")
    assert banyan(["users", "create-admin", account.email], server.data_dir, server.settings).code == 0
    account.use_new_session()
    yield account
    account.client.close()


def revoked_token(owner: Account) -> str:
    session = owner.log_in()
    assert owner.client.delete(f"/auth/sessions/{session['session_id']}").status_code == 204
    with client_of(str(owner.client.base_url)) as anonymous:
        wait_refused(anonymous, session["access_token"])
    return session["access_token"]


# Who is refused whatever they ask for.
STRANGERS: dict[str, Callable[[World], str | None]] = {
    "anonymous": lambda _: None,
    "expired": lambda w: w.forge.expired(w.owner.id, w.owner.session_id),
    "revoked": lambda w: revoked_token(w.owner),
    "wrong audience": lambda w: w.forge.for_another_audience(w.owner.id, w.owner.session_id),
    "wrong issuer": lambda w: w.forge.by_another_issuer(w.owner.id, w.owner.session_id),
    "wrong key": lambda w: w.forge.signed_by_another_key(w.owner.id, w.owner.session_id),
    "refresh token": lambda w: w.owner.refresh_token,
    "garbage": lambda _: "not-a-token",
}


def test_every_route_declares_exactly_one_rule() -> None:
    undeclared = {
        route.path: rules_of(route)
        for route in api_routes()
        if len(rules_of(route)) != 1 and route.path not in OWN_RULE
    }
    assert undeclared == {}


def test_a_route_without_a_rule_would_be_found() -> None:
    from fastapi import APIRouter

    careless = APIRouter()

    @careless.get("/careless")
    async def _careless() -> None: ...

    @careless.get("/twice", dependencies=[access.Public])
    async def _twice(_caller: access.Caller) -> None: ...

    assert [rules_of(route) for route in careless.routes if isinstance(route, APIRoute)] == [
        set(),
        {"public", "signed in"},
    ]


def test_nothing_else_is_mounted() -> None:
    assert {getattr(route, "path", None) for route in other_routes()} == PUBLIC_FILES


def test_the_document_tells_the_rules() -> None:
    """What needs a token says so, and is documented to answer 401; what administrators do, 403."""
    wrong = [
        operation.name
        for operation in operations()
        if operation.needs_token != (rule_of(operation) != "public")
        or ("401" in operation.definition["responses"])
        != (operation.needs_token or operation.name in TAKES_CREDENTIALS)
        or (operation in ADMINISTRATIVE and "403" not in operation.definition["responses"])
    ]
    assert wrong == []


@pytest.mark.parametrize("stranger", STRANGERS)
def test_strangers_are_refused_everything_that_needs_a_token(world: World, stranger: str) -> None:
    token = STRANGERS[stranger](world)
    for operation in PROTECTED:
        answer = world.send(operation, token)
        assert answer.status_code == 401, (
            f"{stranger} at {operation.name}: {answer.status_code} {answer.text}"
        )
        assert_problem(answer, 401, "unauthenticated")
        assert "bearer" in answer.headers["www-authenticate"].lower()
    # And nothing has happened.
    assert world.owner.client.get(f"/todos/{world.ids['todo_id']}").json()["version"] == 1
    assert world.owner.client.get("/users/me").status_code == 200


def test_a_token_that_differs_in_nothing_is_taken(world: World) -> None:
    """The forge's other tokens are refused for the one thing in which they differ from this one."""
    (me,) = [operation for operation in operations() if operation.name == "GET /users/me"]
    token = world.forge.good(world.owner.id, world.owner.session_id)
    assert world.send(me, token).json()["id"] == world.owner.id


@named([*PLAIN, *OWNED])
def test_the_owner_may(world: World, operation: Operation) -> None:
    answer = world.send(operation, world.owner.access_token)
    assert answer.is_success, f"{answer.status_code} {answer.text}"
    assert str(answer.status_code) in operation.definition["responses"]


@named(OWNED)
@pytest.mark.parametrize("who", ["another user", "admin"])
def test_nobody_else_reaches_what_is_owned(
    world: World, operation: Operation, who: str, new_user: Callable[..., Account], admin: Account
) -> None:
    """Another's thing answers exactly like one that does not exist."""
    caller = admin if who == "admin" else new_user(name="Somebody else")
    answer = world.send(operation, caller.access_token)
    if (operation.name, who) == ("POST /notify/{user_id}", "admin"):
        # The one thing that administrators do to others here: they have the scope `notify`.
        assert answer.status_code == 202
        return
    unknown = world.send(
        operation, caller.access_token, **{name: new_id() for name in operation.path_parameters}
    )
    assert_problem(answer, 404)
    assert (answer.status_code, answer.json()) == (unknown.status_code, unknown.json())
    owner = world.owner.client
    assert owner.get(f"/todos/{world.ids['todo_id']}").json()["version"] == 1
    assert owner.get(f"/lists/{world.ids['list_id']}").status_code == 200
    assert owner.get(f"/notifications/{world.ids['notification_id']}").json()["read"] is False
    assert owner.get("/users/me").json()["name"] == "Owner of secrets"


@named(PLAIN)
def test_others_see_and_change_their_own_only(
    world: World, operation: Operation, new_user: Callable[..., Account]
) -> None:
    other = new_user(name="Somebody else")
    answer = world.send(operation, other.access_token)
    assert answer.status_code < 500
    assert [marker for marker in world.markers if marker in answer.text] == []
    owner = world.owner.client
    assert [todo["id"] for todo in owner.get("/todos").json()] == [world.ids["todo_id"]]
    assert [made["id"] for made in owner.get("/lists").json()] == [world.ids["list_id"]]
    assert any(entry["id"] == world.ids["notification_id"] for entry in owner.get("/notifications").json())
    assert owner.get("/users/me").json()["name"] == "Owner of secrets"


@named(ADMINISTRATIVE)
def test_administration_is_for_administrators(world: World, operation: Operation, admin: Account) -> None:
    assert_problem(world.send(operation, world.owner.access_token), 403, "forbidden")
    assert world.owner.client.get("/users/me").status_code == 200
    assert world.send(operation, admin.access_token).is_success


@pytest.mark.parametrize(
    "header", ["X-User-ID", "X-Forwarded-User", "X-Forwarded-For", "Forwarded", "X-Real-IP"]
)
def test_identity_comes_from_the_token_alone(
    world: World, header: str, new_user: Callable[..., Account]
) -> None:
    with client_of(world.server.url) as anonymous:
        assert_problem(anonymous.get("/users/me", headers={header: world.owner.id}), 401)
    other = new_user()
    answer = other.client.get("/users/me", headers={header: world.owner.id})
    assert answer.json()["id"] == other.id


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/users/me", {"role": "admin"}),
        ("PATCH", "/users/me", {"id": "01a1fc38-b32a-7620-afc7-ebf7309ee8e0"}),
        ("PATCH", "/users/me", {"email_verified": True}),
        ("POST", "/todos", {"title": "x", "user_id": "01a1fc38-b32a-7620-afc7-ebf7309ee8e0"}),
        ("POST", "/todos", {"title": "x", "version": 9}),
        ("POST", "/todos", {"title": "x", "created_at": "2020-01-01T00:00:00Z"}),
        ("PATCH", "/todos/{todo_id}", {"version": 9}),
        ("POST", "/lists", {"name": "x", "user_id": "01a1fc38-b32a-7620-afc7-ebf7309ee8e0"}),
        ("PATCH", "/notifications/{notification_id}", {"read": True, "user_id": "x"}),
    ],
)
def test_mass_assignment_is_refused(world: World, method: str, path: str, body: dict[str, Any]) -> None:
    answer = world.owner.client.request(method, path.format_map(world.ids), json=body)
    assert_problem(answer, 422)
    assert world.owner.client.get("/users/me").json()["role"] == "user"


def test_a_cursor_belongs_to_its_user(world: World, new_user: Callable[..., Account]) -> None:
    world.owner.client.post("/todos", json={"title": "second"})
    page = world.owner.client.get("/todos?limit=1")
    stolen = httpx.URL(page.links["next"]["url"]).params["cursor"]
    other = new_user()
    assert other.client.get("/todos", params={"cursor": stolen, "limit": 1}).status_code == 422
    assert world.owner.client.get("/todos", params={"cursor": stolen, "limit": 1}).status_code == 200


def test_an_idempotency_key_belongs_to_its_user(world: World, new_user: Callable[..., Account]) -> None:
    key = {"idempotency-key": new_id()}
    mine = world.owner.client.post("/todos", json={"title": "same"}, headers=key)
    other = new_user()
    theirs = other.client.post("/todos", json={"title": "same"}, headers=key)
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["id"] != theirs.json()["id"]
