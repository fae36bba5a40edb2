"""One service is down, slow or not who it says: the others go on, answer quickly, and heal by themselves."""

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from tests.support.accounts import Account, register
from tests.support.eventually import eventually
from tests.support.problems import assert_problem
from tests.support.services import RunningServices

pytestmark = pytest.mark.faults

# What RELIABILITY promises for an outage, with room for a busy machine.
FIRST_ANSWER_SECONDS = 1.0 + 1.0
OPEN_BREAKER_SECONDS = 0.1 + 0.4


@pytest.fixture
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServices]:
    with RunningServices(tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture
def ada(services: RunningServices) -> Account:
    """An administrator: whom else she may notify, `users` must be asked."""
    account = register(services["users"].url)
    assert services.operate("users", "create-admin", account.email).code == 0
    account.use_new_session()
    return account


@pytest.fixture
def bob(services: RunningServices) -> Account:
    return register(services["users"].url)


def client(services: RunningServices, module: str, who: Account) -> httpx.Client:
    headers = {"authorization": f"Bearer {who.access_token}"}
    return httpx.Client(base_url=services[module].url, headers=headers, timeout=10, trust_env=False)


def notify(inbox: httpx.Client, who: Account) -> httpx.Response:
    return inbox.post(f"/notify/{who.id}", json={"message": "Hello"})


def seconds_of(inbox: httpx.Client, who: Account) -> float:
    """How long a refusal took that must be a 503 problem with Retry-After."""
    began = time.monotonic()
    answer = notify(inbox, who)
    assert_problem(answer, 503)
    assert int(answer.headers["retry-after"]) >= 1
    return time.monotonic() - began


def test_with_users_down_tokens_verify_and_what_needs_users_is_refused_quickly(
    services: RunningServices, ada: Account, bob: Account
) -> None:
    with client(services, "todos", ada) as todos, client(services, "notifications", ada) as inbox:
        assert todos.get("/todos").status_code == 200
        assert notify(inbox, bob).status_code == 202
        services["users"].kill9()

        assert todos.post("/todos", json={"title": "Still here"}).status_code == 201
        assert [todo["title"] for todo in todos.get("/todos").json()] == ["Still here"]
        assert inbox.get("/notifications").status_code == 200
        assert todos.get("/readyz").status_code == 200
        assert seconds_of(inbox, bob) < FIRST_ANSWER_SECONDS
        for _ in range(10):  # the breaker opens
            seconds_of(inbox, bob)
        assert sorted(seconds_of(inbox, bob) for _ in range(20))[10] < OPEN_BREAKER_SECONDS

        services["users"].start()
        eventually(lambda: notify(inbox, bob).status_code == 202 or None, "notify works again")


def test_a_service_that_hangs_holds_nobody_longer_than_the_deadline(
    services: RunningServices, ada: Account, bob: Account
) -> None:
    with client(services, "notifications", ada) as inbox, services["users"].paused():
        assert seconds_of(inbox, bob) < FIRST_ANSWER_SECONDS
        assert inbox.get("/livez").status_code == 200
        for _ in range(5):  # the breaker opens
            seconds_of(inbox, bob)
        assert sorted(seconds_of(inbox, bob) for _ in range(20))[10] < OPEN_BREAKER_SECONDS


def test_a_service_that_starts_before_users_is_not_ready_and_then_is(
    services: RunningServices, ada: Account
) -> None:
    services["users"].kill9()
    early = services.another("todos")
    early.launch()
    try:
        url = eventually(early.url_in_lock_file, "it listens")
        headers = {"authorization": f"Bearer {ada.access_token}"}

        def get(path: str) -> httpx.Response | None:
            try:
                return httpx.get(url + path, headers=headers, trust_env=False)
            except httpx.TransportError:
                return None

        assert eventually(lambda: get("/livez"), "it answers").status_code == 200
        assert_problem(httpx.get(url + "/readyz", trust_env=False), 503)
        # It cannot tell a good token from a bad one yet, and must not say that this one is bad.
        assert_problem(httpx.get(url + "/todos", headers=headers, trust_env=False), 503)
        services["users"].start()
        early.wait_ready()
        assert httpx.get(url + "/todos", headers=headers, trust_env=False).status_code == 200
    finally:
        early.stop()


def test_a_session_that_ended_while_a_service_was_away_is_refused_by_it(
    services: RunningServices, ada: Account
) -> None:
    services["todos"].kill9()
    assert ada.client.post("/auth/logout", json={}).status_code == 204
    services["todos"].start()
    with client(services, "todos", ada) as todos:
        assert_problem(todos.get("/todos"), 401, "unauthenticated")


@contextmanager
def impostor(port: int) -> Iterator[list[str]]:
    """Something on the port of `users` that says yes to everything; yields the paths that it was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None: ...  # noqa: A002

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_who_cannot_prove_to_be_a_service_is_not_believed(
    services: RunningServices, ada: Account, bob: Account
) -> None:
    services["users"].kill9()
    with impostor(services["users"].port) as asked, client(services, "notifications", ada) as inbox:
        # `existing` is answered with the very ids that were asked for.
        assert_problem(notify(inbox, bob), 503)
        assert "/internal/users/existing" in asked
