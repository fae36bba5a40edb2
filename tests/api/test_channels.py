"""Channels that people set up: what they can do with them, and what arrives at the other end."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.support.accounts import Account, client_of, welcomed
from tests.support.eventually import eventually
from tests.support.mailbox import Mailbox, token_in
from tests.support.problems import assert_problem
from tests.support.server import RunningServer
from tests.support.webhooks import Receiver

from banyan.kernel.ids import new_id

NewUser = Callable[..., Account]
CHANNELS = "/notifications/channels"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def ada(new_user: NewUser) -> Account:
    return welcomed(new_user())


def add_webhook(account: Account, url: str, **fields: Any) -> dict[str, Any]:
    answer = account.client.post(CHANNELS, json={"kind": "webhook", "url": url, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def notify(account: Account, message: str = "Hello", **fields: Any) -> str:
    answer = account.client.post(f"/notify/{account.id}", json={"message": message, **fields})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def ledger(account: Account, notification_id: str) -> dict[str, dict[str, Any]]:
    """By channel's id, or kind for the inbox."""
    answer = account.client.get(f"/notifications/{notification_id}/deliveries")
    assert answer.status_code == 200, answer.text
    return {one["channel_id"] or one["channel"]: one for one in answer.json()}


def settled(account: Account, notification_id: str, channel_id: str, *states: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = ledger(account, notification_id)[channel_id]
        return found if found["status"] in states else None

    return eventually(look, f"the delivery is {' or '.join(states)}", within_seconds=20)


def test_a_webhook_is_added_read_changed_and_deleted(ada: Account, receiver: Receiver) -> None:
    answer = ada.client.post(CHANNELS, json={"kind": "webhook", "url": receiver.url, "name": "Door bell"})
    made = answer.json()
    assert answer.headers["location"].endswith(f"{CHANNELS}/{made['id']}")
    assert answer.headers["etag"] == '"1"'
    assert (made["kind"], made["name"], made["url"], made["enabled"]) == (
        "webhook",
        "Door bell",
        receiver.url,
        True,
    )
    assert made["host"] == f"127.0.0.1:{receiver.port}"
    assert made.pop("secret").startswith("whsec_")
    path = f"{CHANNELS}/{made['id']}"
    assert ada.client.get(path).json() == made
    assert ada.client.get(CHANNELS).json() == [made]
    changed = ada.client.patch(path, json={"name": None, "enabled": False}, headers={"if-match": '"1"'})
    assert (changed.json()["name"], changed.json()["enabled"], changed.headers["etag"]) == (
        None,
        False,
        '"2"',
    )
    lost = ada.client.patch(path, json={"enabled": True}, headers={"if-match": '"1"'})
    assert_problem(lost, 412, "version_mismatch")
    assert ada.client.patch(path, json={"enabled": False}).json()["version"] == 2
    assert ada.client.delete(path).status_code == 204
    assert_problem(ada.client.get(path), 404, "channel_not_found")
    assert ada.client.get(CHANNELS).json() == []


def test_a_notification_arrives_signed_and_stands_in_the_ledger(ada: Account, receiver: Receiver) -> None:
    made = add_webhook(ada, receiver.url)
    sent = notify(ada, "Grüße", title="Garden", data={"plant": "banyan"})
    (got,) = receiver.wait_for(1)
    message = got.verified(made["secret"])
    assert got.path == "/hook?token=abc"
    assert message["type"] == "notification.created"
    told = message["data"]
    assert (told["id"], told["message"], told["title"], told["data"]) == (
        sent,
        "Grüße",
        "Garden",
        {"plant": "banyan"},
    )
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.verified("whsec_" + "A" * 43 + "=") is None
    done = settled(ada, sent, made["id"], "delivered")
    assert (done["channel"], done["attempt"], done["error"], done["id"]) == ("webhook", 1, None, got.id)
    assert ledger(ada, sent)["in_app"]["status"] == "delivered"


def test_a_receiver_that_fails_gets_it_again_with_the_same_id(ada: Account, receiver: Receiver) -> None:
    receiver.answers = [500]
    made = add_webhook(ada, receiver.url)
    sent = notify(ada)
    first, second = receiver.wait_for(2)
    assert first.id == second.id
    assert first.body == second.body
    done = settled(ada, sent, made["id"], "delivered")
    assert done["attempt"] == 2
    assert len(receiver.received) == 2


def test_why_an_attempt_failed_stands_in_the_ledger(ada: Account, receiver: Receiver) -> None:
    receiver.stop()
    made = add_webhook(ada, receiver.url)
    sent = notify(ada)
    assert settled(ada, sent, made["id"], "retrying")["error"] == "NotConnected"
    receiver.start()
    assert settled(ada, sent, made["id"], "delivered")["error"] is None


def test_gone_disables_the_channel_until_its_owner_enables_it(ada: Account, receiver: Receiver) -> None:
    receiver.answers = [410]
    made = add_webhook(ada, receiver.url)
    sent = notify(ada)
    failed = settled(ada, sent, made["id"], "failed")
    assert (failed["attempt"], failed["error"]) == (1, "Status410")
    path = f"{CHANNELS}/{made['id']}"
    now = ada.client.get(path).json()
    assert (now["enabled"], now["disabled_reason"], now["version"]) == (False, "gone", 2)
    assert made["id"] not in ledger(ada, notify(ada))
    assert_problem(ada.client.post(f"{path}/test"), 409, "channel_disabled")
    again = ada.client.patch(path, json={"enabled": True}).json()
    assert (again["enabled"], again["disabled_reason"]) == (True, None)
    assert settled(ada, notify(ada), made["id"], "delivered")


def test_a_test_message_is_a_real_delivery_through_that_channel_alone(
    ada: Account, receiver: Receiver
) -> None:
    add_webhook(ada, "http://127.0.0.1:9/nobody")
    made = add_webhook(ada, receiver.url)
    answer = ada.client.post(f"{CHANNELS}/{made['id']}/test")
    assert answer.status_code == 202
    assert answer.json()["status"] == "sent"
    (got,) = receiver.wait_for(1)
    assert got.verified(made["secret"])["data"]["data"] == {"test": True, "channel_id": made["id"]}
    settled(ada, answer.json()["id"], made["id"], "delivered")
    assert ledger(ada, answer.json()["id"]).keys() == {"in_app", made["id"]}


def test_another_secret_signs_beside_the_former_one(ada: Account, receiver: Receiver) -> None:
    made = add_webhook(ada, receiver.url)
    rotated = ada.client.post(f"{CHANNELS}/{made['id']}/secret").json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != made["secret"]
    assert rotated["version"] == 2
    notify(ada)
    (got,) = receiver.wait_for(1)
    for secret in (rotated["secret"], made["secret"]):
        assert got.verified(secret)["data"]["message"] == "Hello"


def test_which_channels_a_notification_goes_through(ada: Account, receiver: Receiver) -> None:
    made, other = add_webhook(ada, receiver.url), add_webhook(ada, receiver.url)
    off = add_webhook(ada, receiver.url)
    ada.client.patch(f"{CHANNELS}/{off['id']}", json={"enabled": False})
    both = {"in_app", made["id"], other["id"]}
    assert ledger(ada, notify(ada)).keys() == both
    assert ledger(ada, notify(ada, channels=["webhook"])).keys() == both
    assert ledger(ada, notify(ada, channels=["in_app"])).keys() == {"in_app"}
    assert ledger(ada, notify(ada, channels=["email"])).keys() == {"in_app"}
    unknown = ada.client.post(f"/notify/{ada.id}", json={"message": "x", "channels": ["pigeon"]})
    assert_problem(unknown, 422)


def test_a_deleted_channel_gets_nothing_that_was_waiting_for_it(ada: Account, receiver: Receiver) -> None:
    receiver.stop()
    made = add_webhook(ada, receiver.url)
    sent = notify(ada)
    settled(ada, sent, made["id"], "retrying")
    assert ada.client.delete(f"{CHANNELS}/{made['id']}").status_code == 204
    receiver.start()
    assert settled(ada, sent, made["id"], "failed")["error"] == "ChannelDeleted"
    assert receiver.received == []


def test_one_key_makes_one_channel_and_the_same_answer(ada: Account, receiver: Receiver) -> None:
    key = {"idempotency-key": new_id()}
    body = {"kind": "webhook", "url": receiver.url}
    first, second = (ada.client.post(CHANNELS, json=body, headers=key) for _ in range(2))
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert first.headers["location"] == second.headers["location"]
    assert len(ada.client.get(CHANNELS).json()) == 1
    rotate = f"{CHANNELS}/{first.json()['id']}/secret"
    key = {"idempotency-key": new_id()}
    assert ada.client.post(rotate, headers=key).json() == ada.client.post(rotate, headers=key).json()
    test = f"{CHANNELS}/{first.json()['id']}/test"
    key = {"idempotency-key": new_id()}
    assert ada.client.post(test, headers=key).json() == ada.client.post(test, headers=key).json()
    assert_problem(ada.client.post(rotate, headers=key), 422, "idempotency_key_reused")


def test_there_may_be_ten_channels(ada: Account, receiver: Receiver) -> None:
    for _ in range(10):
        add_webhook(ada, receiver.url)
    eleventh = ada.client.post(CHANNELS, json={"kind": "webhook", "url": receiver.url})
    assert_problem(eleventh, 409, "too_many_channels")


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "webhook"},
        {"kind": "pigeon"},
        {"kind": "webhook", "url": "https://example.org/", "secret": "whsec_mine"},
        {"kind": "webhook", "url": "ftp://example.org/"},
        {"kind": "webhook", "url": "https://user:password@example.org/"},
        {"kind": "webhook", "url": "http://10.0.0.1/"},
        {"kind": "webhook", "url": "http://169.254.169.254/latest/meta-data/"},
        {"kind": "webhook", "url": "http://[::ffff:10.0.0.1]/"},
        {"kind": "webhook", "url": "http://0x7f.1/"},
        {"kind": "email", "url": "https://example.org/"},
    ],
)
def test_what_cannot_be_a_channel_is_refused(ada: Account, body: dict[str, Any]) -> None:
    assert_problem(ada.client.post(CHANNELS, json=body), 422)
    assert ada.client.get(CHANNELS).json() == []


def test_a_changed_url_is_checked_as_well(ada: Account, receiver: Receiver) -> None:
    path = f"{CHANNELS}/{add_webhook(ada, 'http://127.0.0.1:9/')['id']}"
    refused = ada.client.patch(path, json={"url": "http://192.168.0.1/"})
    assert_problem(refused, 422)
    assert refused.json()["errors"][0]["pointer"] == "/url"
    assert_problem(ada.client.patch(path, json={}), 422)
    changed = ada.client.patch(path, json={"url": receiver.url}).json()
    assert (changed["url"], changed["version"]) == (receiver.url, 2)
    notify(ada)
    receiver.wait_for(1)


def confirmed(account: Account, mailbox: Mailbox) -> None:
    letter = mailbox.wait_for(account.email, subject="Confirm")
    with client_of(str(account.client.base_url)) as anonymous:
        assert anonymous.post("/auth/verify", json={"token": token_in(letter)}).status_code == 204


def test_mail_goes_to_the_confirmed_address(
    make_server: Callable[..., RunningServer], new_user: NewUser
) -> None:
    server = make_server()
    ada, mailbox = new_user(server=server), Mailbox(server.data_dir)
    early = ada.client.post(CHANNELS, json={"kind": "email"})
    assert_problem(early, 409, "address_not_verified")
    confirmed(ada, mailbox)
    made = ada.client.post(CHANNELS, json={"kind": "email"}).json()
    assert (made["url"], made["host"], made["secret"]) == (None, None, None)
    assert_problem(ada.client.post(CHANNELS, json={"kind": "email"}), 409, "channel_exists")
    assert_problem(ada.client.post(f"{CHANNELS}/{made['id']}/secret"), 409, "not_a_webhook")
    assert_problem(ada.client.patch(f"{CHANNELS}/{made['id']}", json={"url": "https://example.org/"}), 422)
    sent = notify(ada, "Water the banyan\nand the fern", title="Garden\r\nBcc: eve@example.org")
    letter = mailbox.wait_for(ada.email, subject="Garden Bcc: eve@example.org")
    assert "Water the banyan" in letter.text
    done = settled(ada, sent, made["id"], "delivered")
    assert letter.entry.id == done["id"]


def test_nothing_secret_is_stored_or_logged(
    make_server: Callable[..., RunningServer], new_user: NewUser, receiver: Receiver
) -> None:
    server = make_server()
    ada = new_user(server=server)
    key = {"idempotency-key": new_id()}
    made: dict[str, Any] = ada.client.post(
        CHANNELS, json={"kind": "webhook", "url": receiver.url}, headers=key
    ).json()
    receiver.answers = [500]
    notify(ada)
    receiver.wait_for(2)
    tables = ("notification_channels", "events", "idempotency_keys", "deliveries")
    stored = repr([server.rows(f"SELECT * FROM {table}") for table in tables])
    for text in (stored, server.log_text()):
        assert made["secret"] not in text
        assert "token=abc" not in text
    assert made["id"] in stored


def test_a_deleted_account_leaves_no_channel(
    make_server: Callable[..., RunningServer], new_user: NewUser, receiver: Receiver
) -> None:
    server = make_server()
    ada = new_user(server=server)
    add_webhook(ada, receiver.url)
    gone: httpx.Response = ada.client.request("DELETE", "/users/me", json={"password": ada.password})
    assert gone.status_code == 204
    eventually(
        lambda: server.rows("SELECT id FROM notification_channels") == [] or None, "its channels are gone"
    )
