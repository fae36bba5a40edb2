"""What `make up` installs is enough for `banyan up`: no extra is imported by a process that uses none."""

import os
import subprocess
import sys
from importlib.metadata import files as files_of
from importlib.metadata import packages_distributions
from pathlib import Path

import httpx
import pytest
from tests.architecture.test_dependencies import locked, normalized
from tests.support.eventually import eventually
from tests.support.ports import free_ports

# Stands in for an environment that has only the base lock: whatever else is installed here cannot be found.
ONLY_BASE = """
import sys
from importlib.machinery import PathFinder

class Base(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.partition(".")[0] in {absent!r} or name in {absent!r}
        return None if absent else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Base
from banyan.cli import main
main()
"""


def absent_modules() -> set[str]:
    """The top-level modules of every installed distribution that the base lock does not hold, and what such distributions
    have in a namespace that they share with one of the base."""
    base = {*locked("base"), "banyan-backend"}
    absent: set[str] = set()
    for module, distributions in packages_distributions().items():
        others = {name for name in distributions if normalized(name) not in base}
        if len(others) == len(set(distributions)):
            absent.add(module)
        else:
            absent |= _inside(module, others) - _inside(module, set(distributions) - others)
    return absent


def _inside(namespace: str, distributions: set[str]) -> set[str]:
    files = [file for name in distributions for file in files_of(name) or ()]
    return {".".join(file.parts[:2]) for file in files if file.parts[0] == namespace and len(file.parts) > 2}


def run_with_base(folder: Path, *words: str, **settings: str) -> subprocess.Popen[str]:
    program = ONLY_BASE.format(absent=absent_modules() - set(sys.stdlib_module_names))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BANYAN_")}
    return subprocess.Popen(
        [sys.executable, "-c", program, *words],
        env={**inherited, "BANYAN_DATA_DIR": str(folder), "BANYAN_HOST": "127.0.0.1", **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_what_stands_for_an_extra_cannot_be_imported() -> None:
    assert {
        "aiohttp",
        "asyncpg",
        "redis",
        "aiokafka",
        "aio_pika",
        "opentelemetry.sdk",
        "pytest",
    } <= absent_modules()
    assert not {"fastapi", "banyan", "uvicorn"} & absent_modules()


def test_banyan_up_starts_and_answers(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    process = run_with_base(tmp_path, "up", BANYAN_PORT=str(port))

    def answers() -> bool | None:
        assert process.poll() is None, process.communicate()[0]
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200 or None
        except httpx.TransportError:
            return None

    try:
        eventually(answers, "the server is ready")
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_a_setting_that_needs_an_extra_says_which(tmp_path: Path) -> None:
    process = run_with_base(tmp_path, "serve", "todos", BANYAN_USERS_URL="http://127.0.0.1:1")
    told, _ = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "banyan-backend[services]" in " ".join(told.split())


def test_traces_without_their_extra_say_which_it_is(tmp_path: Path) -> None:
    process = run_with_base(tmp_path, "serve", BANYAN_OTLP_ENDPOINT="http://127.0.0.1:4318")
    told, _ = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "banyan-backend[tracing]" in " ".join(told.split())


@pytest.mark.parametrize(
    "words",
    [
        "up",
        "status",
        "status --watch",
        "logs",
        "scale todos=2",
        "restart todos",
        "kill todos-1",
        "env",
        "down",
    ],
)
def test_each_command_of_the_fleet_says_which_extra_it_needs(tmp_path: Path, words: str) -> None:
    process = run_with_base(tmp_path, "fleet", *words.split())
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert output == "Error: the fleet needs an extra.\npip install 'banyan-backend[fleet]'\n"
