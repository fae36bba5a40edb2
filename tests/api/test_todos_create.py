import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from tests.support.accounts import Account, client_of, register
from tests.support.problems import assert_problem, pointers
from tests.support.server import RunningServer
from tests.support.todos import all_of, create

from banyan.kernel.clock import from_text

NewUser = Callable[..., Account]


@pytest.fixture(scope="module")
def account(server: RunningServer) -> Account:
    """One user for the tests that look at nothing but what they made."""
    return register(server.url)


def test_a_title_is_enough(account: Account, server: RunningServer) -> None:
    before = datetime.now(UTC)
    answer = account.client.post("/todos", json={"title": "Test"})
    assert answer.status_code == 201
    todo = answer.json()
    assert UUID(todo["id"]).version == 7
    url = f"{server.url}/todos/{todo['id']}"
    made_at = from_text(todo["created_at"])
    assert before - timedelta(seconds=1) <= made_at <= datetime.now(UTC) + timedelta(seconds=1)
    assert todo == {
        "id": todo["id"],
        "url": url,
        "title": "Test",
        "completed": False,
        "order": None,
        "notes": None,
        "due_at": None,
        "remind_at": None,
        "priority": 0,
        "labels": [],
        "list_id": None,
        "created_at": todo["created_at"],
        "updated_at": todo["created_at"],
        "completed_at": None,
        "version": 1,
    }
    assert answer.headers["location"] == url
    assert answer.headers["etag"] == '"1"'
    assert account.client.get(url).json() == todo


def test_all_fields_together(account: Account) -> None:
    garden = account.client.post("/lists", json={"name": "Garden"}).json()
    own_id = str(uuid4())
    sent = {
        "id": own_id.upper(),
        "title": "  Gießen \N{DECIDUOUS TREE} \t and so on  ",
        "completed": True,
        "order": -5,
        "notes": "one\n\ntwo \\u0000 three",
        "due_at": "2031-05-01T12:00:00+02:00",
        "remind_at": "2031-05-01T09:30:00.25Z",
        "priority": 4,
        "labels": ["b", "a", "b", "ä"],
        "list_id": garden["id"].upper(),
    }
    answer = account.client.post("/todos", json=sent)
    assert answer.status_code == 201
    todo = answer.json()
    assert todo["completed_at"] == todo["created_at"]
    assert {name: todo[name] for name in sent} == {
        **sent,
        "id": own_id,
        "due_at": "2031-05-01T10:00:00.000000Z",
        "remind_at": "2031-05-01T09:30:00.250000Z",
        # Each label once, in the order in which they were sent.
        "labels": ["b", "a", "ä"],
        "list_id": garden["id"],
    }
    assert account.client.get(f"/todos/{own_id}").json() == todo


def test_the_same_id_again_is_the_same_to_do(new_user: NewUser) -> None:
    account = new_user()
    own_id = str(uuid4())
    first = account.client.post("/todos", json={"id": own_id, "title": "first"})
    again = account.client.post("/todos", json={"id": own_id, "title": "not this one"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    account.client.patch(f"/todos/{own_id}", json={"title": "changed meanwhile"})
    third = account.client.post("/todos", json={"id": own_id, "title": "first"})
    assert (third.status_code, third.json()["title"], third.headers["etag"]) == (
        200,
        "changed meanwhile",
        '"2"',
    )
    assert len(all_of(account.client)) == 1


def test_two_users_may_choose_the_same_id(new_user: NewUser) -> None:
    one, other = new_user(), new_user()
    own_id = str(uuid4())
    create(one.client, "of one", id=own_id)
    assert create(other.client, "of the other", id=own_id)["title"] == "of the other"
    assert one.client.get(f"/todos/{own_id}").json()["title"] == "of one"
    assert other.client.delete(f"/todos/{own_id}").status_code == 204
    assert one.client.get(f"/todos/{own_id}").status_code == 200


@pytest.mark.single_process  # a fleet has a public URL, and that name counts
def test_addresses_follow_the_host_that_the_client_used(account: Account, server: RunningServer) -> None:
    headers = {"host": "todos.example.org:8443"}
    answer = account.client.post("/todos", json={"title": "x"}, headers=headers)
    todo = answer.json()
    assert todo["url"] == answer.headers["location"] == f"http://todos.example.org:8443/todos/{todo['id']}"
    path = f"/todos/{todo['id']}"
    assert account.client.get(path, headers=headers).json()["url"] == todo["url"]
    assert account.client.get(path).json()["url"] == server.url + path
    assert account.client.get("/todos", headers=headers).json()[0]["url"] == todo["url"]
    assert account.client.get("/todos").json()[0]["url"] == server.url + path


def test_a_host_that_is_no_host_is_not_repeated(account: Account, server: RunningServer) -> None:
    answer = account.client.post("/todos", json={"title": "x"}, headers={"host": 'evil"><script>'})
    assert answer.status_code in (201, 400)
    if answer.status_code == 201:
        assert answer.headers["location"].startswith(server.url)


def test_addresses_follow_the_public_url_when_it_is_set(
    make_server: Callable[..., RunningServer], new_user: NewUser
) -> None:
    public = make_server({"BANYAN_PUBLIC_URL": "https://todos.example.org/"})
    account = new_user(server=public)
    answer = account.client.post("/todos", json={"title": "x"}, headers={"host": "elsewhere.example"})
    todo = answer.json()
    assert todo["url"] == answer.headers["location"] == f"https://todos.example.org/todos/{todo['id']}"
    assert account.client.get("/todos", params={"limit": 1}).json()[0]["url"] == todo["url"]
    create(account.client)
    page = account.client.get("/todos", params={"limit": 1})
    assert page.links["next"]["url"].startswith("https://todos.example.org/todos?limit=1&cursor=")
    # And over https, browsers are told to stay there.
    assert page.headers["strict-transport-security"].startswith("max-age=")
    assert account.client.get("/lists").headers["strict-transport-security"].startswith("max-age=")


BAD_FIELDS = [
    ({}, "/title"),
    ({"title": None}, "/title"),
    ({"title": ""}, "/title"),
    ({"title": " \n\t "}, "/title"),
    ({"title": "x" * 501}, "/title"),
    ({"title": 5}, "/title"),
    ({"title": ["x"]}, "/title"),
    ({"title": "x", "completed": "true"}, "/completed"),
    ({"title": "x", "completed": 1}, "/completed"),
    ({"title": "x", "completed": None}, "/completed"),
    ({"title": "x", "order": "1"}, "/order"),
    ({"title": "x", "order": 1.0}, "/order"),
    ({"title": "x", "order": True}, "/order"),
    ({"title": "x", "order": 2**31}, "/order"),
    ({"title": "x", "order": -(2**31) - 1}, "/order"),
    ({"title": "x", "order": 10**4000}, "/order"),
    ({"title": "x", "notes": "x" * 10_001}, "/notes"),
    ({"title": "x", "notes": 5}, "/notes"),
    ({"title": "x", "due_at": "2030-01-31"}, "/due_at"),
    ({"title": "x", "due_at": "2030-01-31T09:00:00"}, "/due_at"),
    ({"title": "x", "due_at": 1893456000}, "/due_at"),
    ({"title": "x", "remind_at": "tomorrow"}, "/remind_at"),
    ({"title": "x", "remind_at": "0001-01-01T00:00:00+10:00"}, "/remind_at"),
    ({"title": "x", "priority": 5}, "/priority"),
    ({"title": "x", "priority": -1}, "/priority"),
    ({"title": "x", "priority": None}, "/priority"),
    ({"title": "x", "labels": "garden"}, "/labels"),
    ({"title": "x", "labels": None}, "/labels"),
    ({"title": "x", "labels": [""]}, "/labels/0"),
    ({"title": "x", "labels": ["ok", " "]}, "/labels/1"),
    ({"title": "x", "labels": ["x" * 51]}, "/labels/0"),
    ({"title": "x", "labels": [f"label {n}" for n in range(21)]}, "/labels"),
    ({"title": "x", "list_id": "garden"}, "/list_id"),
    ({"title": "x", "id": "my-own"}, "/id"),
    ({"title": "x", "id": 5}, "/id"),
    # What Banyan decides cannot be sent.
    ({"title": "x", "version": 7}, "/version"),
    ({"title": "x", "user_id": "somebody"}, "/user_id"),
    ({"title": "x", "created_at": "2030-01-31T09:00:00Z"}, "/created_at"),
    ({"title": "x", "completed_at": "2030-01-31T09:00:00Z"}, "/completed_at"),
    ({"title": "x", "url": "http://x"}, "/url"),
    ({"title": "x", "a/b~c": 1}, "/a~1b~0c"),
    ([], "/"),
    ("title", "/"),
    (None, "/"),
]


@pytest.mark.parametrize(
    ("body", "pointer"), BAD_FIELDS, ids=[f"{n}-{p}" for n, (_, p) in enumerate(BAD_FIELDS)]
)
def test_a_field_that_cannot_be_accepted_is_named(account: Account, body: object, pointer: str) -> None:
    before = account.client.get("/todos").headers["etag"]
    answer = account.client.post(
        "/todos", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert pointers(assert_problem(answer, 422, "invalid_input")) == [pointer]
    assert account.client.get("/todos").headers["etag"] == before


def test_all_faults_are_named_at_once(account: Account) -> None:
    body = {"title": "", "order": "x", "surprise": 1}
    problem = assert_problem(account.client.post("/todos", json=body), 422)
    assert sorted(pointers(problem)) == ["/order", "/surprise", "/title"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"title": "x"',
        b'{"title": "x",}',
        b'\xef\xbb\xbf{"title": "x"}',
        b'{"title": "\xff"}',
        b'{"title": "a\x00b"}',
        rb'{"title": "a\u0000b"}',
        rb'{"title": "\ud800"}',
        b'{"title": "x", "order": NaN}',
        b'{"title": "x", "order": 1e999}',
        b'{"title": "x", "title": "y"}',
        b'{"title": "x", "labels": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"title": "x", "order": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
def test_what_is_no_strict_json_is_malformed(account: Account, body: bytes) -> None:
    answer = account.client.post("/todos", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, 400, "malformed_request")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_another_content_type_is_refused(account: Account, content_type: str) -> None:
    answer = account.client.post("/todos", content=b'{"title": "x"}', headers={"content-type": content_type})
    assert_problem(answer, 415, "unsupported_media_type")


def test_a_list_must_be_ones_own(new_user: NewUser) -> None:
    one, other = new_user(), new_user()
    garden = other.client.post("/lists", json={"name": "Garden"}).json()
    for list_id in (garden["id"], str(uuid4())):
        problem = assert_problem(
            one.client.post("/todos", json={"title": "x", "list_id": list_id}), 422, "list_unknown"
        )
        assert pointers(problem) == ["/list_id"]
    assert all_of(one.client) == []


def test_without_a_token_nothing_is_made(server: RunningServer) -> None:
    with client_of(server.url) as anonymous:
        answer = anonymous.post("/todos", json={"title": "x"})
        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_what_a_client_writes_is_what_it_reads(account: Account) -> None:
    for title in (
        '"quoted" \\ and / back',
        "<script>alert(1)</script>",
        "'; DROP TABLE todos; --",
        "\u2028\u2029\ufeff",
        "👩‍👩‍👧‍👦 e\u0301",
    ):
        todo = create(account.client, title, labels=[title[:50]], notes=title)
        read = account.client.get("/todos", params={"limit": 1}).json()[0]
        assert (read["title"], read["labels"], read["notes"]) == (title, [title[:50]], title)
        assert read == todo


def test_creations_that_arrive_together_fail_and_succeed_each_for_itself(new_user: NewUser) -> None:
    account = new_user()
    own_id = str(uuid4())

    async def together() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            base_url=account.client.base_url, headers=account.client.headers, trust_env=False, timeout=15
        ) as client:
            bodies = [
                {"title": f"t{n}", **({"list_id": str(uuid4())} if n % 5 == 0 else {})} for n in range(40)
            ]
            bodies += [{"title": "mine", "id": own_id}] * 10
            return await asyncio.gather(*(client.post("/todos", json=body) for body in bodies))

    answers = asyncio.run(together())
    statuses = [answer.status_code for answer in answers]
    assert statuses[:40] == [422 if n % 5 == 0 else 201 for n in range(40)]
    assert sorted(statuses[40:]) == [200] * 9 + [201]
    assert len(all_of(account.client)) == 32 + 1
