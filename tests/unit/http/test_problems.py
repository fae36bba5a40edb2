import json
from typing import Annotated, Literal

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response
from pydantic import BaseModel, Discriminator

from banyan.infra.http.problems import STATUS, install_problem_handlers, problem, status_of
from banyan.kernel import errors
from banyan.kernel.errors import BanyanError, FieldError, InvalidInput, RateLimited
from banyan.modules.todos.model import TodoNotFound

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BanyanError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_has_a_code_and_a_sentence(kind: type[BanyanError]) -> None:
    error = kind()
    assert error.code
    assert error.code == error.code.lower()
    assert error.detail.endswith(".")


def test_every_kind_has_its_own_code_and_none_is_500_by_accident() -> None:
    codes = [kind.code for kind in STATUS]
    assert len(set(codes)) == len(codes)
    abstract = {"BanyanError", "RetryLater"}
    assert {kind.__name__ for kind in KINDS if status_of(kind()) == 500} <= abstract


def test_a_subclass_has_the_status_of_its_kind() -> None:
    assert status_of(TodoNotFound(todo_id="x")) == 404


def test_an_error_is_a_problem() -> None:
    status, headers, body = problem(InvalidInput(errors=[FieldError("/title", "is blank")]))
    assert status == 422
    assert dict(headers)[b"content-type"] == b"application/problem+json"
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "code": "invalid_input",
        "detail": InvalidInput.detail,
        "errors": [{"pointer": "/title", "detail": "is blank"}],
    }


@pytest.mark.parametrize(
    ("seconds", "header"), [(0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.2, b"2"), (59.01, b"60")]
)
def test_who_waits_as_long_as_retry_after_says_has_waited_long_enough(seconds: float, header: bytes) -> None:
    _, headers, _ = problem(RateLimited(retry_after_seconds=seconds))
    assert dict(headers)[b"retry-after"] == header


class _Add(BaseModel):
    op: Literal["add"]
    numbers: list[int]


class _Drop(BaseModel):
    op: Literal["drop"]


class _Steps(BaseModel):
    steps: list[Annotated[_Add | _Drop, Discriminator("op")]]


def _application() -> FastAPI:
    app = FastAPI(openapi_url=None)
    install_problem_handlers(app)

    @app.post("/steps")
    async def take(body: _Steps) -> None: ...

    @app.get("/steps")
    async def show(limit: int = 1) -> None: ...

    @app.put("/steps/{number}")
    async def put(number: int) -> None: ...

    return app


async def _send(method: str, path: str, **options: object) -> Response:
    async with AsyncClient(transport=ASGITransport(_application()), base_url="http://here") as client:
        return await client.request(method, path, **options)  # type: ignore[arg-type]


async def _pointers(body: object) -> list[str]:
    answer = await _send("POST", "/steps", json=body)
    assert answer.status_code == 422
    return [fault["pointer"] for fault in answer.json()["errors"]]


async def test_pointers_lead_to_the_fault_in_the_body_as_it_was_sent() -> None:
    assert await _pointers({}) == ["/steps"]
    assert await _pointers({"steps": 1}) == ["/steps"]
    # Pydantic puts the tag `add` between; it is no step in the body.
    assert await _pointers({"steps": [{"op": "drop"}, {"op": "add"}]}) == ["/steps/1/numbers"]
    assert await _pointers({"steps": [{"op": "add", "numbers": [1, "x"]}]}) == ["/steps/0/numbers/1"]
    assert await _pointers({"steps": [{"op": "other"}, 5]}) == ["/steps/0/op", "/steps/1"]
    assert await _pointers([]) == ["/"]


async def test_faults_elsewhere_say_where() -> None:
    answer = await _send("GET", "/steps?limit=x")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["query/limit"]
    answer = await _send("PUT", "/steps/x")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["path/number"]


async def test_another_method_is_told_all_methods_of_the_address() -> None:
    answer = await _send("DELETE", "/steps")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert answer.json()["code"] == "method_not_allowed"
    assert (await _send("DELETE", "/steps/1")).headers["allow"] == "PUT"


async def test_no_such_address_is_a_problem_too() -> None:
    answer = await _send("GET", "/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"
