"""GET /todos after changes: answered from events where that can be, and always as if it had been loaded."""

import itertools
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.support.accounts import Account
from tests.support.eventually import eventually
from tests.support.todos import create

NewUser = Callable[..., Account]

# A query that was never asked is loaded; this many differ in their limit alone, and show as much as the plain one.
LIMITS = range(60, 200)
# A page that is full, one that is not, and what cannot be followed.
FOLLOWED = ("", "limit=12", "limit=3", "completed=false", "q=banyan")
CHANGES = 100


@pytest.mark.single_process  # another replica answers the next request, and loads what this one would follow
def test_whatever_changes_the_followed_list_is_the_loaded_one(new_user: NewUser) -> None:
    account = new_user()
    chance = random.Random(4)
    unasked = itertools.cycle(LIMITS)
    a_list = account.client.post("/lists", json={"name": "Garden"}).json()["id"]
    followed = 0
    for _ in range(CHANGES):
        _change(account.client, chance, a_list)
        loaded = account.client.get("/todos", params={"limit": next(unasked)})
        assert loaded.status_code == 200, loaded.text
        for query in FOLLOWED:
            answer = account.client.get(f"/todos?{query}")
            assert answer.json() == _shown(loaded.json(), query)
            followed += _is_followed(answer)
            _check_links(account.client, answer, loaded.json(), query)
    assert followed > CHANGES


@pytest.mark.single_process  # as above
def test_a_change_of_a_known_list_is_followed(new_user: NewUser) -> None:
    account = new_user()
    todo = create(account.client, "grow")
    account.client.get("/todos")
    account.client.patch(f"/todos/{todo['id']}", json={"title": "grown", "labels": ["ä"], "completed": True})
    answer = account.client.get("/todos")
    assert _is_followed(answer)
    assert answer.json() == [account.client.get(f"/todos/{todo['id']}").json()]
    # Whoever holds it as it is loaded, in another process for example, has the same.
    loaded = answer.headers["etag"].replace("~", "")
    for held in (answer.headers["etag"], loaded, f'"x", W/{loaded}'):
        assert account.client.get("/todos", headers={"if-none-match": held}).status_code == 304


def test_a_list_that_was_deleted_is_gone_from_the_to_dos_that_are_known(new_user: NewUser) -> None:
    account = new_user()
    a_list = account.client.post("/lists", json={"name": "Garden"}).json()["id"]
    create(account.client, list_id=a_list)
    assert account.client.get("/todos").json()[0]["list_id"] == a_list
    assert account.client.delete(f"/lists/{a_list}").status_code == 204
    eventually(
        lambda: account.client.get("/todos").json()[0]["list_id"] is None or None,
        "the to-do has left the list",
    )


def _is_followed(answer: httpx.Response) -> bool:
    return answer.headers["etag"].endswith('~"')


def _change(client: httpx.Client, chance: random.Random, a_list: str) -> None:
    todos: list[dict[str, Any]] = client.get("/todos?limit=200").json()
    one = f"/todos/{chance.choice(todos)['id']}" if todos else ""
    kind = chance.choice(["create", "create", "change", "change", "order", "list", "delete", "batch"])
    if kind == "create" or not todos:
        create(
            client, chance.choice(["Water the banyan", "日本語 “x”"]), order=chance.choice([None, None, 3])
        )
    elif kind == "change":
        client.patch(one, json={"completed": chance.random() < 0.5, "labels": ["a", "ä"], "notes": "a\nb"})
    elif kind == "order":
        client.patch(one, json={"order": chance.choice([None, 1, 2])})
    elif kind == "list":
        client.patch(one, json={"list_id": chance.choice([None, a_list])})
    elif kind == "delete":
        client.delete(one)
    else:
        operations = [{"op": "create", "todo": {"title": f"batch {number}"}} for number in range(2)]
        operations += [{"op": "update", "id": todos[0]["id"], "changes": {"title": "of a batch"}}]
        assert client.post("/todos/batch", json={"operations": operations}).status_code == 200


def _shown(todos: list[dict[str, Any]], query: str) -> list[dict[str, Any]]:
    name, _, value = query.partition("=")
    if name == "completed":
        return [todo for todo in todos if not todo["completed"]]
    if name == "q":
        return [todo for todo in todos if value in todo["title"].lower()]
    return todos[: int(value or 100)]


def _check_links(
    client: httpx.Client, answer: httpx.Response, todos: list[dict[str, Any]], query: str
) -> None:
    """The next page goes on where this one ends, and there is none after the last."""
    following = answer.links.get("next")
    size = len(answer.json())
    if not query.startswith("limit") or following is None:
        assert following is None
        assert not query.startswith("limit") or len(todos) == size
        return
    assert client.get(following["url"]).json() == todos[size : 2 * size]
