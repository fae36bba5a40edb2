"""Reading, patching, replacing and deleting one to-do, and deleting many."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.support.accounts import Account, register
from tests.support.problems import assert_problem, pointers
from tests.support.server import RunningServer
from tests.support.todos import all_of, create, titles

NewUser = Callable[..., Account]
DUE = "2031-05-01T10:00:00.000000Z"
FULL: dict[str, Any] = {
    "title": "full",
    "completed": True,
    "order": 3,
    "notes": "n",
    "due_at": DUE,
    "remind_at": DUE,
    "priority": 2,
    "labels": ["a"],
}


@pytest.fixture(scope="module")
def account(server: RunningServer) -> Account:
    return register(server.url)


def async_client(account: Account) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=account.client.base_url, headers=account.client.headers, trust_env=False, timeout=30
    )


# --- GET


def test_a_to_do_that_is_unchanged_is_304(account: Account) -> None:
    path = f"/todos/{create(account.client)['id']}"
    first = account.client.get(path)
    again = account.client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (first.headers["etag"], again.status_code, again.content) == ('"1"', 304, b"")
    account.client.patch(path, json={"priority": 1})
    changed = account.client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')


OPERATIONS: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("PATCH", "", {"title": "mine now"}),
    ("PUT", "", {"title": "mine now"}),
    ("DELETE", "", None),
    ("GET", "/history", None),
]


@pytest.mark.parametrize(("method", "suffix", "body"), OPERATIONS, ids=[m + s for m, s, _ in OPERATIONS])
def test_a_strangers_to_do_answers_exactly_like_one_that_does_not_exist(
    account: Account, new_user: NewUser, method: str, suffix: str, body: Any
) -> None:
    todo = create(account.client)
    stranger = new_user().client
    foreign = stranger.request(method, f"/todos/{todo['id']}{suffix}", json=body)
    unknown = stranger.request(method, f"/todos/{uuid4()}{suffix}", json=body)
    no_id = stranger.request(method, f"/todos/no-id{suffix}", json=body)
    assert_problem(foreign, 404, "todo_not_found")
    varying = {"x-request-id", "date"}
    for other in (unknown, no_id):
        assert (other.status_code, other.content) == (foreign.status_code, foreign.content)
        assert {k: v for k, v in other.headers.items() if k not in varying} == {
            k: v for k, v in foreign.headers.items() if k not in varying
        }
    assert account.client.get(f"/todos/{todo['id']}").json() == todo


def test_an_id_may_be_written_in_upper_case(account: Account) -> None:
    todo = create(account.client)
    assert account.client.get(f"/todos/{todo['id'].upper()}").json() == todo


# --- PATCH


@pytest.mark.parametrize("content_type", ["application/json", "application/merge-patch+json"])
def test_a_patch_changes_what_it_names_and_nothing_else(account: Account, content_type: str) -> None:
    todo = create(account.client, **{**FULL, "completed": False})
    answer = account.client.patch(
        f"/todos/{todo['id']}",
        content=b'{"title": "new", "priority": 0}',
        headers={"content-type": content_type},
    )
    assert answer.status_code == 200
    changed = answer.json()
    assert changed["updated_at"] > todo["updated_at"]
    assert changed == {
        **todo,
        "title": "new",
        "priority": 0,
        "version": 2,
        "updated_at": changed["updated_at"],
    }
    assert answer.headers["etag"] == '"2"'
    assert account.client.get(f"/todos/{todo['id']}").json() == changed


@pytest.mark.parametrize("name", ["order", "notes", "due_at", "remind_at", "list_id"])
def test_null_clears_a_field_that_may_be_empty(account: Account, name: str) -> None:
    garden = account.client.post("/lists", json={"name": "Garden"}).json()
    todo = create(account.client, **FULL, list_id=garden["id"])
    assert todo[name] is not None
    assert account.client.patch(f"/todos/{todo['id']}", json={name: None}).json()[name] is None


@pytest.mark.parametrize("name", ["title", "completed", "priority", "labels"])
def test_null_does_not_clear_a_field_that_always_has_a_value(account: Account, name: str) -> None:
    todo = create(account.client, **FULL)
    problem = assert_problem(account.client.patch(f"/todos/{todo['id']}", json={name: None}), 422)
    assert pointers(problem) == [f"/{name}"]
    assert account.client.get(f"/todos/{todo['id']}").json() == todo


@pytest.mark.parametrize(
    "body", [{"title": ""}, {"title": " "}, {"id": str(uuid4())}, {"version": 9}, {"x": 1}, [], "x"]
)
def test_a_patch_that_cannot_be_accepted_changes_nothing(account: Account, body: Any) -> None:
    todo = create(account.client)
    assert_problem(account.client.patch(f"/todos/{todo['id']}", json=body), 422)
    assert account.client.get(f"/todos/{todo['id']}").json() == todo


def test_completing_is_dated_and_taken_back(account: Account) -> None:
    path = f"/todos/{create(account.client)['id']}"
    done = account.client.patch(path, json={"completed": True}).json()
    assert done["completed_at"] == done["updated_at"]
    touched = account.client.patch(path, json={"title": "touched", "completed": True}).json()
    assert touched["completed_at"] == done["completed_at"]
    assert account.client.patch(path, json={"completed": False}).json()["completed_at"] is None


def test_a_patch_that_changes_nothing_makes_no_new_version(account: Account) -> None:
    todo = create(account.client, **FULL)
    answer = account.client.patch(f"/todos/{todo['id']}", json=FULL)
    assert answer.json() == todo
    assert len(account.client.get(f"/todos/{todo['id']}/history").json()) == 1


def test_a_to_do_moves_only_into_ones_own_list(account: Account) -> None:
    todo = create(account.client)
    answer = account.client.patch(f"/todos/{todo['id']}", json={"list_id": str(uuid4())})
    assert pointers(assert_problem(answer, 422, "list_unknown")) == ["/list_id"]


# --- PUT


def test_put_gives_defaults_to_what_is_left_out(account: Account) -> None:
    todo = create(account.client, **FULL)
    put = account.client.put(f"/todos/{todo['id']}", json={"title": "bare"})
    bare = put.json()
    assert put.status_code == 200
    assert bare == {
        **todo,
        "title": "bare",
        "completed": False,
        "completed_at": None,
        "order": None,
        "notes": None,
        "due_at": None,
        "remind_at": None,
        "priority": 0,
        "labels": [],
        "updated_at": bare["updated_at"],
        "version": 2,
    }


def test_putting_the_same_twice_is_one_change(account: Account) -> None:
    path = f"/todos/{create(account.client)['id']}"
    first = account.client.put(path, json=FULL).json()
    assert account.client.put(path, json=FULL).json() == first
    assert first["version"] == 2


def test_put_needs_a_title_and_makes_nothing_new(account: Account) -> None:
    todo = create(account.client)
    problem = assert_problem(account.client.put(f"/todos/{todo['id']}", json={"completed": True}), 422)
    assert pointers(problem) == ["/title"]
    assert_problem(account.client.put(f"/todos/{uuid4()}", json={"title": "x"}), 404, "todo_not_found")


# --- If-Match


@pytest.mark.parametrize(
    ("method", "body"), [("PATCH", {"title": "new"}), ("PUT", {"title": "new"}), ("DELETE", None)]
)
def test_if_match_lets_only_the_version_through_that_was_read(
    account: Account, method: str, body: Any
) -> None:
    todo = create(account.client)
    path = f"/todos/{todo['id']}"
    for tag in ('"2"', '"0"', '"x"', '"9999999999999999999999"'):
        answer = account.client.request(method, path, json=body, headers={"if-match": tag})
        assert_problem(answer, 412)
    for header in ("1", "", "W/1", '"1'):
        answer = account.client.request(method, path, json=body, headers={"if-match": header})
        assert pointers(assert_problem(answer, 422)) == ["header/If-Match"]
    assert account.client.get(path).json() == todo
    answer = account.client.request(method, path, json=body, headers={"if-match": '"1"'})
    assert answer.status_code in (200, 204)


def test_a_star_matches_any_version_but_not_what_is_not_there(account: Account) -> None:
    path = f"/todos/{create(account.client)['id']}"
    assert account.client.patch(path, json={"title": "y"}, headers={"if-match": "*"}).status_code == 200
    assert account.client.delete(path, headers={"if-match": "*"}).status_code == 204
    assert_problem(account.client.delete(path, headers={"if-match": "*"}), 404)


async def patch(client: httpx.AsyncClient, path: str, **options: Any) -> httpx.Response:
    """A change, asked for again while the connections to the database are all in use: nothing was changed then."""
    while (answer := await client.patch(path, **options)).status_code == 503:
        assert answer.json()["code"] == "unavailable"
    return answer


def test_of_fifty_changes_to_one_version_exactly_one_wins(account: Account) -> None:
    todo = create(account.client)
    path = f"/todos/{todo['id']}"

    async def race() -> list[httpx.Response]:
        async with async_client(account) as client:
            headers = {"if-match": '"1"'}
            return await asyncio.gather(
                *(patch(client, path, json={"title": f"by {n}"}, headers=headers) for n in range(50))
            )

    answers = asyncio.run(race())
    winners = [answer for answer in answers if answer.status_code == 200]
    assert len(winners) == 1
    for loser in answers:
        if loser is not winners[0]:
            assert_problem(loser, 412, "version_mismatch")
    assert account.client.get(path).json() == winners[0].json()
    assert winners[0].json()["version"] == 2


def test_without_if_match_no_change_is_lost_and_each_takes_a_version(account: Account) -> None:
    path = f"/todos/{create(account.client)['id']}"

    async def race() -> list[httpx.Response]:
        async with async_client(account) as client:
            return await asyncio.gather(*(patch(client, path, json={"order": n}) for n in range(40)))

    versions = sorted(answer.json()["version"] for answer in asyncio.run(race()))
    assert versions == list(range(2, 42))


# --- DELETE


def test_what_is_deleted_is_gone(account: Account) -> None:
    todo = create(account.client)
    answer = account.client.delete(f"/todos/{todo['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    for method in ("GET", "PATCH", "DELETE"):
        answer = account.client.request(
            method, f"/todos/{todo['id']}", json={} if method == "PATCH" else None
        )
        assert_problem(answer, 404, "todo_not_found")
    assert todo["id"] not in {other["id"] for other in all_of(account.client)}


@pytest.fixture
def mixed(new_user: NewUser) -> Account:
    """A user with a, b (both open), c and d (both completed)."""
    account = new_user()
    for title in "abcd":
        create(account.client, title, completed=title in "cd")
    return account


@pytest.mark.parametrize(
    ("query", "left"),
    [("", []), ("?completed=true", ["b", "a"]), ("?completed=false", ["d", "c"])],
)
@pytest.mark.parametrize("path", ["/todos", "/todos/"])
def test_many_are_deleted_at_once(
    mixed: Account, new_user: NewUser, path: str, query: str, left: list[str]
) -> None:
    other = new_user()
    create(other.client, "of another", completed=True)
    assert mixed.client.delete(path + query).status_code == 204
    assert titles(all_of(mixed.client)) == left
    assert mixed.client.delete(path + query).status_code == 204  # nothing is left to delete: as good as done
    assert titles(all_of(other.client)) == ["of another"]


@pytest.mark.parametrize(
    "query", ["completed=1", "completed=yes", "completed=", "complete=true", "list=x", "completed=true&q=a"]
)
def test_a_misspelled_condition_deletes_nothing(mixed: Account, query: str) -> None:
    assert_problem(mixed.client.delete(f"/todos?{query}"), 422, "invalid_input")
    assert titles(all_of(mixed.client)) == ["d", "c", "b", "a"]


# --- history


def test_history_tells_what_happened_and_outlives_the_to_do(account: Account) -> None:
    todo = create(account.client, "one")
    path = f"/todos/{todo['id']}"
    changed = account.client.patch(path, json={"title": "two", "completed": True}).json()
    account.client.delete(path)
    history = account.client.get(f"{path}/history").json()
    assert [entry["type"] for entry in history] == ["TodoCreated", "TodoChanged", "TodoDeleted"]
    positions = [entry["position"] for entry in history]
    assert positions == list(range(positions[0], positions[0] + 3))
    assert {entry["actor"] for entry in history} == {account.session_id}
    times = [entry["at"] for entry in history]
    assert [todo["created_at"], *times] == sorted([todo["created_at"], *times])
    assert history[0]["data"] == {name: value for name, value in todo.items() if name != "url"}
    assert history[1]["data"] == {
        "title": "two",
        "completed": True,
        "completed_at": changed["completed_at"],
        "updated_at": changed["updated_at"],
        "version": 2,
    }
    assert history[2]["data"] == {}


def test_history_is_read_in_parts(account: Account) -> None:
    path = f"/todos/{create(account.client)['id']}"
    for number in range(4):
        account.client.patch(path, json={"order": number})
    whole = account.client.get(f"{path}/history").json()
    assert len(whole) == 5
    parts: list[dict[str, Any]] = []
    while part := account.client.get(
        f"{path}/history", params={"limit": 2, "after": parts[-1]["position"] if parts else 0}
    ).json():
        parts += part
    assert parts == whole


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "after=-1", "after=x", "limit=", "after=99999999999999999999"]
)
def test_a_part_of_history_that_cannot_be_is_refused(account: Account, query: str) -> None:
    todo = create(account.client)
    assert_problem(account.client.get(f"/todos/{todo['id']}/history?{query}"), 422, "invalid_input")
