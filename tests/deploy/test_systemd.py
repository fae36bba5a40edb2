"""The units for a plain server: systemd takes them, and they fit the program."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.deployment import DEPLOY, SETTINGS, refusal
from tests.support.programs import missing
from tests.support.server import settings_of

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PROGRAM = "/opt/banyan/bin/banyan"
# systemd's own scale from 0 (nothing can be broken) to 10; below 2 it says OK.
MOST_EXPOSURE = 1.2


def name_of(unit: Path) -> str:
    return unit.name


def values(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text("utf-8"), re.MULTILINE)


def one(unit: Path, key: str) -> str:
    (value,) = values(unit, key)
    return value


def systemd_analyze() -> str:
    return shutil.which("systemd-analyze") or missing("systemd-analyze is not on this machine")


def test_there_are_units_for_the_server_and_for_workers() -> None:
    assert [unit.name for unit in UNITS] == ["banyan-worker@.service", "banyan.service"]


@pytest.mark.parametrize("unit", UNITS, ids=name_of)
def test_every_command_and_setting_exists(unit: Path) -> None:
    commands = [*values(unit, "ExecStartPre"), *values(unit, "ExecStart")]
    assert commands
    for command in commands:
        program, *arguments = shlex.split(command.replace("%i", "1"))
        assert program == PROGRAM
        assert refusal(arguments) is None, command
    named = {text.partition("=")[0] for text in values(unit, "Environment") if text.startswith("BANYAN_")}
    assert named
    assert named <= SETTINGS


@pytest.mark.parametrize("unit", UNITS, ids=name_of)
def test_it_is_given_time_to_drain(unit: Path) -> None:
    environment = dict(text.split("=", 1) for text in values(unit, "Environment"))
    settings = settings_of(
        {**environment, "BANYAN_SECRET_KEY": "x1" * 24, "BANYAN_PUBLIC_URL": "http://localhost"}
    )
    drain = settings.drain_seconds + settings.shutdown_timeout.total_seconds()
    assert float(one(unit, "TimeoutStopSec")) > drain


@pytest.mark.parametrize("unit", UNITS, ids=name_of)
def test_its_data_folder_is_the_one_that_it_may_write_to(unit: Path) -> None:
    environment = dict(text.split("=", 1) for text in values(unit, "Environment"))
    assert one(unit, "ProtectSystem") == "strict"
    assert environment["BANYAN_DATA_DIR"] == f"/var/lib/{one(unit, 'StateDirectory')}"
    assert one(unit, "WorkingDirectory") == environment["BANYAN_DATA_DIR"]


def verified(text: str, copy: Path) -> tuple[int, list[str]]:
    """The exit code of `systemd-analyze verify`, and what it says of the unit itself."""
    # With a program that exists in place of ours, which is installed elsewhere.
    copy.write_text(text.replace(PROGRAM, "/bin/true"), "utf-8")
    done = subprocess.run(
        [systemd_analyze(), "verify", "--man=no", copy], capture_output=True, text=True, check=False
    )
    return done.returncode, [
        line for line in done.stderr.splitlines() if line.startswith((copy.stem, str(copy)))
    ]


@pytest.mark.parametrize("unit", UNITS, ids=name_of)
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    assert verified(unit.read_text("utf-8"), tmp_path / unit.name) == (0, [])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("StateDirectory=", "StateDirectories="),
        ("ProtectSystem=strict", "ProtectSystem=strictly"),
        ("Restart=", "Restart=maybe\n#"),
    ],
)
@pytest.mark.parametrize("unit", UNITS, ids=name_of)
def test_systemd_complains_of_a_slip_of_the_pen(unit: Path, tmp_path: Path, right: str, wrong: str) -> None:
    text = unit.read_text("utf-8")
    assert right in text
    code, complaints = verified(text.replace(right, wrong, 1), tmp_path / unit.name)
    assert (code, complaints) != (0, [])


@pytest.mark.parametrize("unit", UNITS, ids=name_of)
def test_it_is_confined(unit: Path) -> None:
    done = subprocess.run(
        [systemd_analyze(), "security", "--offline=yes", unit], capture_output=True, text=True, check=False
    )
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stderr
    assert float(exposure[1]) <= MOST_EXPOSURE
