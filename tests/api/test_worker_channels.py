"""Webhooks done by workers, with RabbitMQ in between: receivers that are down or hang, and workers that are killed."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from tests.support.accounts import Account, welcomed
from tests.support.eventually import eventually
from tests.support.rabbitmq import RunningRabbitMQ, waiting_in
from tests.support.server import RunningServer
from tests.support.webhooks import Receiver
from tests.support.workers import RunningWorker

NewUser = Callable[..., Account]
MakeWorker = Callable[..., RunningWorker]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def other() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def ada(api_server: RunningServer, new_user: NewUser) -> Account:
    return welcomed(new_user(server=api_server))


def add_webhook(account: Account, receiver: Receiver) -> dict[str, Any]:
    answer = account.client.post("/notifications/channels", json={"kind": "webhook", "url": receiver.url})
    assert answer.status_code == 201, answer.text
    return answer.json()


def send_test(account: Account, channel: dict[str, Any]) -> str:
    return account.client.post(f"/notifications/channels/{channel['id']}/test").json()["id"]


def delivery(account: Account, sent: str) -> dict[str, Any]:
    """The one that does not go to the inbox."""
    ledger = account.client.get(f"/notifications/{sent}/deliveries").json()
    (found,) = [one for one in ledger if one["channel_id"] is not None]
    return found


def wait_for(account: Account, sent: str, status: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = delivery(account, sent)
        return found if found["status"] == status else None

    return eventually(look, f"it is {status}", within_seconds=30)


def end_leases(server: RunningServer) -> None:
    """As if the time of whoever has begun a delivery were over."""
    change = "UPDATE deliveries SET due_at = created FROM (SELECT min(created_at) AS created FROM notifications) AS first WHERE status = 'sending'"
    if "BANYAN_DATABASE_URL" in server.settings:
        server.rows(f"{change} RETURNING id")
        return
    with closing(sqlite3.connect(server.data_dir / "banyan.sqlite3", timeout=10)) as database:
        database.execute(change)
        database.commit()


def test_a_worker_sends_it_and_the_broker_sees_neither_url_nor_secret(
    api_server: RunningServer,
    broker: RunningRabbitMQ,
    make_worker: MakeWorker,
    ada: Account,
    receiver: Receiver,
) -> None:
    made = add_webhook(ada, receiver)
    sent = send_test(ada, made)
    eventually(lambda: waiting_in(broker.url)["tasks"] == 2 or None, "mail and webhook wait in the queue")
    assert delivery(ada, sent)["status"] == "queued"
    stored = b"".join(path.read_bytes() for path in broker.folder.rglob("*") if path.is_file())
    assert b'"kind":"delivery"' in stored
    worker = make_worker()
    (got,) = receiver.wait_for(1)
    assert got.verified(made["secret"])["data"]["id"] == sent
    assert wait_for(ada, sent, "delivered")["attempt"] == 1
    stored += b"".join(path.read_bytes() for path in broker.folder.rglob("*") if path.is_file())
    for secret in (made["secret"], receiver.url, f"127.0.0.1:{receiver.port}"):
        assert secret.encode() not in stored
    for log in (api_server.log_text(), worker.log_text()):
        assert made["secret"] not in log
        assert receiver.url not in log


def test_a_receiver_that_was_down_gets_it_once_and_delays_nobody(
    make_worker: MakeWorker, ada: Account, receiver: Receiver, other: Receiver
) -> None:
    make_worker()
    down, up = add_webhook(ada, receiver), add_webhook(ada, other)
    receiver.stop()
    waiting = [send_test(ada, down) for _ in range(2)]
    assert wait_for(ada, waiting[0], "retrying")["error"] == "NotConnected"
    assert wait_for(ada, send_test(ada, up), "delivered")["attempt"] == 1
    receiver.start()
    for sent in waiting:
        wait_for(ada, sent, "delivered")
    assert sorted(one.id for one in receiver.received) == sorted(delivery(ada, one)["id"] for one in waiting)


def test_a_receiver_that_hangs_does_not_hold_up_the_others(
    make_worker: MakeWorker, ada: Account, receiver: Receiver, other: Receiver
) -> None:
    make_worker(BANYAN_WORKER_CONCURRENCY="8", BANYAN_WEBHOOK_TIMEOUT="15")
    hanging, well = add_webhook(ada, receiver), add_webhook(ada, other)
    receiver.answering.clear()
    # Many more than a worker does side by side, and all of them before the one that is to come through.
    stuck = [send_test(ada, hanging) for _ in range(40)]
    receiver.wait_for(1)
    assert wait_for(ada, send_test(ada, well), "delivered")["attempt"] == 1
    # It did not even wait for the first of them to time out.
    assert {delivery(ada, sent)["error"] for sent in stuck} <= {None, "ReceiverBusy"}
    receiver.answering.set()


def test_a_worker_that_is_killed_before_it_could_say_so_repeats_with_the_same_id(
    api_server: RunningServer, make_worker: MakeWorker, ada: Account, receiver: Receiver
) -> None:
    made = add_webhook(ada, receiver)
    killed = make_worker(BANYAN_FAULT="after-send")
    sent = send_test(ada, made)
    (first,) = receiver.wait_for(1)
    eventually(lambda: not killed.is_running or None, "the worker is dead")
    assert delivery(ada, sent)["status"] == "sending"
    make_worker()
    end_leases(api_server)
    _, second = receiver.wait_for(2)
    assert first.id == second.id == delivery(ada, sent)["id"]
    assert first.body == second.body
    assert wait_for(ada, sent, "delivered")["attempt"] == 2


def test_gone_is_told_by_the_worker_and_disables_the_channel(
    make_worker: MakeWorker, ada: Account, receiver: Receiver
) -> None:
    make_worker()
    made = add_webhook(ada, receiver)
    receiver.answers = [410]
    assert wait_for(ada, send_test(ada, made), "failed")["error"] == "Status410"
    now = ada.client.get(f"/notifications/channels/{made['id']}").json()
    assert (now["enabled"], now["disabled_reason"]) == (False, "gone")
