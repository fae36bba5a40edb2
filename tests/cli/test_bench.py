"""`banyan bench` against real servers: everything adds up, and nothing is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.support.command_line import banyan
from tests.support.postgres import postgres_server
from tests.support.server import RunningServer, banyan_environment
from tests.support.stalling import StandIn

MakeServer = Callable[..., RunningServer]

# One step at 100 requests a second: the least that is a measurement.
BRIEFLY = ["bench", "--capacity", "--most", "100", "--step", "0.5", "--people", "2", "--target-p99", "10s"]


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def processes_in(folder: Path) -> list[str]:
    """The processes whose data lies in this folder."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                environment = (process / "environ").read_bytes()
            except OSError:
                continue
            if f"BANYAN_DATA_DIR={folder}".encode() in environment:
                found.append(process.name)
    return found


def test_a_server_of_its_own_is_measured_and_removed(tmp_path: Path, scratch: Path) -> None:
    done = banyan([*BRIEFLY, "--json"], tmp_path / "unused", {"TMPDIR": str(scratch)})
    assert done.code == 0, done.err
    found = done.json()
    assert found["capacity"] == 100
    assert found["ran_out"] is None
    assert len(found["steps"]) == 2, "a rate counts when it holds twice"
    for step in found["steps"]:
        assert step["planned"] == 50
        assert step["planned"] == step["answered"] + step["failed"] + step["unsent"]
        assert set(step["statuses"]) <= {"200", "201"}
        assert step["usage"]["parts"]["application"] > 0
    # Nine reads to a write, in an order that is random and always the same.
    statuses = found["at_capacity"]["statuses"]
    assert statuses["200"] > statuses["201"] > 0
    assert list(scratch.iterdir()) == []
    assert processes_in(scratch) == []
    assert not (tmp_path / "unused").exists()


def test_on_postgresql_it_gets_a_database_for_a_while(tmp_path: Path) -> None:
    postgres = postgres_server()
    url = postgres.new_database()
    before = postgres.sql("SELECT datname FROM pg_database ORDER BY datname")
    done = banyan([*BRIEFLY, "--database-url", url, "--json"], tmp_path / "unused")
    assert done.code == 0, done.err
    step = done.json()["at_capacity"]
    assert step["answered"] == 50
    assert step["usage"]["parts"]["database"] > 0
    assert step["usage"]["pool_waiting"] is not None
    assert postgres.sql("SELECT datname FROM pg_database ORDER BY datname") == before


def test_the_quick_look_measures_lists_and_creates_and_leaves_nothing_behind(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    words = ["bench", "--url", server.url, "--most", "100", "--step", "0.5", "--people", "2"]
    done = banyan([*words, "--target-p99", "10s", "--json"], tmp_path / "unused")
    assert done.code == 0, done.err
    found = done.json()
    assert set(found["list"]["at_capacity"]["statuses"]) == {"200"}
    assert set(found["create"]["at_capacity"]["statuses"]) == {"201"}
    assert set(found["9 lists to 1 create"]["at_capacity"]["statuses"]) == {"200", "201"}
    # The process that listens there was found, though nobody said which it is.
    assert found["list"]["at_capacity"]["usage"]["parts"]["application"] > 0
    assert server.rows("SELECT count(*) FROM users WHERE email LIKE 'bench-%'") == [(0,)]
    assert server.is_running


def test_a_rate_limit_is_named_when_it_is_what_ran_out(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server({"BANYAN_RATE_LIMIT_USER": "20/hour"})
    done = banyan([*BRIEFLY, "--url", server.url, "--json"], tmp_path / "unused")
    assert done.code == 0, done.err
    found = done.json()
    assert found["ran_out"]["code"] == "rate_limit"
    assert found["steps"][-1]["statuses"]["429"] > 0
    # It kept the people from leaving, too.
    assert "did not erase 2 of the accounts" in done.err


def test_interrupted_it_prints_what_it_knows_and_cleans_up(tmp_path: Path, scratch: Path) -> None:
    command = [sys.executable, "-m", "banyan", "bench", "--capacity", "--people", "2", "--step", "0.3"]
    with subprocess.Popen(
        [*command, "--target-p99", "10s"],
        env=banyan_environment(tmp_path / "unused", {"TMPDIR": str(scratch)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A run in the background of a shell is deaf to Ctrl-C, and so are its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        assert any("400/s" in line for line in process.stderr), "the second step was told"
        # As a terminal does it, to everybody in the foreground.
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "200 requests a second" in out or "400 requests a second" in out
    assert "interrupted" in err
    # The server was there until the accounts were erased: the interruption was not for it.
    assert "did not erase" not in err
    assert list(scratch.iterdir()) == []
    assert processes_in(scratch) == []


def test_the_picture_is_drawn(tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "knee.png"
    done = banyan([*BRIEFLY, "--plot", str(path)], tmp_path / "unused", {"TMPDIR": str(scratch)})
    if find_spec("matplotlib") is None:
        # Said before anything is started.
        assert done.code == 1
        assert "pip install 'banyan-backend[plot]'" in done.err
        assert not path.exists()
    else:
        assert done.code == 0, done.err
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--capacity", "--target-p99", "soon"], "50ms"),
        (["--capacity", "--target-p99", "0ms"], "50ms"),
        (["--capacity", "--mix", "read=0"], "add up"),
        (["--capacity", "--mix", "delete=1"], "read=9,write=1"),
        (["--capacity", "--url", "https://127.0.0.1:8000"], "plain HTTP"),
        (["--capacity", "--url", "http://192.0.2.1:8000"], "--i-own-it"),
        (["--plot", "knee.png"], "--capacity"),
        (["--url", "http://127.0.0.1:8000", "--database-url", "postgresql://127.0.0.1/x"], "--url"),
    ],
)
def test_mistakes_of_use_are_explained(words: list[str], says: str, cli) -> None:
    done = cli("bench", *words)
    assert done.code == 2
    assert says in done.err


def test_a_server_that_is_no_banyan_is_a_failure(cli) -> None:
    with StandIn(lambda _number: b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as stranger:
        done = cli("bench", "--capacity", "--url", stranger.url)
    assert done.code == 1
    assert "POST /users/: 404" in done.err


def test_nobody_there(cli) -> None:
    with StandIn() as gone:
        url = gone.url
    done = cli("bench", "--capacity", "--url", url)
    assert done.code == 1
    assert "refused" in done.err
