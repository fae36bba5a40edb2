"""A server and its workers, with RabbitMQ in between: what people see of it, and what operators do."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.accounts import PASSWORD, Account, client_of
from tests.support.eventually import eventually
from tests.support.mailbox import Mailbox, token_in
from tests.support.rabbitmq import RunningRabbitMQ, put_task, waiting_in
from tests.support.server import RunningServer
from tests.support.todos import create
from tests.support.workers import RunningWorker

from banyan.infra.tasks.task import Task
from banyan.kernel.ids import new_id

NewUser = Callable[..., Account]
MakeWorker = Callable[..., RunningWorker]


def banyan_tasks(server: RunningServer, *arguments: str) -> list[dict]:
    """What `banyan tasks … --json` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "banyan", "tasks", *arguments, "--json"],
        env=server.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def waiting(server: RunningServer) -> dict[str, int]:
    return waiting_in(server.settings["BANYAN_AMQP_URL"])


def reminders(account: Account) -> list[str]:
    inbox = account.client.get("/notifications", params={"limit": 200}).json()
    return [one["data"]["todo_id"] for one in inbox if one["kind"] in ("due", "reminder")]


def test_mail_waits_for_a_worker_sealed_and_is_sent_by_it(
    api_server: RunningServer, make_worker: MakeWorker, new_user: NewUser
):
    account = new_user(server=api_server)
    eventually(lambda: waiting(api_server)["tasks"] == 1 or None, "the mail waits in the queue")
    mailbox = Mailbox(api_server.data_dir)
    assert mailbox.to(account.email) == []
    # The database has given it up, and the broker's files do not tell what it says.
    states = api_server.rows("SELECT state, text FROM outgoing_mails")
    assert states == [("sent", "")]
    worker = make_worker()
    letter = mailbox.wait_for(account.email)
    with client_of(api_server.url) as anonymous:
        assert anonymous.post("/auth/verify", json={"token": token_in(letter)}).status_code == 204
    done = eventually(lambda: worker.metric("banyan_tasks_total") or None, "the worker counts it")
    assert done == {'{kind="mail",outcome="done",target="worker"}': 1.0}


def test_the_broker_never_sees_a_link_that_opens_an_account(
    api_server: RunningServer, broker: RunningRabbitMQ, new_user: NewUser
):
    account = new_user(server=api_server)
    with client_of(api_server.url) as anonymous:
        anonymous.post("/auth/forgot", json={"email": account.email})
    eventually(lambda: waiting(api_server)["tasks"] == 2 or None, "both mails wait in the queue")
    stored = b"".join(path.read_bytes() for path in broker.folder.rglob("*") if path.is_file())
    assert b'"kind":"mail"' in stored
    assert account.email.encode() not in stored
    assert re.search(rb"bn[pv]_[A-Za-z0-9_-]{20}", stored) is None


def test_reminders_are_told_once_each_with_two_workers(
    api_server: RunningServer, make_worker: MakeWorker, new_user: NewUser
):
    account = new_user(server=api_server)
    at = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    todos = {create(account.client, f"Water {n}", remind_at=at)["id"] for n in range(30)}
    workers = [make_worker(), make_worker()]
    told = eventually(
        lambda: found if len(found := reminders(account)) >= len(todos) else None, "every reminder is told"
    )
    assert sorted(told) == sorted(todos)
    for worker in workers:
        assert worker.terminate() == 0
    assert sorted(reminders(account)) == sorted(todos)
    assert waiting(api_server)["tasks"] == 0


def test_without_a_worker_everything_else_goes_on_and_nothing_is_told_twice_later(
    api_server: RunningServer, make_worker: MakeWorker, new_user: NewUser
):
    account = new_user(server=api_server)
    todo = create(account.client, "Water", remind_at=datetime.now(UTC).isoformat())["id"]
    eventually(lambda: waiting(api_server)["tasks"] == 2 or None, "the mail and the reminder wait")
    assert reminders(account) == []
    make_worker()
    eventually(lambda: reminders(account) or None, "the reminder is told")
    assert reminders(account) == [todo]


@pytest.mark.faults
def test_a_broker_that_is_away_costs_no_request_and_no_mail(
    make_server: Callable[..., RunningServer], tmp_path: Path, new_user: NewUser
):
    with RunningRabbitMQ() as broker:
        server = make_server({"BANYAN_AMQP_URL": broker.url})
        with RunningWorker(tmp_path, beside=server) as worker:
            broker.kill9()
            accounts = [new_user(server=server) for _ in range(3)]
            reminded = accounts[0]
            todo = create(reminded.client, "Water", remind_at=datetime.now(UTC).isoformat())["id"]
            assert worker.get("/livez").status_code == 200
            eventually(lambda: worker.get("/readyz").status_code == 503 or None, "it is not ready")
            queued = server.rows("SELECT state, attempts FROM outgoing_mails")
            assert {state for state, _ in queued} == {"queued"}
            assert reminders(reminded) == []
            broker.start()
            mailbox = Mailbox(server.data_dir)
            for account in accounts:
                mailbox.wait_for(account.email)
            assert eventually(lambda: reminders(reminded) or None, "the reminder is told") == [todo]
            for account in accounts:
                assert len(mailbox.to(account.email)) == 1


def test_the_worker_says_how_it_is(api_server: RunningServer, make_worker: MakeWorker):
    worker = make_worker()
    assert worker.get("/livez").text == "ok\n"
    assert worker.get("/health").json()["checks"] == {"tasks": "ok"}
    assert worker.get("/readyz").status_code == 200
    assert worker.metric("banyan_tasks_running") == {'{target="worker"}': 0.0}
    unknown = worker.get("/todos")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


def test_an_operator_looks_after_what_was_given_up(
    api_server: RunningServer, make_worker: MakeWorker, broker: RunningRabbitMQ
):
    make_worker()
    task = Task("mail", "", {"sealed": "v1.damaged"})
    put_task(broker.url, task)
    eventually(lambda: waiting(api_server)["tasks-dead"] or None, "it is given up")
    dead = {"id": task.id, "kind": "mail", "user_id": "", "tries": 1, "error": "SealedDataUnreadable"}
    assert banyan_tasks(api_server, "dead") == [dead]
    assert banyan_tasks(api_server, "redrive", new_id()) == [{"redriven": 0}]
    assert banyan_tasks(api_server, "redrive") == [{"redriven": 1}]
    eventually(lambda: waiting(api_server)["tasks-dead"] or None, "it is given up again")
    assert banyan_tasks(api_server, "purge-dead", "--yes") == [{"purged": 1}]
    assert banyan_tasks(api_server, "dead") == []
    status = {queue["name"]: queue for queue in banyan_tasks(api_server, "status")}
    assert status["tasks"] == {"name": "tasks", "waiting": 0, "consumers": 1}


def test_a_mail_that_was_sealed_with_another_secret_waits_for_the_right_one(
    api_server: RunningServer, make_worker: MakeWorker, new_user: NewUser
):
    stranger = make_worker(BANYAN_SECRET_KEY="of another installation, and long enough for it")
    account = new_user(server=api_server)
    eventually(lambda: stranger.metric("banyan_tasks_total") or None, "it was tried")
    stranger.stop()
    assert Mailbox(api_server.data_dir).to(account.email) == []
    make_worker()
    Mailbox(api_server.data_dir).wait_for(account.email)


def test_a_worker_without_a_broker_says_what_is_missing(make_server: Callable[..., RunningServer]):
    server = make_server(start=False)
    for command in (["worker"], ["tasks", "status"]):
        done = subprocess.run(
            [sys.executable, "-m", "banyan", *command],
            env=server.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert "BANYAN_AMQP_URL" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_password_is_not_in_any_log(
    api_server: RunningServer, make_worker: MakeWorker, new_user: NewUser
):
    worker = make_worker()
    account = new_user(server=api_server)
    Mailbox(api_server.data_dir).wait_for(account.email)
    for text in (api_server.log_text(), worker.log_text()):
        assert account.email not in text
        assert PASSWORD not in text
        assert "banyan:banyan@" not in text
