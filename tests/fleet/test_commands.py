"""The commands beside a running fleet: status, scale, restart, kill, env, logs, and what they say when none runs."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.command_line import banyan
from tests.support.eventually import eventually
from tests.support.fleet import STANDINS, RunningFleet, wait_gone

from banyan.fleet import control, logs
from banyan.fleet.supervisor import FleetError


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    """One fleet for the whole module, whose processes come and go."""
    with RunningFleet(tmp_path_factory.mktemp("fleet") / "data", program=STANDINS) as running:
        yield running


def published(fleet: RunningFleet) -> list[dict]:
    lines = (fleet.folder.root / "endpoints.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def names(fleet: RunningFleet) -> list[str]:
    return [process["name"] for process in fleet.status()["processes"]]


def test_status_is_a_document_for_scripts(fleet: RunningFleet) -> None:
    status = fleet.status()
    assert set(status) == {
        "state",
        "url",
        "pid",
        "data_dir",
        "started_at",
        "uptime_seconds",
        "processes",
    }
    assert fleet.supervisor is not None
    assert (status["state"], status["url"], status["pid"]) == ("up", fleet.url, fleet.supervisor.pid)
    assert status["data_dir"] == str(fleet.data_dir)
    database = next(process for process in status["processes"] if process["name"] == "database")
    assert {name: type(value) for name, value in database.items()} == {
        "name": str,
        "service": str,
        "replica": int,
        "stage": str,
        "state": str,
        "port": int,
        "pid": int,
        "uptime_seconds": float,
        "restarts": int,
        "cpu_percent": float,
        "memory_bytes": int,
        "last_exit": type(None),
        "log": str,
    }
    assert (database["stage"], database["state"], database["replica"]) == ("servers", "ready", 1)
    assert 1_000_000 < database["memory_bytes"] < 100_000_000
    assert Path(database["log"]).exists()


def test_status_is_a_table_for_people(fleet: RunningFleet) -> None:
    shown = fleet.command("status")
    assert shown.code == 0
    assert shown.out.split()[:8] == ["NAME", "STATE", "PORT", "PID", "UP", "RESTARTS", "CPU", "MEMORY"]
    assert fleet.url in shown.out
    assert "5 of 5 ready" in shown.out


def test_scale_up_and_down(fleet: RunningFleet) -> None:
    assert fleet.command("scale", "todos=4").code == 0
    assert [name for name in names(fleet) if name.startswith("todos")] == [f"todos-{n}" for n in (1, 2, 3, 4)]
    ports = {fleet.process(f"todos-{number}")["port"] for number in (1, 2, 3, 4)}
    assert set(published(fleet)[-1]["ports"]) == ports

    assert fleet.command("scale", "todos=2").code == 0
    assert [name for name in names(fleet) if name.startswith("todos")] == ["todos-1", "todos-2"]
    assert len(published(fleet)[-1]["ports"]) == 2


def test_a_replica_leaves_the_gateway_before_it_is_told_to_end(fleet: RunningFleet) -> None:
    fleet.command("scale", "todos=3")
    leaving = fleet.process("todos-3")["port"]
    began = time.time()
    assert fleet.command("scale", "todos=2").code == 0
    told = next(
        entry["at"] for entry in published(fleet) if entry["at"] > began and leaving not in entry["ports"]
    )
    asked = float((fleet.folder.of_service("todos-3") / "asked-to-end").read_text())
    assert told < asked


def test_restart_takes_one_replica_after_the_other_and_always_leaves_two(fleet: RunningFleet) -> None:
    before = {name: fleet.process(name) for name in ("todos-1", "todos-2")}
    told = len(published(fleet))
    assert fleet.command("restart", "todos").code == 0
    after = {name: fleet.process(name) for name in ("todos-1", "todos-2")}
    assert all(after[name]["pid"] != before[name]["pid"] for name in before)
    assert all(after[name]["restarts"] == 0 for name in before)
    assert "todos-3" not in names(fleet)
    assert min(len(entry["ports"]) for entry in published(fleet)[told:]) == 2


def test_restart_of_one_process(fleet: RunningFleet) -> None:
    before = {name: fleet.process(name)["pid"] for name in ("todos-1", "todos-2", "relay-1", "database")}
    assert fleet.command("restart", "todos-2").code == 0
    assert fleet.command("restart", "database").code == 0
    after = {name: fleet.process(name)["pid"] for name in before}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"todos-2", "database"}


def test_kill_is_followed_by_a_return(fleet: RunningFleet) -> None:
    before = fleet.process("todos-1")
    killed = fleet.command("kill", "todos")
    assert (killed.code, killed.out.split()[0]) == (0, "todos-1")
    assert fleet.wait_back("todos-1", before["pid"])["restarts"] == before["restarts"] + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kill", "nobody"], "nothing here is called nobody"),
        (["restart", "nobody"], "nothing here is called nobody"),
        (["scale", "database=2"], "database cannot be scaled"),
        (["scale", "todos=1000"], "0 to 50 replicas"),
        (["scale", "todos"], "is not a service and a number"),
        (["logs", "nobody"], "there is no log of nobody"),
    ],
)
def test_what_cannot_be_done_is_said(fleet: RunningFleet, arguments: list[str], message: str) -> None:
    done = fleet.command(*arguments)
    assert done.code in (1, 2)
    assert message in done.err
    assert "Traceback" not in done.err


def test_env_is_read_by_a_shell(fleet: RunningFleet) -> None:
    assert fleet.environment() == {"BANYAN_DATA_DIR": str(fleet.data_dir), "BANYAN_REDIS_URL": "redis://it's"}


def test_logs_of_a_service_and_of_all(fleet: RunningFleet) -> None:
    of_todos = fleet.command("logs", "todos").out.splitlines()
    assert {line.split()[0] for line in of_todos} >= {"todos-1", "todos-2"}
    assert not any(line.startswith("database") for line in of_todos)
    everything = fleet.command("logs", "-n", "1000").out
    assert "database" in everything
    assert "envoy" in everything
    assert len(fleet.command("logs", "-n", "2").out.splitlines()) == 2


def test_logs_follow_what_is_written(fleet: RunningFleet) -> None:
    lines = logs.Reading({"relay-1": fleet.folder.log_of("relay-1")}).coming()
    before = fleet.process("relay-1")["pid"]
    with fleet.folder.log_of("relay-1").open("a") as log:
        threading.Timer(
            0.3, lambda: (log.write("half a "), log.flush(), log.write("line\n"), log.flush())
        ).start()
        assert next(lines).text == "half a line"
    fleet.command("kill", "relay-1")
    fleet.wait_back("relay-1", before)
    assert "listens on" in next(lines).text


def test_the_supervisor_is_asked_in_vain_where_none_runs(tmp_path: Path) -> None:
    for arguments in (["status"], ["scale", "todos=2"], ["restart", "todos"], ["kill", "todos"], ["env"]):
        done = banyan(["fleet", *arguments], tmp_path)
        assert done.code == 1
        assert f"no fleet runs in {tmp_path}." in done.err
        assert "fleet up" in done.err
    assert banyan(["fleet", "logs"], tmp_path).code == 1
    down = banyan(["fleet", "down"], tmp_path)
    assert (down.code, "There is nothing to end." in down.out) == (0, True)


@pytest.mark.parametrize("how", [[], ["--detach"]])
def test_what_is_missing_is_said_and_nothing_is_started(tmp_path: Path, how: list[str]) -> None:
    done = banyan(["fleet", "up", *how], tmp_path / "data", {"PATH": str(tmp_path)})
    assert done.code == 1
    assert "Error: this machine lacks what a fleet needs." in done.err
    assert "RabbitMQ is not on this machine (Debian: apt-get install rabbitmq-server)." in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "data" / "fleet" / "run.json").exists()


def test_a_request_that_is_none_is_answered_and_harms_nobody(fleet: RunningFleet) -> None:
    for request in ({"command": "dance"}, {"command": "scale", "replicas": {"todos": "many"}}, {}):
        with pytest.raises(FleetError, match="no request"):
            control.ask(fleet.folder.control_socket, request, lambda _event: None)
    assert fleet.status()["state"] == "up"


def test_a_change_that_is_interrupted_by_the_end_is_told_so(make_fleet: Callable[..., RunningFleet]) -> None:
    fleet = make_fleet()
    for number in (3, 4):
        folder = fleet.folder.of_service(f"todos-{number}")
        folder.mkdir(parents=True)
        (folder / "unready").touch()
    answers = []
    scaling = threading.Thread(target=lambda: answers.append(fleet.command("scale", "todos=4")))
    scaling.start()
    eventually(lambda: "todos-4" in names(fleet) or None, "it is being scaled")
    tree = fleet.tree()
    assert fleet.command("down").code == 0
    scaling.join(20)
    assert answers[0].code == 1
    assert "being stopped" in answers[0].err
    wait_gone(tree)
