"""`Idempotency-Key`: sent again, a request has one effect and one answer."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.support.accounts import Account
from tests.support.problems import assert_problem, pointers
from tests.support.server import RunningServer
from tests.support.todos import all_of, create

NewUser = Callable[..., Account]

REQUESTS = [
    ("/todos", {"title": "once"}),
    ("/todos/batch", {"operations": [{"op": "create", "todo": {"title": "once"}}]}),
]
each_path = pytest.mark.parametrize(("path", "body"), REQUESTS, ids=[path for path, _ in REQUESTS])


def kept(answer: httpx.Response) -> tuple[int, bytes, str | None, str | None]:
    return answer.status_code, answer.content, answer.headers.get("location"), answer.headers.get("etag")


@each_path
def test_the_same_request_again_has_the_same_answer_and_no_effect(
    new_user: NewUser, path: str, body: Any
) -> None:
    client = new_user().client
    headers = {"idempotency-key": "a key of mine"}
    first = client.post(path, json=body, headers=headers)
    assert first.is_success
    again = client.post(path, json=body, headers=headers)
    assert kept(again) == kept(first)
    assert len(all_of(client)) == 1
    # Also when what it made has changed or gone meanwhile: it is the answer to that request.
    client.delete("/todos")
    assert kept(client.post(path, json=body, headers=headers)) == kept(first)
    assert all_of(client) == []


@each_path
def test_twenty_at_once_have_one_effect(new_user: NewUser, path: str, body: Any) -> None:
    account = new_user()

    async def together() -> list[httpx.Response]:
        headers = {**account.client.headers, "idempotency-key": str(uuid4())}
        async with httpx.AsyncClient(
            base_url=account.client.base_url, headers=headers, trust_env=False, timeout=30
        ) as client:
            return await asyncio.gather(*(client.post(path, json=body) for _ in range(20)))

    answers = asyncio.run(together())
    assert len({kept(answer) for answer in answers}) == 1
    assert answers[0].is_success
    assert len(all_of(account.client)) == 1


@each_path
def test_the_same_key_with_another_payload_is_refused(new_user: NewUser, path: str, body: Any) -> None:
    client = new_user().client
    headers = {"idempotency-key": "k"}
    first = client.post(path, json=body, headers=headers)
    other = (
        {"title": "other"}
        if path == "/todos"
        else {"operations": [{"op": "create", "todo": {"title": "other"}}]}
    )
    assert_problem(client.post(path, json=other, headers=headers), 422, "idempotency_key_reused")
    assert len(all_of(client)) == 1
    assert kept(client.post(path, json=body, headers=headers)) == kept(first)


def test_the_same_key_for_another_operation_is_refused(new_user: NewUser) -> None:
    client = new_user().client
    headers = {"idempotency-key": "k"}
    client.post("/todos", json=REQUESTS[0][1], headers=headers)
    assert_problem(
        client.post("/todos/batch", json=REQUESTS[1][1], headers=headers), 422, "idempotency_key_reused"
    )


@each_path
def test_a_key_belongs_to_its_user(new_user: NewUser, path: str, body: Any) -> None:
    one, other = new_user().client, new_user().client
    headers = {"idempotency-key": "k"}
    first, second = (client.post(path, json=body, headers=headers) for client in (one, other))
    assert first.is_success
    assert second.is_success
    assert all_of(one)[0]["id"] != all_of(other)[0]["id"]


@each_path
def test_what_failed_may_be_tried_again_with_its_key(new_user: NewUser, path: str, body: Any) -> None:
    client = new_user().client
    headers = {"idempotency-key": "k"}
    bad = {"title": ""} if path == "/todos" else {"operations": [{"op": "delete", "id": str(uuid4())}]}
    assert client.post(path, json=bad, headers=headers).is_client_error
    assert client.post(path, json=body, headers=headers).is_success
    assert len(all_of(client)) == 1


def test_a_key_and_an_id_of_ones_own_work_together(new_user: NewUser) -> None:
    client = new_user().client
    own_id = str(uuid4())
    create(client, "made before", id=own_id)
    first = client.post("/todos", json={"id": own_id, "title": "x"}, headers={"idempotency-key": "k"})
    again = client.post("/todos", json={"id": own_id, "title": "x"}, headers={"idempotency-key": "k"})
    assert (first.status_code, first.json()["title"]) == (200, "made before")
    assert kept(again) == kept(first)


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9", "tab\there"], ids=repr)
@each_path
def test_a_key_that_cannot_be_kept_is_refused(new_user: NewUser, path: str, body: Any, key: str) -> None:
    client = new_user().client
    problem = assert_problem(
        client.post(path, json=body, headers={b"idempotency-key": key.encode("latin-1")}), 422
    )
    assert [pointer.lower() for pointer in pointers(problem)] == ["header/idempotency-key"]
    assert all_of(client) == []


def test_keys_outlive_the_process(make_server: Callable[..., RunningServer], new_user: NewUser) -> None:
    server = make_server()
    client = new_user(server=server).client
    headers = {"idempotency-key": "k"}
    first = client.post("/todos", json={"title": "once"}, headers=headers)
    server.kill9()
    server.start()
    assert kept(client.post("/todos", json={"title": "once"}, headers=headers)) == kept(first)
    assert len(all_of(client)) == 1
