"""Help: quick, complete, and for newcomers."""

import subprocess
import sys

import pytest

from banyan import __version__

COMMANDS = [
    "up",
    "serve",
    "migrate",
    "fleet",
    "users",
    "events",
    "backup",
    "restore",
    "doctor",
    "bench",
    "config",
    "mail",
    "keys",
]
HEAVY = {"fastapi", "pydantic", "sqlalchemy", "starlette", "uvicorn", "structlog", "cryptography", "alembic"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "banyan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_the_command_line_is_imported_without_heavy_packages() -> None:
    script = (
        "import sys, banyan.cli, banyan.cli.app; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert HEAVY & set(done.stdout.split()) == set()


def test_help_names_every_command_and_where_to_begin() -> None:
    page = run("--help").stdout
    assert [name for name in COMMANDS if f" {name} " not in page] == []
    assert "banyan up" in page
    assert "create-admin" in page


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, cli) -> None:
    done = cli(command, "--help")
    assert done.code == 0
    assert f"banyan {command}" in done.out
    assert "Examples" in done.out


def test_version(cli) -> None:
    done = cli("--version")
    assert (done.code, done.out) == (0, f"banyan {__version__}\n")


def test_an_unknown_command_is_a_mistake_of_use(cli) -> None:
    assert cli("frobnicate").code == 2
