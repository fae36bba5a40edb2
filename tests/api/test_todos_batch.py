"""POST /todos/batch: many operations, all or nothing."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.support.accounts import Account
from tests.support.problems import assert_problem, pointers
from tests.support.todos import all_of, create, titles

NewUser = Callable[..., Account]


@pytest.fixture
def client(new_user: NewUser) -> httpx.Client:
    return new_user().client


def run(client: httpx.Client, *operations: Any) -> httpx.Response:
    return client.post("/todos/batch", json={"operations": operations})


def made(**fields: Any) -> dict[str, Any]:
    return {"op": "create", "todo": {"title": "x", **fields}}


def test_operations_are_done_in_order_and_answered_in_order(client: httpx.Client) -> None:
    old, older = create(client, "old"), create(client, "older")
    own_id = str(uuid4())
    answer = run(
        client,
        made(title="new", id=own_id),
        {"op": "update", "id": own_id, "changes": {"completed": True}, "version": 1},
        {"op": "update", "id": old["id"], "changes": {"title": "changed", "due_at": None}},
        {"op": "delete", "id": older["id"], "version": 1},
        made(title="another"),
    )
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert [result["op"] for result in results] == ["create", "update", "update", "delete", "create"]
    assert [result["id"] for result in results[:4]] == [own_id, own_id, old["id"], older["id"]]
    assert results[3]["todo"] is None
    assert (results[0]["todo"]["version"], results[1]["todo"]["version"]) == (1, 2)
    # Each result is the to-do as it was after its operation, as GET would have shown it.
    left = {todo["id"]: todo for todo in all_of(client)}
    assert left == {result["id"]: result["todo"] for result in (results[1], results[2], results[4])}


FAILURES: list[tuple[Any, int, str]] = [
    ({"op": "delete", "id": str(uuid4())}, 404, "todo_not_found"),
    ({"op": "update", "id": str(uuid4()), "changes": {}}, 404, "todo_not_found"),
    ({"op": "update", "id": "OLD", "changes": {"title": "y"}, "version": 2}, 412, "version_mismatch"),
    ({"op": "delete", "id": "OLD", "version": 2}, 412, "version_mismatch"),
    (made(list_id=str(uuid4())), 422, "list_unknown"),
    ({"op": "update", "id": "OLD", "changes": {"list_id": str(uuid4())}}, 422, "list_unknown"),
]


@pytest.mark.parametrize(
    ("failing", "status", "code"), FAILURES, ids=[f"{f['op']}-{c}" for f, _, c in FAILURES]
)
def test_when_one_cannot_be_done_none_is_and_the_answer_says_which(
    client: httpx.Client, failing: dict[str, Any], status: int, code: str
) -> None:
    old = create(client, "old")
    if failing.get("id") == "OLD":
        failing = {**failing, "id": old["id"]}
    tag = client.get("/todos").headers["etag"]
    update = {"op": "update", "id": old["id"], "changes": {"priority": 3}}
    operations = [made(), *([update] if "version" not in failing else []), failing, made()]
    problem = assert_problem(run(client, *operations), status, code)
    number = operations.index(failing)
    assert problem["detail"].startswith(f"Operation {number}: ")
    assert all(pointer.startswith(f"/operations/{number}/") for pointer in pointers(problem))
    after = client.get("/todos")
    assert (after.json(), after.headers["etag"]) == ([old], tag)


INVALID: list[tuple[Any, list[str]]] = [
    ({}, ["/operations"]),
    ({"operations": []}, ["/operations"]),
    ({"operations": {}}, ["/operations"]),
    ({"operations": [made()], "more": 1}, ["/more"]),
    ({"operations": [made(), {"op": "create", "todo": {}}]}, ["/operations/1/todo/title"]),
    (
        {"operations": [made(title=""), made(order="1")]},
        ["/operations/0/todo/title", "/operations/1/todo/order"],
    ),
    ({"operations": [{"op": "update", "id": "x", "changes": {}}]}, ["/operations/0/id"]),
    ({"operations": [{"op": "update", "id": str(uuid4())}]}, ["/operations/0/changes"]),
    (
        {"operations": [{"op": "update", "id": str(uuid4()), "changes": {"title": None}}]},
        ["/operations/0/changes/title"],
    ),
    ({"operations": [{"op": "delete", "id": str(uuid4()), "version": 0}]}, ["/operations/0/version"]),
    ({"operations": [{"op": "delete", "id": str(uuid4()), "version": "1"}]}, ["/operations/0/version"]),
    ({"operations": [{"op": "delete"}]}, ["/operations/0/id"]),
    ({"operations": [{"op": "drop", "id": str(uuid4())}]}, ["/operations/0/op"]),
    ({"operations": [{}, 5, None]}, ["/operations/0/op", "/operations/1", "/operations/2"]),
    ({"operations": [{"op": ["create"]}]}, ["/operations/0/op"]),
]


@pytest.mark.parametrize(("body", "places"), INVALID, ids=[" ".join(places) for _, places in INVALID])
def test_an_operation_that_cannot_be_understood_is_named(
    client: httpx.Client, body: Any, places: list[str]
) -> None:
    assert pointers(assert_problem(client.post("/todos/batch", json=body), 422, "invalid_input")) == places
    assert all_of(client) == []


def test_500_operations_are_done_and_501_are_refused(client: httpx.Client) -> None:
    results = run(client, *[made(title=f"t{number}") for number in range(500)]).json()["results"]
    assert len(results) == 500
    assert titles(all_of(client, limit=200)) == [f"t{number}" for number in reversed(range(500))]
    problem = assert_problem(run(client, *[made()] * 501), 422, "invalid_input")
    assert pointers(problem) == ["/operations"]
    deletions = [{"op": "delete", "id": result["id"]} for result in results]
    assert run(client, *deletions).status_code == 200
    assert all_of(client) == []


def test_creating_with_an_id_that_exists_gives_what_exists(client: httpx.Client) -> None:
    own_id = str(uuid4())
    first, second = run(client, made(id=own_id, title="first"), made(id=own_id, title="second")).json()[
        "results"
    ]
    assert first == second
    assert titles(all_of(client)) == ["first"]


def test_what_was_deleted_in_a_batch_is_gone_for_its_later_operations(client: httpx.Client) -> None:
    todo = create(client)
    gone = {"op": "delete", "id": todo["id"]}
    assert_problem(run(client, gone, gone), 404, "todo_not_found")
    assert all_of(client) == [todo]


def test_a_strangers_to_do_is_not_touched_by_a_batch(client: httpx.Client, new_user: NewUser) -> None:
    theirs = create(new_user().client)
    foreign = run(client, {"op": "delete", "id": theirs["id"]})
    unknown = run(client, {"op": "delete", "id": str(uuid4())})
    assert (
        (foreign.status_code, foreign.content)
        == (unknown.status_code, unknown.content)
        == (404, unknown.content)
    )
