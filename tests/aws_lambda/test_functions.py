"""Banyan on AWS Lambda: the real runtime client runs the handlers, against a runtime API and a PostgreSQL server of the test's."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.support.accounts import PASSWORD, unused_email
from tests.support.eventually import eventually
from tests.support.lambda_runtime import SECRET, FunctionFailed, LambdaFunction
from tests.support.postgres import find_binaries, postgres_server
from tests.support.server import migrated_postgres_url
from tests.support.webhooks import Receiver

from banyan.aws_lambda.settings import lambda_settings
from banyan.infra.db.migrate import newest_revision, upgrade
from banyan.kernel.clock import to_text
from banyan.settings import SettingsError

# Nobody listens there: a mail that is due is tried, and waits.
NO_MAIL = {"BANYAN_SMTP_HOST": "127.0.0.1", "BANYAN_SMTP_PORT": "9"}


@pytest.fixture(scope="module")
def database() -> str:
    return migrated_postgres_url()


@pytest.fixture(scope="module")
def api(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LambdaFunction]:
    with LambdaFunction(
        "handler", tmp_path_factory.mktemp("handler"), {"BANYAN_DATABASE_URL": database}
    ) as function:
        yield function


@pytest.fixture(scope="module")
def other(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LambdaFunction]:
    """Another environment of the same function."""
    with LambdaFunction(
        "handler", tmp_path_factory.mktemp("other"), {"BANYAN_DATABASE_URL": database}
    ) as function:
        yield function


@pytest.fixture(scope="module")
def relay(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LambdaFunction]:
    settings = {"BANYAN_DATABASE_URL": database, **NO_MAIL}
    with LambdaFunction("relay", tmp_path_factory.mktemp("relay"), settings) as function:
        yield function


def registered(api: LambdaFunction) -> dict[str, Any]:
    """A new user, logged in: the answer of POST /auth/login, and the user's id."""
    email = unused_email()
    made = api.request("POST", "/users/", {"name": "Ada Example", "email": email, "password": PASSWORD})
    assert made.status == 201, made.body
    session = api.request("POST", "/auth/login", {"email": email, "password": PASSWORD})
    assert session.status == 200, session.body
    return {**session.json(), "id": made.json()["id"]}


def connections_of(database: str) -> int:
    name = database.rpartition("/")[2]
    return int(
        postgres_server().sql(
            f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND backend_type = 'client backend'"
        )
    )


def in_transaction(database: str) -> str:
    name = database.rpartition("/")[2]
    return postgres_server().sql(
        f"SELECT string_agg(query, '; ') FROM pg_stat_activity WHERE datname = '{name}' AND state LIKE 'idle in transaction%'"
    )


@contextmanager
def locked(database: str, table: str) -> Iterator[None]:
    """Nobody else reads or writes the table inside."""
    binaries = find_binaries()
    assert binaries is not None
    with subprocess.Popen(
        [binaries / "psql", database, "-XAtq"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as psql:
        assert psql.stdin is not None
        assert psql.stdout is not None
        psql.stdin.write(f"BEGIN; LOCK TABLE {table}; SELECT 'locked';\n")
        assert psql.stdout.readline() == "locked\n"
        yield
        psql.stdin.close()


def test_a_person_registers_logs_in_and_keeps_to_dos(api: LambdaFunction, database: str) -> None:
    token = registered(api)["access_token"]
    made = api.request("POST", "/todos", {"title": "Buy milk"}, token=token)
    assert made.status == 201, made.body
    assert (
        made.json()["url"]
        == f"https://abc123.execute-api.eu-central-1.amazonaws.com/todos/{made.json()['id']}"
    )
    listed = api.request("GET", "/todos?completed=false", token=token)
    assert [todo["title"] for todo in listed.json()] == ["Buy milk"]
    unchanged = api.request(
        "GET", "/todos?completed=false", token=token, headers={"if-none-match": listed.headers["etag"]}
    )
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert in_transaction(database) == ""


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/todos/0190a2f4-0000-7000-8000-000000000000", None, 404, "todo_not_found"),
        ("GET", "/nothing", None, 404, "not_found"),
        ("POST", "/todos", {"title": "x" * 1_100_000}, 413, "too_large"),
        ("POST", "/todos", {"title": ""}, 422, "invalid_input"),
        ("GET", "/events", None, 404, "live_updates_not_served"),
        ("GET", "/ws", None, 404, "live_updates_not_served"),
        ("POST", "/internal/users/session_news", {}, 404, "not_found"),
    ],
)
def test_what_cannot_be_is_a_problem_document(
    api: LambdaFunction, method: str, path: str, body: Any, status: int, code: str
) -> None:
    token = registered(api)["access_token"]
    answer = api.request(method, path, body, token=token)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]


def test_a_session_that_ended_in_another_environment_is_refused_here(
    api: LambdaFunction, other: LambdaFunction
) -> None:
    person = registered(api)
    assert other.request("GET", "/users/me", token=person["access_token"]).status == 200
    assert api.request("POST", "/auth/logout", {"refresh_token": person["refresh_token"]}).status == 204
    eventually(
        lambda: other.request("GET", "/users/me", token=person["access_token"]).status == 401 or None,
        "the other environment refuses the token",
        within_seconds=2,
    )


def test_what_one_environment_has_written_the_other_lists_at_once(
    api: LambdaFunction, other: LambdaFunction
) -> None:
    token = registered(api)["access_token"]
    for number in range(6):
        writer, reader = (api, other) if number % 2 else (other, api)
        # Both hold the list in their caches by now.
        assert len(writer.request("GET", "/todos", token=token).json()) == number
        assert writer.request("POST", "/todos", {"title": f"To-do {number}"}, token=token).status == 201
        assert len(reader.request("GET", "/todos", token=token).json()) == number + 1


def webhook_of(api: LambdaFunction, token: str, receiver: Receiver) -> None:
    made = api.request(
        "POST", "/notifications/channels", {"kind": "webhook", "url": receiver.url}, token=token
    )
    assert made.status == 201, made.body


def webhook_delivery(api: LambdaFunction, token: str, notification: str) -> dict[str, Any]:
    ledger = api.request("GET", f"/notifications/{notification}/deliveries", token=token).json()
    (found,) = [one for one in ledger if one["channel_id"] is not None]
    return found


def _with_reminder(result: dict[str, Any]) -> dict[str, Any] | None:
    return result if result["done"]["reminders"] == 1 else None


def test_the_scheduled_function_does_what_the_http_function_has_left(
    api: LambdaFunction, relay: LambdaFunction
) -> None:
    person = registered(api)
    token = person["access_token"]
    assert relay.invoke()["finished"]  # the welcome is in the inbox now, before there is a channel for it
    with Receiver() as receiver:
        webhook_of(api, token, receiver)
        sent = api.request("POST", f"/notify/{person['id']}", {"message": "It works"}, token=token)
        assert sent.status == 202, sent.body
        assert webhook_delivery(api, token, sent.json()["id"])["status"] == "queued"
        assert receiver.received == []

        result = relay.invoke()
        assert result["finished"]
        assert result["done"]["deliveries"] == 1
        assert webhook_delivery(api, token, sent.json()["id"])["status"] == "delivered"
        assert len(receiver.received) == 1

        soon = to_text(datetime.now(UTC) + timedelta(seconds=0.5))
        todo = {"title": "Water the plants", "remind_at": soon}
        assert api.request("POST", "/todos", todo, token=token).status == 201
        reminded = eventually(lambda: _with_reminder(relay.invoke()), "the reminder is told")
        # What it tells is a notification of its own, made and delivered in the same pass.
        assert reminded["done"]["deliveries"] == 1
        assert len(receiver.received) == 2
    inbox = api.request("GET", "/notifications", token=token)
    assert b"It works" in inbox.body
    assert b"Water the plants" in inbox.body
    nothing = relay.invoke()
    assert (nothing["finished"], any(nothing["done"].values())) == (True, False), nothing


def test_the_scheduled_function_begins_nothing_when_its_time_is_short(relay: LambdaFunction) -> None:
    with pytest.raises(FunctionFailed, match=r"TooShort.*raise the function's time-out"):
        relay.invoke(seconds=10)


def test_a_request_is_given_up_before_its_invocation_is(api: LambdaFunction, database: str) -> None:
    token = registered(api)["access_token"]
    with locked(database, "todos"):
        answer = api.request("POST", "/todos", {"title": "Late"}, token=token, seconds=3)
    assert (answer.status, answer.json()["code"]) == (503, "unavailable")
    assert "retry-after" in answer.headers
    assert api.request("POST", "/todos", {"title": "In time"}, token=token).status == 201


def test_a_database_that_is_away_is_a_problem_document_until_it_is_back(tmp_path: Path) -> None:
    name = f"made_later_{os.getpid()}"
    database = postgres_server().url(name)
    with LambdaFunction("handler", tmp_path, {"BANYAN_DATABASE_URL": database}) as function:
        answer = function.request("GET", "/todos")
        assert (answer.status, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["content-type"] == "application/problem+json"
        postgres_server().sql(f"CREATE DATABASE {name}")
        upgrade(database)
        assert function.request("GET", "/todos").status == 401
        assert function.request("GET", "/readyz").status == 200


async def test_it_closes_its_connections_when_the_environment_ends(tmp_path: Path) -> None:
    database = migrated_postgres_url()
    heard = asyncio.Event()
    listening = await asyncpg.connect(database)
    await listening.add_listener("banyan_events", lambda *_: heard.set())
    with LambdaFunction("handler", tmp_path, {"BANYAN_DATABASE_URL": database}) as function:
        await asyncio.to_thread(registered, function)
        assert not heard.is_set()
        assert function.process is not None
        function.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(function.process.wait, 10) == 0
        # Other processes on the database need not look for what this one committed: closing, it tells them.
        await asyncio.wait_for(heard.wait(), 10)
        await listening.close()
        eventually(lambda: connections_of(database) == 0 or None, "no connection is left")
        assert "Traceback" not in function.log_text()


@pytest.mark.parametrize(
    ("function", "settings", "size"),
    [("handler", {}, 2), ("handler", {"BANYAN_DATABASE_POOL_SIZE": "5"}, 5), ("relay", {}, 20)],
)
def test_an_environment_that_serves_one_request_at_a_time_needs_few_connections(
    monkeypatch: pytest.MonkeyPatch, function: str, settings: dict[str, str], size: int
) -> None:
    usable = {"BANYAN_SECRET_KEY": SECRET, "BANYAN_DATABASE_URL": "postgresql://somewhere/banyan", **NO_MAIL}
    for name, value in {**usable, **settings}.items():
        monkeypatch.setenv(name, value)
    assert lambda_settings(function).database_pool_size == size


def test_the_database_is_migrated_by_a_function(tmp_path: Path) -> None:
    database = postgres_server().new_database()
    settings = {"BANYAN_DATABASE_URL": database}
    with (
        pytest.raises(FunctionFailed, match="invoke the function `migrate`"),
        LambdaFunction("handler", tmp_path, settings),
    ):
        pass
    with LambdaFunction("migrate", tmp_path, settings) as migrate:
        (first,) = migrate.invoke().values()
        (again,) = migrate.invoke().values()
    assert (first["migrated"], again["migrated"]) == (True, False)
    assert first["at"] == again["at"] == newest_revision()
    # Environments of the former version go on being made while the next one is rolled out.
    name = database.rpartition("/")[2]
    postgres_server().sql("UPDATE alembic_version SET version_num = '9999'", name)
    with LambdaFunction("handler", tmp_path, settings) as newer:
        assert newer.request("GET", "/readyz").status == 200


@pytest.mark.parametrize(
    ("function", "settings", "sentence"),
    [
        (
            "handler",
            {},
            "BANYAN_DATABASE_URL is missing: on AWS Lambda each environment would have a SQLite file",
        ),
        (
            "handler",
            {"BANYAN_REDIS_URL": "redis://127.0.0.1/0"},
            "BANYAN_REDIS_URL: positions in Redis need a lease",
        ),
        (
            "relay",
            {"BANYAN_KAFKA_SERVERS": "127.0.0.1:9092"},
            "BANYAN_KAFKA_SERVERS: Kafka needs consumers that stay",
        ),
        (
            "relay",
            {"BANYAN_AMQP_URL": "amqp://127.0.0.1/"},
            "BANYAN_AMQP_URL: RabbitMQ needs workers that stay",
        ),
        ("relay", {}, "BANYAN_SMTP_HOST is missing"),
        ("migrate", {}, "BANYAN_DATABASE_URL is missing"),
    ],
)
def test_what_cannot_work_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, function: str, settings: dict[str, str], sentence: str
) -> None:
    for name, value in {"BANYAN_SECRET_KEY": SECRET, **settings}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=sentence):
        lambda_settings(function)


def test_a_secret_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANYAN_DATABASE_URL", "postgresql://somewhere/banyan")
    monkeypatch.delenv("BANYAN_SECRET_KEY", raising=False)
    with pytest.raises(SettingsError, match="BANYAN_SECRET_KEY is missing"):
        lambda_settings("handler")


def test_the_init_phase_says_which_setting_is_wrong(tmp_path: Path) -> None:
    with (
        pytest.raises(FunctionFailed, match="BANYAN_DATABASE_URL is missing"),
        LambdaFunction("handler", tmp_path, {}),
    ):
        pass
