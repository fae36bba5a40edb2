"""A worker beside services: it has no database, and does its tasks by their contracts."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from tests.support.accounts import Account, client_of, register
from tests.support.eventually import eventually
from tests.support.mailbox import Mailbox, token_in
from tests.support.rabbitmq import emptied_rabbitmq
from tests.support.services import MODULES, SECRET, RunningServices
from tests.support.todos import create
from tests.support.webhooks import Receiver
from tests.support.workers import RunningWorker

from banyan.kernel.ids import new_id


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServices]:
    folder = tmp_path_factory.mktemp("services")
    with RunningServices(folder, {"BANYAN_AMQP_URL": emptied_rabbitmq().url}) as running:
        yield running


@pytest.fixture(scope="module")
def worker(
    services: RunningServices, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningWorker, Mailbox]]:
    folder = tmp_path_factory.mktemp("worker")
    addresses = {f"BANYAN_{module.upper()}_URL": services[module].url for module in MODULES}
    own = {"BANYAN_SECRET_KEY": SECRET, "BANYAN_AMQP_URL": services["users"].settings["BANYAN_AMQP_URL"]}
    running = RunningWorker(folder, addresses | own)
    with running:
        yield running, Mailbox(folder / "data")


@pytest.fixture
def ada(services: RunningServices) -> Iterator[Account]:
    account = register(services["users"].url)
    yield account
    account.client.close()


def test_it_sends_the_mail_of_the_service_users(worker: tuple[RunningWorker, Mailbox], ada: Account) -> None:
    assert worker[1].wait_for(ada.email)


def test_it_tells_the_reminders_of_the_service_todos(
    services: RunningServices, worker: tuple[RunningWorker, Mailbox], ada: Account
) -> None:
    now = datetime.now(UTC).isoformat()
    with client_of(services["todos"].url, ada.access_token) as client:
        todo = create(client, "Water", remind_at=now)["id"]
    with client_of(services["notifications"].url, ada.access_token) as client:

        def told() -> list[str] | None:
            inbox = client.get("/notifications").json()
            return [one["data"]["todo_id"] for one in inbox if one["kind"] == "reminder"] or None

        assert eventually(told, "the reminder is told", within_seconds=20) == [todo]


def test_it_begins_and_settles_the_deliveries_of_the_service_notifications(
    services: RunningServices, worker: tuple[RunningWorker, Mailbox], ada: Account
) -> None:
    with client_of(services["notifications"].url, ada.access_token) as client:
        sent = client.post(f"/notify/{ada.id}", json={"message": "Hello"}).json()["id"]
        # Through a channel of another version, which this one cannot send through.
        services["notifications"].rows(
            "INSERT INTO deliveries (user_id, notification_id, id, channel, status, attempt, at, due_at)"
            f" SELECT user_id, notification_id, '{new_id()}', 'pigeon', 'queued', 0, at, at FROM deliveries"
            f" WHERE notification_id = '{sent}' RETURNING id"
        )

        def refused() -> dict | None:
            ledger = client.get(f"/notifications/{sent}/deliveries").json()
            return next((one for one in ledger if one["channel"] == "pigeon" and one["error"]), None)

        found = eventually(refused, "the attempt is settled", within_seconds=20)
    assert (found["attempt"], found["error"]) == (1, "UnknownChannel")
    assert found["status"] in ("retrying", "sending")


def test_it_sends_through_the_channels_that_people_have_set_up(
    services: RunningServices, worker: tuple[RunningWorker, Mailbox], ada: Account
) -> None:
    """Where to is asked of the service notifications, and of users behind it."""
    _, mailbox = worker
    letter = mailbox.wait_for(ada.email)
    with client_of(services["users"].url) as anonymous:
        assert anonymous.post("/auth/verify", json={"token": token_in(letter)}).status_code == 204
    with Receiver() as receiver, client_of(services["notifications"].url, ada.access_token) as client:
        hook = {"kind": "webhook", "url": receiver.url}
        secret = client.post("/notifications/channels", json=hook).json()["secret"]
        assert client.post("/notifications/channels", json={"kind": "email"}).status_code == 201
        client.post(f"/notify/{ada.id}", json={"title": "Garden", "message": "Water the banyan."})
        (got,) = receiver.wait_for(1)
        assert got.verified(secret)["data"]["message"] == "Water the banyan."
    assert "Water the banyan." in mailbox.wait_for(ada.email, subject="Garden").text
