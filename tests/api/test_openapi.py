"""The OpenAPI document is true: Schemathesis, with all its checks on, finds nothing.

It makes requests from the document, right ones and wrong ones, and compares each answer with what the document says:
status codes, headers, types and schemas of answers, refusal of what is wrong, acceptance of what is right, methods that
are not documented, identifiers that are used after a deletion.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.accounts import Account, register
from tests.support.command_line import banyan
from tests.support.operations import document, operations
from tests.support.server import RunningServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EXAMPLES = "15"
HOOKS = "tests.support.openapi_hooks"
ROOT = Path(__file__).parents[2]
# A stream has no end; tests/api/test_live.py reads it.
ENDLESS = "/events"
# They end the caller's own session, and with it everything after; they have a run of their own.
ENDS_THE_SESSION = ("/auth/logout", "/auth/sessions/{session_id}")
# A to-do's history outlives it, that is what a history is for: it is tried apart from deletions.
OUTLIVES = "/todos/{todo_id}/history"
# Links out of mails: a token of the right form that nobody was sent is refused with 422, and cannot be guessed.
CONFIGURATION = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "412", "429"]

[[operations]]
include-path = ["/auth/reset", "/auth/verify"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "422"]
"""


def schemathesis(server: RunningServer, folder: Path, *options: str, caller: Account | None = None) -> None:
    """Run all phases (examples, coverage, fuzzing, stateful); fails with its report when it finds anything."""
    configuration = folder / "schemathesis.toml"
    configuration.write_text(CONFIGURATION, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(configuration),
        "run",
        "--no-color",
    ]
    command += [f"{server.url}/openapi.json", "--checks", "all", "--max-examples", EXAMPLES]
    # NUL is refused everywhere, which a schema of a string cannot say; tests/api/test_bad_input.py sends it.
    command += ["--generation-allow-x00", "false", "--generation-database", "none", "--request-timeout", "10"]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(ROOT)}
    if caller is not None:
        command += ["-H", f"Authorization: Bearer {caller.access_token}"]
        environment["BANYAN_TEST_CALLER"] = caller.id
    command += options
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-4000:]
    assert '"log.level": "error"' not in server.log_text()


def excluding(*paths: str) -> list[str]:
    return [option for path in paths for option in ("--exclude-path", path)]


def including(*paths: str) -> list[str]:
    return [option for path in paths for option in ("--include-path", path)]


@pytest.fixture
def account(make_server) -> tuple[RunningServer, Account]:
    # The throttles are for people; they have their own tests.
    server = make_server({"BANYAN_RATE_LIMIT_LOGIN_ACCOUNT": "100000/minute"})
    return server, register(server.url)


def test_nothing_is_found_without_a_token(make_server, tmp_path: Path) -> None:
    server = make_server({"BANYAN_RATE_LIMIT_LOGIN_ACCOUNT": "100000/minute"})
    schemathesis(server, tmp_path, *excluding(ENDLESS))


def test_nothing_is_found_with_a_users_token(account: tuple[RunningServer, Account], tmp_path: Path) -> None:
    server, user = account
    schemathesis(server, tmp_path, *excluding(ENDLESS, OUTLIVES, *ENDS_THE_SESSION), caller=user)
    schemathesis(server, tmp_path, "--include-path", OUTLIVES, caller=user)
    # It was signed in to the end: the run was about what it seems to be about.
    assert user.client.get("/users/me").status_code == 200
    assert banyan(["events", "verify", "--json"], server.data_dir, server.settings).json()["differences"] == 0
    user.client.close()


def test_nothing_is_found_with_an_administrators_token(
    account: tuple[RunningServer, Account], tmp_path: Path
) -> None:
    server, admin = account
    assert banyan(["users", "create-admin", admin.email], server.data_dir, server.settings).code == 0
    admin.use_new_session()
    schemathesis(server, tmp_path, "--include-path-regex", "^/(admin|notify|users)", caller=admin)
    assert admin.client.get("/users/me").json()["role"] == "admin"
    admin.client.close()


def test_nothing_is_found_where_sessions_end(account: tuple[RunningServer, Account], tmp_path: Path) -> None:
    server, user = account
    schemathesis(server, tmp_path, *including(*ENDS_THE_SESSION), caller=user)
    user.client.close()


def test_every_operation_is_explained() -> None:
    unexplained = [
        operation.name
        for operation in operations()
        if not operation.definition.get("summary") or not operation.definition.get("tags")
    ]
    assert unexplained == []


def test_every_body_has_an_example() -> None:
    without = [
        operation.name for operation in operations() if operation.media_type and operation.example is None
    ]
    assert without == []


def test_it_is_openapi_3_1_with_a_login_for_swagger() -> None:
    assert document()["openapi"].startswith("3.1.")
    (scheme,) = document()["components"]["securitySchemes"].values()
    assert scheme["flows"]["password"]["tokenUrl"] == "/auth/token"


def test_errors_are_documented_as_problems() -> None:
    wrong = [
        f"{operation.name} {status}"
        for operation in operations()
        for status, answer in operation.definition["responses"].items()
        if status[0] in "45" and set(answer.get("content", {})) != {"application/problem+json"}
    ]
    assert wrong == []
