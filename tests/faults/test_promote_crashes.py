"""kill -9 in a promotion, of the server and of the command: what a restart finds is always one whole database."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.accounts import register
from tests.support.command_line import banyan
from tests.support.crash_run import seed_of_the_day
from tests.support.eventually import eventually
from tests.support.postgres import postgres_server
from tests.support.promotion_load import LoadedServer
from tests.support.server import RunningServer, banyan_environment
from tests.support.server import server_kind as against

from banyan.infra.db.promotion_record import read_record

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(400),
    pytest.mark.skipif(against() == "postgresql", reason="it begins on SQLite"),
]

MakeServer = Callable[..., RunningServer]

# Where the server dies, what it was asked for, and whether the data is in PostgreSQL after it.
DEATHS = [
    ("promote-held", "promote", False),
    ("promote-carried", "promote", False),
    ("promote-committed", "promote", True),
    ("rollback-fenced", "rollback", True),
    ("rollback-carried", "rollback", True),
    ("rollback-committed", "rollback", False),
]


def is_promoted(server: RunningServer) -> bool:
    record = read_record(server.data_dir / "banyan.sqlite3")
    assert record is None or record.phase in ("copying", "promoted")
    return record is not None and record.has_moved


def test_a_server_killed_at_each_point_of_either_cut_over_loses_nothing(
    make_server: MakeServer, tmp_path: Path
) -> None:
    url = postgres_server().new_database()
    server = make_server(start=False)
    loaded = LoadedServer(server, tmp_path, seed=seed_of_the_day())
    with loaded:
        for point, asked, expected in DEATHS:
            server.terminate()
            server.settings["BANYAN_FAULT"] = point
            server.start()
            loaded.work(20)
            arguments = ("--to", url) if asked == "promote" else ("--rollback",)
            done = loaded.promote(*arguments)
            assert done.code == 1, f"{point}: {done.out} {done.err} {server.log_text()[-2000:]}"
            was_complete = expected == (asked == "promote")
            assert ("which was complete" in done.err) == was_complete, f"{point}: {done.err}"
            assert server.process is not None
            assert server.process.wait(5) == -signal.SIGKILL
            del server.settings["BANYAN_FAULT"]
            server.start()
            assert is_promoted(server) == expected, point
            loaded.work(30)
        assert loaded.judge() == []


@pytest.fixture
def filled(make_server: MakeServer) -> RunningServer:
    """A server with a few thousand to-dos."""
    server = make_server()
    client = register(server.url).client
    for _ in range(6):
        todos = [{"op": "create", "todo": {"title": f"number {number}"}} for number in range(500)]
        assert client.post("/todos/batch", json={"operations": todos}).status_code == 200
    client.close()
    return server


def noting(server: RunningServer) -> list[str]:
    return [name for (name,) in server.rows("SELECT name FROM sqlite_master WHERE name LIKE 'promotion%'")]


def test_a_command_killed_while_it_copies_leaves_nothing_behind(filled: RunningServer) -> None:
    url = postgres_server().new_database()
    done = banyan(["promote", "--to", url], filled.data_dir, {"BANYAN_FAULT": "promote-copying:4"})
    assert done.code == -signal.SIGKILL
    # The server notices that it is gone, and stops noting changes for it.
    eventually(lambda: noting(filled) == [] or None, "nothing is noted any more")
    again = banyan(["promote", "--to", url, "--json"], filled.data_dir)
    assert again.code == 0, again.err
    assert again.json_lines()[-1]["compared"] > 3000


def test_a_command_and_a_server_killed_together_leave_sqlite_as_it_was(filled: RunningServer) -> None:
    url = postgres_server().new_database()
    process = launched(filled, url)
    wait_for_stage(process, "copy")
    filled.kill9()
    process.kill()
    process.wait()
    filled.start()
    assert noting(filled) == []
    assert banyan(["promote", "--to", url], filled.data_dir).code == 0


@pytest.mark.parametrize("stage", ["copy", "compare"])
def test_an_interrupted_command_says_where_the_data_is(filled: RunningServer, stage: str) -> None:
    process = launched(filled, postgres_server().new_database())
    wait_for_stage(process, stage)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert ("The data is in SQLite" in err) != is_promoted(filled)
    assert noting(filled) == [] or is_promoted(filled)


def test_the_address_is_needed_where_the_data_has_moved(filled: RunningServer) -> None:
    url = postgres_server().new_database()
    assert banyan(["promote", "--to", url], filled.data_dir).code == 0
    address = filled.data_dir / "promotion.json"
    assert address.stat().st_mode & 0o777 == 0o600
    assert (filled.data_dir / "banyan.control").stat().st_mode & 0o777 == 0o600
    filled.terminate()
    address.unlink()
    refused = banyan(["serve"], filled.data_dir)
    assert refused.code == 1
    assert "Set BANYAN_DATABASE_URL" in refused.err
    found = banyan(["events", "verify"], filled.data_dir, {"BANYAN_DATABASE_URL": url})
    assert found.code == 0, found.err


def launched(server: RunningServer, url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "banyan", "promote", "--to", url, "--json"],
        env=banyan_environment(server.data_dir),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_stage(process: "subprocess.Popen[str]", stage: str) -> None:
    assert process.stdout is not None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        assert line, process.communicate()
        if json.loads(line).get("stage") == stage:
            return
    raise AssertionError(f"it did not come to {stage}")
