"""The supervisor with real processes: start, death, crash loop, end, and what a supervisor leaves that is killed itself."""

import json
import os
import pty
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.support.eventually import eventually
from tests.support.fleet import FleetDied, RunningFleet, still_running, wait_gone

MakeFleet = Callable[..., RunningFleet]


def published(fleet: RunningFleet) -> list[list[int]]:
    lines = (fleet.folder.root / "endpoints.jsonl").read_text().splitlines()
    return [json.loads(line)["ports"] for line in lines]


def test_it_starts_everything_in_order_and_says_so(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    status = fleet.status()
    assert status["state"] == "up"
    assert [process["name"] for process in status["processes"]] == [
        "database",
        "todos-1",
        "todos-2",
        "relay-1",
        "envoy",
    ]
    output = fleet.output()
    order = [output.index(f"✓ {name}") for name in ("database", "migrations", "todos-1")]
    assert order == sorted(order)
    assert f"Web application  {fleet.url}" in output
    assert published(fleet)[-1] == [fleet.process("todos-1")["port"], fleet.process("todos-2")["port"]]


def test_a_process_that_dies_is_started_again_on_its_port(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    before = fleet.process("todos-2")
    children = psutil.Process(before["pid"]).children(recursive=True)
    assert children

    fleet.kill("todos-2")

    after = fleet.wait_back("todos-2", before["pid"])
    assert (after["port"], after["restarts"], after["last_exit"]) == (before["port"], 1, "killed by SIGKILL")
    # What it had started would go on beside what its successor starts.
    assert still_running(children) == []
    assert "todos-2 ended (killed by SIGKILL)" in fleet.output()


def scraped(fleet: RunningFleet) -> dict[str, tuple[str, str]]:
    groups = json.loads(fleet.folder.scrape_targets.read_text())
    return {group["labels"]["instance"]: (group["labels"]["job"], *group["targets"]) for group in groups}


def test_prometheus_is_told_whom_to_ask(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()

    def told(*names: str) -> dict[str, tuple[str, str]]:
        ports = {name: f"127.0.0.1:{fleet.process(name)['port']}" for name in names}
        jobs = {name: "banyan-gateway" if name == "envoy" else "banyan" for name in names}
        return {name: (jobs[name], ports[name]) for name in names}

    assert scraped(fleet) == told("todos-1", "todos-2", "relay-1", "envoy")
    assert fleet.command("scale", "todos=1").code == 0
    assert scraped(fleet) == told("todos-1", "relay-1", "envoy")
    # Who died is still asked, so that it is noticed; whoever was ended is not.
    (fleet.folder.of_service("relay-1") / "crash").touch()
    pid = fleet.kill("relay-1")
    eventually(lambda: fleet.process("relay-1")["pid"] != pid or None, "it is gone")
    assert scraped(fleet) == told("todos-1", "relay-1", "envoy")
    fleet.stop()
    assert scraped(fleet) == {}


def test_the_gateway_is_told_of_a_death_and_of_the_return(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    first, second = fleet.process("todos-1")["port"], fleet.process("todos-2")["port"]
    before = len(published(fleet))
    fleet.wait_back("todos-1", fleet.kill("todos-1"))
    eventually(lambda: len(published(fleet)) == before + 2 or None, "the gateway is told")
    assert published(fleet)[before:] == [[second], [first, second]]


def test_a_crash_loop_is_shown_with_its_reason(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    (fleet.folder.of_service("todos-1") / "crash").touch()
    fleet.kill("todos-1")

    def look() -> dict | None:
        found = fleet.process("todos-1")
        return found if found["state"] == "crash loop" else None

    found = eventually(look, "a crash loop", within_seconds=20)
    assert found["last_exit"] == "exit code 3"
    shown = fleet.command("status")
    assert shown.code == 1
    assert "todos-1 does not stay up: exit code 3" in shown.out
    assert found["log"] in shown.out
    assert "told to crash" in fleet.command("logs", "todos-1").out


def test_a_process_that_is_not_ready_is_shown_and_left_alone(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    before = fleet.process("todos-1")
    mark = fleet.folder.of_service("todos-1") / "unready"
    mark.touch()
    eventually(lambda: fleet.process("todos-1")["state"] == "not ready" or None, "it is shown as not ready")
    mark.unlink()
    eventually(lambda: fleet.process("todos-1")["state"] == "ready" or None, "it is shown as ready")
    assert fleet.process("todos-1")["pid"] == before["pid"]


def test_a_fleet_that_cannot_start_says_why_and_leaves_nothing(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(start=False)
    folder = fleet.folder.of_service("todos-1")
    folder.mkdir(parents=True)
    (folder / "crash").touch()
    with pytest.raises(FleetDied):
        fleet.start()
    assert "todos-1 does not start: exit code 3." in fleet.output()
    assert "told to crash" in fleet.output()
    assert fleet.alive() == []
    assert not fleet.folder.control_socket.exists()


def test_a_migration_that_fails_ends_the_start(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(start=False)
    folder = fleet.folder.root / "migrations"
    folder.mkdir(parents=True)
    (folder / "fail").touch()
    with pytest.raises(FleetDied):
        fleet.start()
    assert "migrations does not start: exit code 1." in fleet.output()
    assert "told to fail" in fleet.output()
    assert "✓ todos-1" not in fleet.output()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(make_fleet: MakeFleet, number: signal.Signals) -> None:
    fleet = make_fleet()
    tree = fleet.tree()
    assert len(tree) == 12  # the supervisor, its guardian, five stand-ins with a child each
    assert fleet.supervisor is not None
    fleet.supervisor.send_signal(number)
    assert fleet.supervisor.wait(20) == 0
    assert still_running(tree) == []
    assert not fleet.folder.control_socket.exists()
    assert not fleet.folder.run_file.exists()
    output = fleet.output()
    order = [output.index(f"■ {name} has ended") for name in ("envoy", "todos-1", "database")]
    assert order == sorted(order)


def test_a_closed_terminal_ends_everything(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(start=False)
    terminal, inside = pty.openpty()
    fleet.launch(terminal=inside)
    os.close(inside)
    fleet.wait_up()
    tree = fleet.tree()
    os.close(terminal)
    assert fleet.supervisor is not None
    # By itself, and not by its guardian.
    assert fleet.supervisor.wait(20) == 0
    wait_gone(tree)


def test_a_process_that_ignores_its_end_is_killed(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(start=False)
    folder = fleet.folder.of_service("relay-1")
    folder.mkdir(parents=True)
    (folder / "deaf").touch()
    fleet.start()
    tree = fleet.tree()
    assert fleet.stop() == 0
    assert still_running(tree) == []
    assert "relay-1 did not end within 1 s; it is killed" in fleet.output()


def test_a_daemon_that_a_process_has_started_ends_too(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(start=False)
    folder = fleet.folder.of_server("database")
    folder.mkdir(parents=True)
    (folder / "daemon").touch()
    fleet.start()
    # Killed, so that nobody is left who knows of the daemon.
    before = fleet.process("database")["pid"]
    daemons = [each for each in psutil.Process(before).children() if os.getsid(each.pid) == each.pid]
    assert len(daemons) == 1
    fleet.wait_back("database", fleet.kill("database"))
    assert still_running(daemons) == []


def test_a_supervisor_that_is_killed_leaves_nothing(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(start=False)
    folder = fleet.folder.of_server("database")
    folder.mkdir(parents=True)
    (folder / "daemon").touch()
    fleet.start()
    tree = fleet.tree()
    assert fleet.supervisor is not None
    fleet.supervisor.kill()
    fleet.supervisor.wait()
    wait_gone(tree)
    eventually(lambda: not fleet.folder.run_file.exists() or None, "the guardian has cleaned up")


def test_without_its_guardian_too_the_next_start_ends_what_was_left(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    tree = fleet.tree()
    guardian = next(each for each in tree if "banyan.fleet.guardian" in each.cmdline())
    left = [each for each in tree[1:] if each != guardian]
    assert fleet.supervisor is not None
    # Stopped first, so that neither sees the other go.
    guardian.suspend()
    fleet.supervisor.kill()
    fleet.supervisor.wait()
    guardian.kill()
    assert len(still_running(left)) == 10

    fleet.start()

    assert still_running(left) == []
    assert "10 processes that an earlier fleet had left here were ended" in fleet.output()


def test_down_ends_what_a_killed_supervisor_has_left(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    tree = fleet.tree()
    guardian = next(each for each in tree if "banyan.fleet.guardian" in each.cmdline())
    guardian.suspend()
    assert fleet.supervisor is not None
    fleet.supervisor.kill()
    fleet.supervisor.wait()
    guardian.kill()
    done = fleet.command("down")
    assert done.code == 0
    assert "10 processes that it had left were ended" in done.out
    assert still_running(tree) == []


def test_a_foreign_process_with_a_pid_of_ours_is_left_alone(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(start=False)
    foreign = subprocess.Popen(["sleep", "600"])
    try:
        fleet.folder.make()
        started = {"name": "todos-1", "pid": foreign.pid, "birth": "another/1", "stage": 2, "stop_signal": 15}
        run = {"id": "gone", "supervisor": 1, "processes": [started]}
        fleet.folder.run_file.write_text(json.dumps(run))
        fleet.start()
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


def test_the_guardian_comes_back(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()

    def guardian() -> psutil.Process | None:
        for each in fleet.tree()[1:]:
            try:
                if "banyan.fleet.guardian" in each.cmdline():
                    return each
            except psutil.Error:
                continue
        return None

    first = eventually(guardian, "a guardian")
    first.kill()

    def another() -> psutil.Process | None:
        found = guardian()
        return found if found is not None and found.pid != first.pid else None

    eventually(another, "another guardian")


def test_a_second_start_is_refused_and_told_who_runs(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    assert fleet.supervisor is not None
    done = fleet.command("up")
    assert done.code == 1
    assert (
        f"process {fleet.supervisor.pid} already serves the data in {fleet.data_dir} on {fleet.url}."
        in done.err
    )
    assert fleet.status()["state"] == "up"


def test_the_control_socket_is_its_owners(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    assert stat.S_IMODE(fleet.folder.control_socket.stat().st_mode) == 0o600


def test_it_works_in_a_folder_whose_path_is_too_long_for_a_socket(
    tmp_path: Path, make_fleet: MakeFleet
) -> None:
    fleet = make_fleet(start=False, data_dir=tmp_path / ("deep" * 20) / ("deeper" * 20) / "data")
    fleet.data_dir.parent.mkdir(parents=True)
    fleet.start()
    assert fleet.status()["state"] == "up"


def test_data_are_there_after_down_and_up(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    kept = fleet.folder.of_server("database") / "kept"
    kept.touch()
    assert fleet.command("down").code == 0
    assert fleet.supervisor is not None
    assert fleet.supervisor.wait(10) == 0
    fleet.start()
    assert kept.exists()
