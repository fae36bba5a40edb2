"""The import rules of pyproject.toml hold, and each of them can fail."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Plant(NamedTuple):
    """A forbidden import: `contract` must refuse `line` at the end of `file`, which is there already."""

    contract: str
    file: str
    line: str


PLANTS = [
    Plant("layers", "infra/db/shards.py", "import banyan.modules.users.contract"),
    Plant("layers", "modules/users/service/accounts.py", "import banyan.bootstrap"),
    Plant("layers", "kernel/ids.py", "import banyan.infra.db"),
    Plant("kernel", "kernel/ids.py", "import pydantic"),
    Plant("modules", "modules/notifications/handlers.py", "from banyan.modules.todos import store"),
    Plant("modules", "modules/todos/service.py", "import banyan.modules.users.service"),
    Plant("roles", "modules/todos/store.py", "import banyan.modules.todos.service"),
    Plant("roles", "modules/users/contract.py", "import banyan.modules.users.model"),
    Plant("composition", "cli/__init__.py", "import banyan.modules.todos.module"),
    Plant("web-framework", "modules/todos/service.py", "import fastapi"),
    Plant("tokens", "modules/users/service/accounts.py", "import joserfc"),
    Plant("passwords", "modules/users/service/accounts.py", "import argon2"),
    Plant("sqlite", "modules/todos/store.py", "import sqlite3"),
    Plant("postgresql", "infra/streams/relay.py", "import asyncpg"),
    Plant("redis", "infra/streams/positions.py", "import redis.asyncio"),
    Plant("kafka", "infra/streams/relay.py", "import aiokafka"),
    Plant("processes", "fleet/supervisor.py", "import psutil"),
    Plant("mail", "modules/users/service/accounts.py", "import aiosmtplib"),
    Plant("yaml", "fleet/servers/envoy.py", "import yaml"),
    Plant("envoy", "gateway/check.py", "import envoy"),
    Plant("lambda", "aws_lambda/scheduled.py", "import mangum"),
    Plant("traces", "infra/telemetry/trace.py", "import opentelemetry.trace"),
    Plant("rabbitmq", "modules/users/service/mail_queue.py", "import aio_pika"),
]


def lint(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run import-linter over the package and the rules that lie in `folder`."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-logo",
            "--no-cache",
            *arguments,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the package and its rules; the package in it wins over the installed one."""
    ignore = shutil.ignore_patterns("__pycache__", "static")
    shutil.copytree(ROOT / "src" / "banyan", tmp_path / "banyan", ignore=ignore)
    shutil.copytree(ROOT / "tests" / "architecture", tmp_path / "tests" / "architecture", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_package_keeps_its_import_rules() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: f"{plant.contract}: {plant.file}: {plant.line}")
def test_a_planted_import_breaks_its_contract(copy: Path, plant: Plant) -> None:
    file = copy / "banyan" / plant.file
    file.write_text(f"{file.read_text(encoding='utf-8')}\n{plant.line}\n", encoding="utf-8")

    result = lint(copy, "--contract", plant.contract)

    importer = "banyan." + plant.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout
    assert importer in result.stdout


def test_every_contract_has_a_planted_violation() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    assert {rule["id"] for rule in rules} == {plant.contract for plant in PLANTS}
