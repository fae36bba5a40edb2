"""What happens in one service reaches the others: consumers, live streams, and the end of an account."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from tests.support.accounts import Account, client_of, register
from tests.support.eventually import eventually
from tests.support.services import RunningServices
from tests.support.streams import event_stream

from banyan.kernel.clock import SystemClock, to_text


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServices]:
    with RunningServices(tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture
def ada(services: RunningServices) -> Iterator[Account]:
    account = register(services["users"].url)
    yield account
    account.client.close()


def kinds(services: RunningServices, who: Account) -> list[str]:
    with client_of(services["notifications"].url, who.access_token) as inbox:
        return [one["kind"] for one in inbox.get("/notifications").json()]


def test_a_registration_is_welcomed_and_a_reminder_rings_once(
    services: RunningServices, ada: Account
) -> None:
    with client_of(services["todos"].url, ada.access_token) as todos:
        soon = to_text(SystemClock().now() + timedelta(seconds=1))
        assert todos.post("/todos", json={"title": "Tea", "remind_at": soon}).status_code == 201
    eventually(
        lambda: "reminder" in kinds(services, ada) or None, "the reminder is in the inbox", within_seconds=30
    )
    assert sorted(kinds(services, ada)) == ["reminder", "welcome"]


def test_a_live_stream_tells_what_every_service_does_and_resumes(
    services: RunningServices, ada: Account
) -> None:
    live = client_of(services["notifications"].url, ada.access_token)
    todos = client_of(services["todos"].url, ada.access_token)
    with live, todos:
        with event_stream(live) as stream:
            cursor = stream.until("ready").cursor
            todos.post("/todos", json={"title": "Tea"})
            told = stream.until("TodoCreated")
            assert told.data["data"]["title"] == "Tea"
        for title in ("Milk", "Bread"):
            todos.post("/todos", json={"title": title})
        with event_stream(live, since=cursor) as stream:
            titles = [stream.until("TodoCreated").data["data"]["title"] for _ in range(3)]
        assert titles == ["Tea", "Milk", "Bread"]


def test_a_deleted_account_is_erased_in_every_database(services: RunningServices, ada: Account) -> None:
    with client_of(services["todos"].url, ada.access_token) as todos:
        todos.post("/todos", json={"title": "Private"})
    eventually(lambda: "welcome" in kinds(services, ada) or None, "the welcome has come", within_seconds=30)
    deleted = ada.client.request("DELETE", "/users/me", json={"password": ada.password})
    assert deleted.status_code == 204

    def is_gone() -> bool | None:
        left = [
            services[module].rows(f"SELECT 1 FROM {table} WHERE user_id = '{ada.id}'")
            for module, table in (("todos", "todos"), ("notifications", "notifications"))
        ]
        return True if not any(left) else None

    eventually(is_gone, "nothing of the account is left", within_seconds=30)
    assert services.operate("events", "verify", "--json").json()["differences"] == 0
