"""`banyan doctor` sees what is wrong with real parts, and says what to do."""

import logging
import os
import resource
import shutil
import sqlite3
from pathlib import Path

import pytest
import structlog
from tests.support.postgres import postgres_server
from tests.support.server import migrated_postgres_url

from banyan.doctor import machine
from banyan.doctor.clock import clock
from banyan.fleet.ports import free_port


def found(done) -> dict[str, dict]:
    return {line["check"]: line for line in done.json_lines()}


def test_a_sound_installation_has_nothing_to_do(cli, data_dir: Path) -> None:
    done = cli("doctor", "--json")
    assert done.code == 0, done.out
    assert {line["state"] for line in done.json_lines()} == {"ok"}
    assert {"settings", "secret", "data folder", "disk", "open files", "database file", "migrations"} <= set(
        found(done)
    )
    assert "Nothing keeps Banyan from working" in cli("doctor").out


def test_postgresql_is_looked_at_from_outside(cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANYAN_SECRET_KEY", "0123456789abcdef" * 3)
    monkeypatch.setenv("BANYAN_DATABASE_URL", migrated_postgres_url())
    done = cli("doctor", "--json")
    assert (done.code, found(done)["clock"]["state"], found(done)["migrations"]["state"]) == (
        0,
        "ok",
        "ok",
    ), done.out
    monkeypatch.setenv("BANYAN_DATABASE_URL", postgres_server().new_database())
    pending = found(cli("doctor", "--json"))["migrations"]
    assert (pending["state"], pending["todo"]) == ("fail", "Run: banyan migrate")


@pytest.mark.parametrize(
    ("variable", "value", "check"),
    [
        ("BANYAN_DATABASE_URL", "postgresql://banyan:hidden@127.0.0.1:{port}/banyan", "PostgreSQL"),
        ("BANYAN_REDIS_URL", "redis://:hidden@127.0.0.1:{port}/0", "Redis"),
        ("BANYAN_KAFKA_SERVERS", "127.0.0.1:{port}", "Kafka"),
        ("BANYAN_AMQP_URL", "amqp://banyan:hidden@127.0.0.1:{port}/", "RabbitMQ"),
        ("BANYAN_SMTP_HOST", "127.0.0.1", "SMTP"),
    ],
)
def test_a_server_that_is_away_fails_and_no_password_is_shown(
    cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, check: str
) -> None:
    # As the command itself sets it; the fixture keeps it from touching the logs of the test run.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    port = free_port()
    monkeypatch.setenv("BANYAN_SMTP_PORT", str(port))
    monkeypatch.setenv(variable, value.format(port=port))
    done = cli("doctor", "--json")
    assert (done.code, found(done)[check]["state"]) == (1, "fail")
    assert f"127.0.0.1:{port}" in found(done)[check]["what"]
    assert variable.removesuffix("_HOST") in found(done)[check]["todo"]
    assert "hidden" not in done.out + done.err


def test_a_damaged_file_an_old_one_and_an_open_secret_fail(cli, data_dir: Path) -> None:
    with sqlite3.connect(data_dir / "banyan.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    (data_dir / "secret.key").write_text("s" * 48)
    (data_dir / "secret.key").chmod(0o644)
    done = cli("doctor", "--json")
    assert done.code == 1
    assert (found(done)["migrations"]["state"], found(done)["secret"]["state"]) == ("fail", "fail")
    with (data_dir / "banyan.sqlite3").open("r+b") as file:
        file.write(os.urandom(65536))
    assert found(cli("doctor", "--json"))["database file"]["state"] == "fail"


def test_a_secret_that_can_be_guessed_fails(cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANYAN_SECRET_KEY", "changeme")
    done = cli("doctor", "--json")
    assert (done.code, found(done)["secret"]["state"]) == (1, "fail")
    assert "changeme" not in done.out


def test_a_data_folder_that_is_none_fails(cli, data_dir: Path) -> None:
    shutil.rmtree(data_dir)
    data_dir.parent.mkdir(exist_ok=True)
    done = cli("doctor", "--json")
    assert (done.code, found(done)["data folder"]["state"]) == (1, "fail")
    assert not data_dir.exists(), "the doctor has changed something"


def test_few_open_files_and_a_full_disk_are_told(
    cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (256, 1024))
    monkeypatch.setattr(machine, "DISK_FAIL_BYTES", 1 << 62)
    done = cli("doctor", "--json")
    assert (found(done)["open files"]["state"], found(done)["disk"]["state"]) == ("warn", "fail")


def test_a_misspelt_setting_is_a_warning(cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANYAN_PROT", "1")
    done = cli("doctor", "--json")
    assert (done.code, found(done)["settings"]["state"]) == (0, "warn")


@pytest.mark.parametrize(("offset", "state"), [(0.2, "ok"), (-5.0, "warn"), (120.0, "fail")])
def test_clocks_that_differ_are_told(offset: float, state: str) -> None:
    assert clock("Redis", offset).state == state
