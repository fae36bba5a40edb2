"""Notifications through HTTP: sending, the inbox, reading, deleting, and the ledger."""

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.support.accounts import Account
from tests.support.server import RunningServer, server_kind
from tests.support.streams import event_stream

NewUser = Callable[..., Account]
UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"


def until(true: Callable[[], bool]) -> None:
    """Wait for something that another part of the server does in its own time."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it did not happen within 10 s"
        time.sleep(0.01)


def inbox(account: Account, **query: Any) -> list[dict[str, Any]]:
    answer = account.client.get("/notifications", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def unread(account: Account) -> int:
    return account.client.get("/notifications/unread_count").json()["unread"]


def send(account: Account, message: str = "Hello", **fields: Any) -> str:
    answer = account.client.post(f"/notify/{account.id}", json={"message": message, **fields})
    assert answer.status_code == 202, answer.text
    assert answer.json().keys() == {"id", "status"}
    assert answer.json()["status"] == "sent"
    return answer.json()["id"]


def is_problem(answer: httpx.Response, status: int, code: str, pointer: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    if pointer is not None:
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


@pytest.fixture
def ada(new_user: NewUser) -> Account:
    """Somebody whose inbox is empty: the welcome has come and was deleted."""
    account = new_user()
    until(lambda: unread(account) == 1)
    assert account.client.delete("/notifications").status_code == 204
    return account


@pytest.fixture
def bob(new_user: NewUser) -> Account:
    account = new_user(name="Bob")
    until(lambda: unread(account) == 1)
    return account


# Sending


def test_a_new_account_is_welcomed_once(new_user: NewUser):
    account = new_user()
    until(lambda: unread(account) == 1)
    (welcome,) = inbox(account)
    assert welcome["kind"] == "welcome"


def test_what_is_sent_lies_in_the_inbox_when_it_is_acknowledged(ada: Account):
    sent = send(ada, "Hello", title="Greeting", data={"n": 1, "deep": [{"x": None}]})
    (found,) = inbox(ada)
    created_at = datetime.fromisoformat(found.pop("created_at"))
    assert abs(datetime.now(UTC) - created_at) < timedelta(minutes=1)
    assert found == {
        "id": sent,
        "kind": "message",
        "title": "Greeting",
        "message": "Hello",
        "data": {"n": 1, "deep": [{"x": None}]},
        "read": False,
        "read_at": None,
    }
    assert unread(ada) == 1


@pytest.mark.parametrize(
    "text", ["<b>bold</b> & \"quoted\"", "Zeile\nzwei", "𝄞 日本 ‮RTL", "x" * 2000, " padded ", "{{7*7}} ' OR 1=1 --"]
)  # fmt: skip
def test_texts_come_back_as_they_were_sent(ada: Account, text: str):
    send(ada, text, title=text[:200], data={"text": text})
    (found,) = inbox(ada)
    assert (found["message"], found["title"], found["data"]) == (text, text[:200], {"text": text})


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/message"),
        ({"message": ""}, "/message"),
        ({"message": " \n\t"}, "/message"),
        ({"message": "x" * 2001}, "/message"),
        ({"message": 7}, "/message"),
        ({"message": None}, "/message"),
        ({"message": "x", "title": "x" * 201}, "/title"),
        ({"message": "x", "title": 7}, "/title"),
        ({"message": "x", "data": []}, "/data"),
        ({"message": "x", "data": "text"}, "/data"),
        ({"message": "x", "data": None}, "/data"),
        ({"message": "x", "data": {"x": "y" * 16_384}}, "/data"),
        ({"message": "x", "channels": []}, "/channels"),
        ({"message": "x", "channels": "in_app"}, "/channels"),
        ({"message": "x", "channels": ["in_app"] * 11}, "/channels"),
        ({"message": "x", "channels": ["pigeon"]}, "/channels/0"),
        ({"message": "x", "unknown": 1}, "/unknown"),
        ({"message": "x", "kind": "security"}, "/kind"),
        ({"message": "x", "read": True}, "/read"),
    ],
)
def test_what_cannot_be_sent_is_refused_precisely_and_nothing_is_stored(
    ada: Account, body: Any, pointer: str
):
    is_problem(ada.client.post(f"/notify/{ada.id}", json=body), 422, "invalid_input", pointer)
    assert inbox(ada) == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b'"x"', b"null", b'{"message": "a\\u0000b"}', b'{"message": "\\ud800"}', b'{"message": NaN}',
        b'{"message": "x", "data": {"n": NaN}}', b'{"message": "x", "message": "y"}', b'\xff', b'{"message": "x", "data": '
        + b'{"a":' * 100 + b"1" + b"}" * 101, b'{"message": "x", "data": {"\\ud800": 1}}', b'{"message": "x", "data": {"\\u0000": 1}}',
    ],
)  # fmt: skip
def test_malformed_bodies_are_refused_and_nothing_is_stored(ada: Account, body: bytes):
    answer = ada.client.post(f"/notify/{ada.id}", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert inbox(ada) == []


@pytest.mark.parametrize("number", [10**30, -(10**18), 1.5e300, 0.1, 2**53 + 1])
def test_numbers_in_data_survive(ada: Account, number: float):
    send(ada, data={"n": number})
    assert inbox(ada)[0]["data"] == {"n": number}


def test_data_may_be_as_large_as_it_says(ada: Account):
    largest = {"x": "y" * (16_384 - len('{"x":""}'))}
    send(ada, data=largest)
    assert inbox(ada)[0]["data"] == largest


def test_channels_that_are_missing_are_named_with_those_that_are_there(ada: Account):
    send(ada, channels=["in_app", "in_app"])
    answer = ada.client.post(f"/notify/{ada.id}", json={"message": "x", "channels": ["pigeon"]})
    assert "available: in_app, email, webhook" in answer.json()["errors"][0]["detail"]


def test_to_others_one_may_not_send_and_learns_nothing_of_them(ada: Account, bob: Account):
    strangers = [bob.id, UNKNOWN, "nonsense"]
    if server_kind() != "fleet":  # Envoy refuses this one itself, as no HTTP
        strangers.append("%00")
    answers = [ada.client.post(f"/notify/{who}", json={"message": "x"}) for who in strangers]
    for answer in answers:
        is_problem(answer, 404, "user_not_found")
        assert answer.json()["detail"] == "User not found"
        assert answer.json() == answers[0].json()
    assert unread(bob) == 1


def test_an_administrator_may_send_to_everybody_there_is(bob: Account, admin: Account):
    answer = admin.client.post(f"/notify/{bob.id.upper()}", json={"message": "From the administrator"})
    assert answer.status_code == 202, answer.text
    assert inbox(bob)[0]["message"] == "From the administrator"
    is_problem(admin.client.post(f"/notify/{UNKNOWN}", json={"message": "x"}), 404, "user_not_found")


@pytest.fixture
def admin(new_user: NewUser, server: RunningServer) -> Account:
    import subprocess
    import sys

    account = new_user(name="Root")
    command = [sys.executable, "-m", "banyan", "users", "create-admin", account.email]
    subprocess.run(command, env=server.environment, check=True, capture_output=True, timeout=60)
    account.use_new_session()
    return account


def test_many_at_once_are_all_kept_in_one_order(ada: Account, server: RunningServer):
    def send_one(number: int) -> str:
        return send(ada, str(number))

    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(send_one, range(120)))
    found = [one["id"] for one in inbox(ada, limit=200)]
    assert sorted(found) == sorted(sent)
    assert unread(ada) == 120


# Sending again


def test_one_idempotency_key_has_one_effect_and_one_answer(ada: Account):
    headers = {"idempotency-key": str(uuid.uuid4())}
    body = {"message": "once"}

    def send_again(_number: int) -> httpx.Response:
        return ada.client.post(f"/notify/{ada.id}", json=body, headers=headers)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send_again, range(16)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert [one["id"] for one in inbox(ada)] == [answers[0].json()["id"]]


def test_a_key_is_not_for_another_payload_and_belongs_to_its_user(ada: Account, bob: Account):
    headers = {"idempotency-key": "my key"}
    assert ada.client.post(f"/notify/{ada.id}", json={"message": "a"}, headers=headers).status_code == 202
    again = ada.client.post(f"/notify/{ada.id}", json={"message": "b"}, headers=headers)
    is_problem(again, 422, "idempotency_key_reused")
    assert bob.client.post(f"/notify/{bob.id}", json={"message": "a"}, headers=headers).status_code == 202
    assert len(inbox(ada)) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_cannot_be_kept_is_refused(ada: Account, key: str):
    answer = ada.client.post(f"/notify/{ada.id}", json={"message": "a"}, headers={"idempotency-key": key})
    assert answer.status_code == 422
    assert inbox(ada) == []


# The inbox


def test_pages_are_linked_newest_first(ada: Account):
    sent = [send(ada, str(number)) for number in range(7)]
    pages, url = [], "/notifications?limit=3&unread=true"
    while url:
        answer = ada.client.get(url)
        assert answer.status_code == 200, answer.text
        pages.append([one["id"] for one in answer.json()])
        url = answer.links.get("next", {}).get("url", "")
        assert url == "" or url.startswith(
            str(ada.client.base_url).rstrip("/") + "/notifications?limit=3&unread=true&"
        )
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [one for page in pages for one in page] == sent[::-1]


def test_without_a_limit_a_page_has_50(ada: Account):
    for number in range(51):
        send(ada, str(number))
    answer = ada.client.get("/notifications/")
    assert len(answer.json()) == 50
    assert "next" in answer.links


def test_only_what_is_unread(ada: Account):
    first, second = send(ada, "1"), send(ada, "2")
    ada.client.patch(f"/notifications/{first}", json={"read": True})
    assert [one["id"] for one in inbox(ada, unread="true")] == [second]
    assert [one["id"] for one in inbox(ada, unread="false")] == [second, first]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "query/limit"),
        ("limit=201", "query/limit"),
        ("limit=x", "query/limit"),
        ("limit=", "query/limit"),
        ("limit=1&limit=2", "query/limit"),
        ("unread=1", "query/unread"),
        ("unread=", "query/unread"),
        ("cursor=nonsense", "query/cursor"),
        ("cursor=", "query/cursor"),
        ("other=1", "query/other"),
        ("limit=%ff", "query"),
    ],
)
def test_a_query_that_means_nothing_is_refused(ada: Account, query: str, pointer: str):
    answer = ada.client.get("/notifications?" + query)
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_a_cursor_is_for_its_own_user_and_query(ada: Account, bob: Account):
    for number in range(3):
        send(ada, str(number))
    cursor = httpx.URL(ada.client.get("/notifications?limit=1").links["next"]["url"]).params["cursor"]
    assert len(inbox(ada, cursor=cursor)) == 2
    is_problem(bob.client.get("/notifications", params={"cursor": cursor}), 422, "invalid_cursor")
    wrong = ada.client.get("/notifications", params={"cursor": cursor, "unread": "true"})
    is_problem(wrong, 422, "invalid_cursor")


@pytest.mark.parametrize("path", ["/notifications", "/notifications?limit=2", "/notifications/unread_count"])
def test_what_has_not_changed_is_not_sent_again(ada: Account, path: str):
    send(ada)
    first = ada.client.get(path)
    tag = {"if-none-match": first.headers["etag"]}
    unchanged = ada.client.get(path, headers=tag)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == first.headers["etag"]
    send(ada)
    changed = ada.client.get(path, headers=tag)
    assert changed.status_code == 200
    assert changed.json() != first.json()
    assert changed.headers["etag"] != first.headers["etag"]


def test_one_page_is_never_taken_for_another(ada: Account):
    for number in range(3):
        send(ada, str(number))
    tag = ada.client.get("/notifications?limit=1").headers["etag"]
    assert ada.client.get("/notifications?limit=2", headers={"if-none-match": tag}).status_code == 200


def test_everyone_reads_their_own_writes(ada: Account):
    """The answers come from a cache; each write must be seen by the next read."""
    for number in range(1, 30):
        sent = send(ada, str(number))
        assert unread(ada) == number
        assert inbox(ada, limit=1)[0]["id"] == sent
    for number in range(1, 30):
        newest = inbox(ada, limit=1)[0]["id"]
        assert ada.client.delete(f"/notifications/{newest}").status_code == 204
        assert unread(ada) == 29 - number


# Reading and deleting


def test_reading_is_remembered_with_its_time(ada: Account):
    sent = send(ada)
    answer = ada.client.patch(f"/notifications/{sent}", json={"read": True})
    assert answer.status_code == 200
    read = answer.json()
    assert read["read"] is True
    assert read["read_at"] is not None
    assert unread(ada) == 0
    assert ada.client.patch(f"/notifications/{sent}/", json={"read": True}).json() == read
    assert ada.client.get(f"/notifications/{sent}").json() == read == inbox(ada)[0]
    again = ada.client.patch(f"/notifications/{sent}", json={"read": False}).json()
    assert (again["read"], again["read_at"]) == (False, None)
    assert unread(ada) == 1


@pytest.mark.parametrize(
    "body", [{}, {"read": None}, {"read": 1}, {"read": "true"}, {"read": True, "message": "x"}]
)
def test_nothing_else_of_a_notification_can_be_changed(ada: Account, body: Any):
    sent = send(ada)
    assert ada.client.patch(f"/notifications/{sent}", json=body).status_code == 422
    assert inbox(ada)[0]["read"] is False


def test_all_can_be_read_at_once(ada: Account):
    for number in range(3):
        send(ada, str(number))
    with event_stream(ada.client) as events:
        events.next()
        answer = ada.client.post("/notifications/read-all")
        assert (answer.status_code, answer.json()) == (200, {"updated": 3})
        assert [told.name for told in events.take(3)] == ["NotificationRead"] * 3
    assert ada.client.post("/notifications/read-all/").json() == {"updated": 0}
    assert unread(ada) == 0


def test_deleting_one_the_read_and_all(ada: Account):
    first, second, third = (send(ada, str(number)) for number in range(3))
    assert ada.client.delete(f"/notifications/{first}").status_code == 204
    is_problem(ada.client.delete(f"/notifications/{first}"), 404, "notification_not_found")
    ada.client.patch(f"/notifications/{second}", json={"read": True})
    assert ada.client.delete("/notifications?read=true").status_code == 204
    assert [one["id"] for one in inbox(ada)] == [third]
    is_problem(ada.client.delete("/notifications?read=maybe"), 422, "invalid_input", "query/read")
    assert ada.client.delete("/notifications/").status_code == 204
    assert inbox(ada) == []
    assert ada.client.delete("/notifications").status_code == 204


def test_another_persons_notification_answers_like_a_missing_one(ada: Account, bob: Account):
    theirs = inbox(bob)[0]["id"]
    for notification_id in (theirs, UNKNOWN, "nonsense"):
        path = f"/notifications/{notification_id}"
        for answer in (
            ada.client.get(path),
            ada.client.patch(path, json={"read": True}),
            ada.client.delete(path),
            ada.client.get(path + "/deliveries"),
        ):
            is_problem(answer, 404, "notification_not_found")
    assert unread(bob) == 1


def test_the_ledger_tells_how_it_was_delivered(ada: Account):
    sent = send(ada)
    (delivery,) = ada.client.get(f"/notifications/{sent}/deliveries").json()
    assert uuid.UUID(delivery.pop("id"))
    assert delivery == {
        "channel": "in_app",
        "status": "delivered",
        "attempt": 1,
        "at": inbox(ada)[0]["created_at"],
        "error": None,
        "channel_id": None,
    }


# What other modules bring about


def test_a_todo_that_falls_due_reminds_once(ada: Account):
    due = (datetime.now(UTC) + timedelta(seconds=0.3)).isoformat()
    todo = ada.client.post("/todos", json={"title": "Water the banyan", "due_at": due}).json()
    until(lambda: unread(ada) == 1)
    (found,) = inbox(ada)
    assert (found["kind"], found["message"]) == ("due", "Water the banyan")
    assert found["data"] == {"todo_id": todo["id"], "due_at": todo["due_at"]}


def test_a_changed_password_is_told_of(ada: Account):
    body = {"current_password": ada.password, "new_password": "another-lighthouse-77"}
    assert ada.client.post("/users/me/password", json=body).status_code == 204
    until(lambda: unread(ada) == 1)
    assert inbox(ada)[0]["kind"] == "security"


def test_nothing_is_kept_of_a_deleted_account(new_user: NewUser, server: RunningServer):
    account = new_user()
    until(lambda: unread(account) == 1)
    send(account, "a secret of mine " + account.id)
    assert (
        account.client.request("DELETE", "/users/me", json={"password": account.password}).status_code == 204
    )

    def is_gone() -> bool:
        tables = ("notifications WHERE", "deliveries WHERE", "events WHERE stream = 'notifications' AND")
        return not any(server.rows(f"SELECT * FROM {table} user_id = '{account.id}'") for table in tables)

    until(is_gone)
    is_problem(account.client.get("/notifications"), 401, "unauthenticated")


@pytest.fixture
def anonymous(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/notify/{UNKNOWN}"),
        ("GET", "/notifications"),
        ("GET", "/notifications/unread_count"),
        ("POST", "/notifications/read-all"),
        ("DELETE", "/notifications"),
        ("GET", f"/notifications/{UNKNOWN}"),
        ("PATCH", f"/notifications/{UNKNOWN}"),
        ("DELETE", f"/notifications/{UNKNOWN}"),
        ("GET", f"/notifications/{UNKNOWN}/deliveries"),
    ],
)
def test_nobody_gets_in_without_a_token(anonymous: httpx.Client, method: str, path: str):
    body = {"json": {"message": "x"}} if method in ("POST", "PATCH") else {}
    is_problem(anonymous.request(method, path, **body), 401, "unauthenticated")  # type: ignore[arg-type]
