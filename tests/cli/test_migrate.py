"""`banyan migrate`, and what commands say when it was not run."""

import sqlite3
from pathlib import Path

import pytest


def test_it_makes_the_database_and_then_has_nothing_to_do(cli, tmp_path: Path) -> None:
    assert cli("migrate", "--check", "--json").json()["pending"] is True
    first = cli("migrate", "--json")
    assert (first.code, first.json()["migrated"], first.json()["pending"]) == (0, True, False)
    assert (tmp_path / "data" / "banyan.sqlite3").exists()
    assert cli("migrate", "--json").json()["migrated"] is False
    assert cli("migrate", "--check").code == 0


def test_check_changes_nothing_and_tells_by_its_exit_code(cli, tmp_path: Path) -> None:
    assert cli("migrate", "--check").code == 1
    assert not (tmp_path / "data" / "banyan.sqlite3").exists()


def test_the_data_folder_is_for_its_owner_only(cli, tmp_path: Path) -> None:
    cli("migrate")
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("command", [("serve",), ("users", "list"), ("events", "verify"), ("keys", "list")])
def test_without_a_database_commands_say_how_to_make_one(cli, command: tuple[str, ...]) -> None:
    done = cli(*command)
    assert done.code == 1
    assert "there is no database" in done.err
    assert "migrate" in done.err


@pytest.mark.parametrize("command", [("serve",), ("users", "list")])
def test_with_an_old_database_commands_say_how_to_update_it(
    cli, data_dir: Path, command: tuple[str, ...]
) -> None:
    with sqlite3.connect(data_dir / "banyan.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    connection.close()
    done = cli(*command)
    assert done.code == 1
    assert "0000" in done.err
    assert "banyan" in done.err
    assert "migrate" in done.err


def test_a_database_of_a_later_version_is_served_and_left_alone(cli, data_dir: Path) -> None:
    """So that the former version can restart during an upgrade, and be gone back to."""
    with sqlite3.connect(data_dir / "banyan.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert cli("users", "list").code == 0
    checked = cli("migrate", "--check")
    assert checked.code == 0
    assert "of a later version" in checked.out
    migrated = cli("migrate", "--json")
    assert (migrated.code, migrated.json()["migrated"], migrated.json()["current"]) == (0, False, "9999")
    assert "warn migrations" in cli("doctor").out
