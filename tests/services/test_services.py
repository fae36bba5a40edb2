"""Modules as services: they work alone, know who is asking, and prove to each other who they are."""

import time
from collections.abc import Iterator

import httpx
import pytest
from tests.support.accounts import Account, register
from tests.support.eventually import eventually
from tests.support.problems import assert_problem
from tests.support.services import RunningServices

from banyan.kernel.ids import new_id


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServices]:
    with RunningServices(tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture
def ada(services: RunningServices) -> Iterator[Account]:
    account = register(services["users"].url)
    yield account
    account.client.close()


def ask(
    services: RunningServices, module: str, method: str, path: str, who: Account, **options
) -> httpx.Response:
    headers = {"authorization": f"Bearer {who.access_token}"}
    return httpx.request(
        method, services[module].url + path, headers=headers, trust_env=False, timeout=10, **options
    )


def test_each_service_serves_its_own_part(services: RunningServices, ada: Account) -> None:
    made = ask(services, "todos", "POST", "/todos", ada, json={"title": "Tea"})
    assert made.status_code == 201
    assert [todo["title"] for todo in ask(services, "todos", "GET", "/todos", ada).json()] == ["Tea"]
    assert ask(services, "notifications", "GET", "/notifications/unread_count", ada).status_code == 200
    for module, path in (("todos", "/users/me"), ("users", "/todos"), ("notifications", "/todos")):
        assert_problem(ask(services, module, "GET", path, ada), 404, "not_found")
    assert services["users"].rows("SELECT count(*) FROM todos") == [(0,)], "no shared tables"
    assert services["todos"].rows("SELECT count(*) FROM users") == [(0,)], "no shared tables"


def test_a_service_asks_another_by_contract(services: RunningServices, ada: Account) -> None:
    sent = ask(services, "notifications", "POST", f"/notify/{ada.id}", ada, json={"message": "Hello"})
    assert sent.status_code == 202
    grace = register(services["users"].url)
    assert services.operate("users", "create-admin", grace.email).code == 0
    grace.use_new_session()
    for user_id, status in ((ada.id, 202), (new_id(), 404)):
        answer = ask(services, "notifications", "POST", f"/notify/{user_id}", grace, json={"message": "Hi"})
        assert answer.status_code == status
    inbox = ask(services, "notifications", "GET", "/notifications", ada).json()
    # The welcome may have come between them.
    assert [one["message"] for one in inbox if one["kind"] == "message"] == ["Hi", "Hello"]


def test_operators_see_all_databases_together(services: RunningServices, ada: Account) -> None:
    ask(services, "todos", "POST", "/todos", ada, json={"title": "Tea"})
    streams = {event["stream"] for event in services.operate("events", "tail", "--json").json_lines()}
    assert {"users", "todos"} <= streams
    verified = services.operate("events", "verify", "--json")
    assert verified.json()["differences"] == 0, verified.out
    assert verified.json()["users"] >= 1
    assert services.operate("events", "rebuild", "todo-stats", "--json").json()["failures"] == {}
    for command in ("parked", "lag", "redrive"):
        assert services.operate("events", command, "--json").code == 0, command


def test_an_ended_session_is_refused_everywhere_within_a_second(
    services: RunningServices, ada: Account
) -> None:
    assert ask(services, "todos", "GET", "/todos", ada).status_code == 200
    assert ask(services, "users", "POST", "/auth/logout", ada, json={}).status_code == 204
    began = time.monotonic()
    for module, path in (("todos", "/todos"), ("notifications", "/notifications")):
        eventually(
            lambda m=module, p=path: ask(services, m, "GET", p, ada).status_code == 401 or None,
            f"{module} refuses the ended session",
        )
    # Asked for twice a second; the rest is room for a busy machine.
    assert time.monotonic() - began < 2


def test_what_is_internal_is_for_services_alone(services: RunningServices, ada: Account) -> None:
    for path in ("/internal/users/existing", "/internal/users/redeem-ticket", "/internal/users/session-news"):
        answer = ask(services, "users", "POST", path, ada, json={"user_ids": [ada.id]})
        assert_problem(answer, 401, "unauthenticated")
        forged = httpx.post(
            services["users"].url + path,
            json={"user_ids": []},
            headers={"banyan-service-token": ada.access_token},
            trust_env=False,
        )
        assert_problem(forged, 401, "unauthenticated")
    assert (
        "/internal/users/existing"
        not in httpx.get(services["users"].url + "/openapi.json", trust_env=False).text
    )


def test_the_document_tells_the_whole_api(services: RunningServices) -> None:
    paths = httpx.get(services["users"].url + "/openapi.json", trust_env=False).json()["paths"]
    assert {"/users/me", "/todos", "/notifications", "/events"} <= set(paths)
    assert_problem(httpx.get(services["todos"].url + "/openapi.json", trust_env=False), 404, "not_found")
