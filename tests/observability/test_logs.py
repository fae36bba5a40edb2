"""The log of a server: every line is JSON with the fields of ECS, and none holds what people wrote or what opens an account."""

import io
import json
import logging
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.support.accounts import client_of, register
from tests.support.eventually import eventually
from tests.support.mailbox import Mailbox, token_in
from tests.support.server import RunningServer
from tests.support.todos import create
from tests.support.webhooks import Receiver

from banyan import __version__
from banyan.infra.telemetry.log import ECS_VERSION, configure_logging, get_logger
from banyan.infra.telemetry.trace import continue_trace
from banyan.kernel.errors import Unavailable

ALWAYS = {
    "@timestamp",
    "log.level",
    "message",
    "event.action",
    "ecs.version",
    "service.name",
    "service.version",
    "process.pid",
}
BROKEN_TWIN = Path(__file__).parents[1] / "support" / "quotes_what_it_was_given.py"
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_whole_walk_logs_nothing_private(tmp_path: Path) -> None:
    words = {
        name: f"{name}-{secrets.token_hex(6)}" for name in ("title", "notes", "label", "list", "message")
    }
    private = list(words.values())
    settings = {"BANYAN_LOG_LEVEL": "DEBUG"}
    with Receiver() as hook, RunningServer(tmp_path, settings, program=[str(BROKEN_TWIN)]) as server:
        mails = Mailbox(server.data_dir)
        ada = register(server.url)
        api = ada.client
        private += [ada.email, ada.name, ada.password, ada.access_token, ada.refresh_token]
        private += [token_in(mails.wait_for(ada.email)), hook.url]

        todo = create(api, words["title"], notes=words["notes"], labels=[words["label"]])
        api.patch(f"/todos/{todo['id']}", json={"title": words["title"] + "!"})
        api.get("/todos", params={"q": words["title"]})

        # What is our own fault, by an error that quotes everything.
        failed = api.post("/lists", json={"name": words["list"]})
        assert failed.status_code == 500, failed.text

        hook.answers = [500, lambda handler: handler.connection.close()]
        made = api.post("/notifications/channels", json={"kind": "webhook", "url": hook.url})
        private.append(made.json()["secret"])
        for _ in range(3):
            sent = api.post(f"/notify/{ada.id}", json={"message": words["message"]})
            assert sent.status_code == 202, sent.text
        hook.wait_for(3)

        # What goes wrong: a wrong password, bodies that cannot be read, a token that is none, what is not there.
        wrong = f"wrong-{secrets.token_hex(6)}"
        private.append(wrong)
        with client_of(server.url) as nobody:
            nobody.post("/auth/login", json={"email": ada.email, "password": wrong})
            nobody.post("/auth/login", content=f'{{"email": "{ada.email}", "password": "{wrong}'.encode())
            nobody.post("/users/", json={"name": ada.name, "email": ada.email, "password": ada.password})
            nobody.post("/auth/forgot", json={"email": ada.email})
            nobody.get(f"/{ada.email}?token={wrong}")
            nobody.get("/todos", headers={"authorization": f"Bearer {wrong}"})
        api.post("/todos", json={"title": words["title"], wrong: wrong})
        token = token_in(mails.wait_for(ada.email, subject="password"))
        private.append(token)
        api.post("/auth/reset", json={"token": token, "password": "another-lighthouse-43"})
        # A refresh token that was used before ends its session, which is logged.
        for _ in range(3):
            last = api.post("/auth/refresh", json={"refresh_token": ada.refresh_token}).json()
            private += [last[name] for name in ("access_token", "refresh_token") if name in last]
        eventually(lambda: len(server.log_text().splitlines()) > 1 or None, "the server has logged")
        api.close()
        assert server.terminate() == 0

    lines = lines_of(server.log_text())
    assert [line for line in lines if line["event.action"] == "serving"], "the log is there at all"
    for line in lines:
        assert line.keys() >= ALWAYS
        assert line["process.pid"] == server.pid
        assert line["event.action"].replace("_", "").isalpha()
    (failure,) = [line for line in lines if line["event.action"] == "request_failed"]
    assert (failure["log.level"], failure["url.path"]) == ("error", "/lists")
    assert failure["http.request.id"] == failed.headers["x-request-id"]
    assert "list_service.py" in failure["error.stack_trace"]
    assert failure["error.type"] == "ValueError"
    assert not [word for word in private if word in server.log_text()]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Callable[[], list[dict[str, Any]]]]]:
    """A logger as a server has it, and what was logged by it."""
    stream, root = io.StringIO(), logging.getLogger()
    # Configuring takes the place of what the test run itself has.
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        configure_logging("INFO", as_json=True, service="banyan-todos")
        yield get_logger("banyan.somewhere"), lambda: lines_of(stream.getvalue())
    continue_trace(None)
    structlog.reset_defaults()


def test_a_line_has_the_fields_of_ecs(log: Any) -> None:
    logger, said = log
    continue_trace(f"00-{TRACE_ID}-{SPAN_ID}-01")
    logger.warning("batch_published", shard="one", count=3, error="Unavailable", request_id="r-1")
    (line,) = said()
    assert line.pop("@timestamp").endswith("Z")
    assert line.pop("process.pid")
    assert line == {
        "log.level": "warning",
        "log.logger": "banyan.somewhere",
        "message": "batch published",
        "event.action": "batch_published",
        "ecs.version": ECS_VERSION,
        "service.name": "banyan-todos",
        "service.version": __version__,
        "trace.id": TRACE_ID,
        "span.id": SPAN_ID,
        "error.type": "Unavailable",
        "http.request.id": "r-1",
        "banyan.shard": "one",
        "banyan.count": 3,
    }


def test_an_error_is_told_by_type_and_place_and_not_by_its_text(log: Any) -> None:
    logger, said = log
    try:
        try:
            raise KeyError("ada@example.org")
        except KeyError as inner:
            raise ValueError("ada@example.org is no name") from inner
    except ValueError:
        logger.exception("request_failed")
    text = json.dumps(line := said()[0])
    assert line["error.type"] == "ValueError"
    assert "error.message" not in line
    assert "test_logs.py" in line["error.stack_trace"]
    assert line["error.stack_trace"].endswith("KeyError")
    # The line of the program is there, as it is written; what it was called with is not.
    assert "ada@example.org is no name\n" not in text


def test_the_text_of_our_own_errors_and_of_the_systems_is_told(log: Any) -> None:
    logger, said = log
    logger.error("failed", exc_info=Unavailable("for ada@example.org"))
    logger.error("failed", exc_info=FileNotFoundError(2, "gone", "/home/ada"))
    ours, systems = said()
    assert ours["error.message"] == Unavailable.detail
    assert systems["error.message"] == "No such file or directory"
    assert "ada" not in json.dumps([ours, systems])
