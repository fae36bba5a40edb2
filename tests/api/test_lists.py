"""Lists, and the to-dos in them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.support.accounts import Account, register
from tests.support.problems import assert_problem, pointers
from tests.support.server import RunningServer
from tests.support.todos import all_of, create, titles

NewUser = Callable[..., Account]


@pytest.fixture(scope="module")
def account(server: RunningServer) -> Account:
    return register(server.url)


def make(account: Account, **fields: Any) -> dict[str, Any]:
    answer = account.client.post("/lists", json={"name": "Garden", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_list_is_made_read_changed_and_deleted(account: Account, server: RunningServer) -> None:
    answer = account.client.post("/lists", json={"name": "Garden \N{DECIDUOUS TREE}"})
    garden = answer.json()
    path = f"/lists/{garden['id']}"
    assert answer.status_code == 201
    assert answer.headers["location"] == server.url + path
    assert answer.headers["etag"] == '"1"'
    assert UUID(garden["id"]).version == 7
    assert garden == {
        "id": garden["id"],
        "name": "Garden \N{DECIDUOUS TREE}",
        "color": None,
        "created_at": garden["created_at"],
        "updated_at": garden["created_at"],
        "version": 1,
    }
    assert account.client.get(path).json() == garden
    answer = account.client.patch(path, json={"name": "Balcony", "color": "#3f7d58"})
    changed = answer.json()
    assert changed == {
        **garden,
        "name": "Balcony",
        "color": "#3f7d58",
        "version": 2,
        "updated_at": changed["updated_at"],
    }
    assert answer.headers["etag"] == '"2"'
    assert account.client.patch(path, json={"color": None}).json()["color"] is None
    assert account.client.delete(path).status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        again = account.client.request(method, path, json={} if method == "PATCH" else None)
        assert_problem(again, 404, "list_not_found")


def test_lists_are_shown_oldest_first_and_only_ones_own(new_user: NewUser) -> None:
    one, other = new_user(), new_user()
    made = [make(one, name=name) for name in "cab"]
    make(other, name="of another")
    assert one.client.get("/lists").json() == made


def test_the_same_id_again_is_the_same_list(account: Account) -> None:
    own_id = str(uuid4())
    first = make(account, id=own_id)
    again = account.client.post("/lists", json={"id": own_id, "name": "another name"})
    assert (again.status_code, again.json()) == (200, first)


def test_two_users_may_choose_the_same_id(account: Account, new_user: NewUser) -> None:
    other, own_id = new_user(), str(uuid4())
    make(account, id=own_id, name="one")
    make(other, id=own_id, name="other")
    assert account.client.get(f"/lists/{own_id}").json()["name"] == "one"


def test_a_strangers_list_answers_exactly_like_one_that_does_not_exist(
    account: Account, new_user: NewUser
) -> None:
    garden, stranger = make(account), new_user().client
    for method, body in (("GET", None), ("PATCH", {"name": "mine"}), ("DELETE", None)):
        foreign = stranger.request(method, f"/lists/{garden['id']}", json=body)
        assert_problem(foreign, 404, "list_not_found")
        for unknown in (uuid4(), "no-id"):
            assert stranger.request(method, f"/lists/{unknown}", json=body).content == foreign.content
    assert account.client.get(f"/lists/{garden['id']}").json() == garden


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/name"),
        ({"name": ""}, "/name"),
        ({"name": " "}, "/name"),
        ({"name": None}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"name": "x", "color": "green"}, "/color"),
        ({"name": "x", "color": "#3F7D58"}, "/color"),
        ({"name": "x", "color": "#3f7d58\n"}, "/color"),
        ({"name": "x", "id": "mine"}, "/id"),
        ({"name": "x", "members": []}, "/members"),
    ],
)
def test_a_field_that_cannot_be_accepted_is_named(account: Account, body: Any, pointer: str) -> None:
    before = account.client.get("/lists").json()
    assert pointers(assert_problem(account.client.post("/lists", json=body), 422, "invalid_input")) == [
        pointer
    ]
    assert account.client.get("/lists").json() == before


def test_a_change_to_another_version_is_refused(account: Account) -> None:
    garden = make(account)
    path = f"/lists/{garden['id']}"
    stale = account.client.patch(path, json={"name": "x"}, headers={"if-match": '"2"'})
    assert_problem(stale, 412, "version_mismatch")
    assert account.client.get(path).json() == garden
    assert account.client.patch(path, json={"name": "x"}, headers={"if-match": '"1"'}).status_code == 200


def test_a_change_that_changes_nothing_makes_no_new_version(account: Account) -> None:
    garden = make(account)
    assert account.client.patch(f"/lists/{garden['id']}", json={"name": "Garden"}).json() == garden


def test_to_dos_outlive_their_list(new_user: NewUser) -> None:
    account = new_user()
    garden, house = make(account, name="Garden"), make(account, name="House")
    inside = [create(account.client, title, list_id=garden["id"], labels=["x"], order=1) for title in "ab"]
    other = create(account.client, "c", list_id=house["id"])
    tag = account.client.get("/todos").headers["etag"]
    assert account.client.delete(f"/lists/{garden['id']}").status_code == 204
    assert account.client.get("/todos").headers["etag"] != tag
    for todo in inside:
        read = account.client.get(f"/todos/{todo['id']}").json()
        assert read == {**todo, "list_id": None, "version": 2, "updated_at": read["updated_at"]}
        history = account.client.get(f"/todos/{todo['id']}/history").json()
        assert history[-1]["data"] == {"list_id": None, "version": 2, "updated_at": read["updated_at"]}
    assert account.client.get(f"/todos/{other['id']}").json() == other
    assert all_of(account.client, list=garden["id"]) == []
    assert titles(all_of(account.client, list=house["id"])) == ["c"]


def test_a_list_of_hundreds_is_left_by_all(new_user: NewUser) -> None:
    account = new_user()
    garden = make(account)
    operations = [{"op": "create", "todo": {"title": "x", "list_id": garden["id"]}} for _ in range(300)]
    assert account.client.post("/todos/batch", json={"operations": operations}).status_code == 200
    assert account.client.delete(f"/lists/{garden['id']}").status_code == 204
    assert {(todo["list_id"], todo["version"]) for todo in all_of(account.client)} == {(None, 2)}
