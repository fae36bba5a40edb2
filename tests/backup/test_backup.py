"""Backups are whole, can be restored while others go on writing, and overwrite nothing by mistake."""

import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.support.accounts import PASSWORD, Account, client_of, register, unused_email
from tests.support.command_line import Finished
from tests.support.postgres import find_binaries, postgres_server
from tests.support.server import (
    RunningServer,
    migrated_data_dir,
    migrated_postgres_url,
    rows_of,
    server_kind,
)

from banyan.backup import one_moment
from banyan.targets import MODULES

WRITES_BEFORE = 25


@contextmanager
def writing(server: RunningServer, account: Account) -> Iterator[list[str]]:
    """Goes on making to-dos; gives the list of those that were acknowledged, once there are some."""
    acknowledged: list[str] = []
    enough, stop = threading.Event(), threading.Event()

    def write() -> None:
        with client_of(server.url, account.access_token) as client:
            while not stop.is_set():
                answer = client.post("/todos", json={"title": f"todo {len(acknowledged)}"})
                if answer.status_code == 201:
                    acknowledged.append(answer.json()["id"])
                if len(acknowledged) >= WRITES_BEFORE:
                    enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert enough.wait(20), server.log_text()
        yield acknowledged
    finally:
        stop.set()
        writer.join(20)


def backed_up(server: RunningServer, cli: Cli, target: Path) -> tuple[Account, set[str], Finished]:
    """A backup that was taken under writes, the ids that were acknowledged before it began, and what it printed."""
    account = register(server.url)
    with writing(server, account) as acknowledged:
        before = set(acknowledged)
        done = cli("backup", str(target), "--json")
        during = len(acknowledged) - len(before)
    assert done.code == 0, done.err
    assert during > 0, "nothing was written during the backup"
    return account, before, done


def holds(server: RunningServer, cli: Cli, account: Account, ids: set[str]) -> None:
    """The account's session goes on, its to-dos are there, and the log tells the same as the tables."""
    with client_of(server.url, account.access_token) as client:
        found = {todo_id for todo_id in ids if client.get(f"/todos/{todo_id}").status_code == 200}
        assert ids - found == set()
        assert client.post("/todos", json={"title": "after"}).status_code == 201
    verified = cli("events", "verify", "--json")
    assert (verified.code, verified.json()["differences"]) == (0, 0), verified.err


def test_a_server_under_writes_is_backed_up_and_starts_again_where_nothing_is(
    cli: Cli, tmp_path: Path
) -> None:
    if server_kind() == "postgresql":
        pytest.skip("the next test does it on PostgreSQL")
    place, target = tmp_path / "data", tmp_path / "file.tar.gz"
    with RunningServer(place) as server:
        account, before, done = backed_up(server, cli, target)
        refused = cli("restore", str(target), "--force")
        assert refused.code == 1
        assert f"process {server.pid}" in refused.err
    assert done.json_lines()[-1]["databases"][0]["kind"] == "sqlite"

    shutil.rmtree(place)
    restored = cli("restore", str(target), "--json")
    assert restored.code == 0, restored.err
    said = restored.json_lines()[-1]
    assert (said["same_secret"], said["needs_migration"]) == (True, False)
    assert (place / "secret.key").stat().st_mode & 0o077 == 0
    with RunningServer(place) as again:
        holds(again, cli, account, before)
    account.client.close()


def test_postgresql_is_backed_up_under_writes_by_its_own_tools(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, target = tmp_path / "data", tmp_path / "backup.tar"
    settings = {"BANYAN_DATABASE_URL": migrated_postgres_url(), "BANYAN_SECRET_KEY": "k" * 48}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with RunningServer(place, settings) as server:
        account, before, done = backed_up(server, cli, target)
        # From another machine, as it were.
        monkeypatch.setenv("BANYAN_DATA_DIR", str(tmp_path / "other"))
        busy = cli("restore", str(target), "--force")
        assert busy.code == 1
        assert "Stop its processes first" in busy.err
    assert done.json_lines()[-1]["databases"][0]["kind"] == "postgresql"

    shutil.rmtree(place)
    settings["BANYAN_DATABASE_URL"] = postgres_server().new_database()
    monkeypatch.setenv("BANYAN_DATABASE_URL", settings["BANYAN_DATABASE_URL"])
    monkeypatch.setenv("BANYAN_DATA_DIR", str(place))
    for options, code in (((), 0), ((), 1), (("--force",), 0)):
        restored = cli("restore", str(target), *options)
        assert restored.code == code, restored.err
    with RunningServer(place, settings) as again:
        holds(again, cli, account, before)
        # What Redis knew is not believed any more.
        assert again.rows("SELECT count(*) FROM cache_trust WHERE trusted") == [(0,)]
    account.client.close()


def each_its_own(databases: dict[str, str]) -> dict[str, str]:
    """The settings of an installation with a database for each module."""
    urls = {f"BANYAN_{module.upper()}_DATABASE_URL": url for module, url in databases.items()}
    return {**urls, "BANYAN_SECRET_KEY": "k" * 48}


@contextmanager
def registering(server: RunningServer) -> Iterator[None]:
    """People go on registering: each is an event of the users' database that the notifications' inbox takes note of."""
    stop = threading.Event()

    def go_on() -> None:
        with client_of(server.url) as client:
            while not stop.is_set():
                # 503 when others are hashing passwords: the next one then.
                person = {"name": "Somebody", "email": unused_email(), "password": PASSWORD}
                assert client.post("/users/", json=person).status_code in (201, 503)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def test_databases_of_several_services_are_backed_up_as_of_one_moment(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "data"
    settings = each_its_own({module: migrated_postgres_url() for module in MODULES})
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with RunningServer(place, settings) as server, registering(server):
        account, before, done = backed_up(server, cli, tmp_path / "backup.tar")
    made = done.json_lines()[-1]
    assert [entry["modules"] for entry in made["databases"]] == [[module] for module in MODULES]
    assert made["one_moment"] is True

    places = {module: postgres_server().new_database() for module in MODULES}
    shutil.rmtree(place)
    for name, value in each_its_own(places).items():
        monkeypatch.setenv(name, value)
    restored = cli("restore", str(tmp_path / "backup.tar"))
    assert restored.code == 0, restored.err
    # An inbox that is ahead of its producer would take the next events for repeats, and skip them.
    for producer in ("users", "todos"):
        known = dict(
            rows_of(places[producer], f"SELECT user_id, position FROM streams WHERE stream = '{producer}'")
        )
        for consumer in ("todos", "notifications"):
            marks = rows_of(
                places[consumer], f"SELECT user_id, position FROM inbox WHERE stream = '{producer}'"
            )
            assert [mark for mark in marks if mark[1] > known.get(mark[0], 0)] == [], (producer, consumer)
    assert rows_of(places["notifications"], "SELECT count(*) FROM inbox WHERE stream = 'users'")[0][0] > 1
    with RunningServer(place, each_its_own(places)) as again:
        holds(again, cli, account, before)
    account.client.close()


@contextmanager
def locked(url: str, statement: str) -> Iterator[None]:
    """Somebody else's transaction, which has done this and does not end."""
    binaries = find_binaries()
    assert binaries is not None
    psql = [binaries / "psql", url, "-Xqt"]
    with subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(f"BEGIN; {statement};\n\\echo held\n")
        other.stdin.flush()
        assert other.stdout.readline() == "held\n"
        yield


def test_a_writer_that_does_not_end_is_not_waited_for_for_ever(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases = {module: migrated_postgres_url() for module in MODULES}
    for name, value in each_its_own(databases).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(one_moment, "PATIENCE_MILLISECONDS", (10, 20))
    with locked(databases["todos"], "LOCK TABLE events IN ROW EXCLUSIVE MODE"):
        refused = cli("backup", str(tmp_path / "backup"))
        locks = rows_of(databases["users"], "SELECT count(*) FROM pg_locks WHERE mode = 'ShareLock'")
        assert locks == [(0,)], "writers wait for what was given up"
    assert (refused.code, "no moment could be found" in refused.err) == (1, True)
    assert cli("backup", str(tmp_path / "backup")).code == 0


def test_a_password_is_not_on_the_command_line_of_the_tools(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = postgres_server()
    binaries = find_binaries()
    assert binaries is not None
    spy = tmp_path / "bin"
    spy.mkdir()
    for program in ("pg_restore", "psql"):
        (spy / program).symlink_to(binaries / program)
    (spy / "pg_dump").write_text(
        f'#!/bin/sh\n[ "$1" = --version ] || echo "$@" "$PGPASSWORD" > {tmp_path}/seen\nexec {binaries}/pg_dump "$@"\n'
    )
    (spy / "pg_dump").chmod(0o755)
    url = migrated_postgres_url().replace("postgres@", "postgres:open%20sesame@")
    settings = {"BANYAN_DATABASE_URL": url, "BANYAN_SECRET_KEY": "k" * 48, "BANYAN_POSTGRES": str(spy)}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    done = cli("backup", str(tmp_path / "backup"))
    assert done.code == 0, done.err
    arguments, _, password = (tmp_path / "seen").read_text().strip().partition(f"@127.0.0.1:{server.port}")
    assert "sesame" not in arguments
    assert password.endswith(" open sesame")


def test_nothing_is_overwritten_without_force(cli, data_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    assert cli("backup", str(target)).code == 0
    written = (target / "manifest.json").read_bytes()
    refused = cli("backup", str(target))
    assert (refused.code, "is there already" in refused.err) == (1, True)
    assert (target / "manifest.json").read_bytes() == written

    before = (data_dir / "banyan.sqlite3").read_bytes()
    refused = cli("restore", str(target))
    assert (refused.code, "--force" in refused.err) == (1, True)
    assert (data_dir / "banyan.sqlite3").read_bytes() == before


def test_force_does_not_remove_a_folder_that_is_no_backup(cli, data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    assert cli("backup", str(tmp_path / "photos"), "--force").code == 1
    assert (tmp_path / "photos" / "cat.jpg").exists()


def test_force_restores_over_a_database_and_its_log(cli, data_dir: Path, make_user, tmp_path: Path) -> None:
    make_user("before@example.org")
    target = tmp_path / "backup.tar"
    assert cli("backup", str(target)).code == 0
    # As a killed server leaves it: with commits in a log beside the file, which must not reach the restored one.
    killed = data_dir / "banyan.sqlite3"
    connection = sqlite3.connect(killed)
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("CREATE TABLE late (n)")
    connection.commit()
    for suffix in ("", "-wal"):
        shutil.copy(f"{killed}{suffix}", tmp_path / f"killed{suffix}")
    connection.close()
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / f"killed{suffix}", f"{killed}{suffix}")
    assert cli("restore", str(target), "--force").code == 0
    with sqlite3.connect(killed) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'late'").fetchall() == []
    connection.close()
    assert [row["email"] for row in cli("users", "list", "--json").json_lines()] == ["before@example.org"]
    assert cli("events", "verify").code == 0


@pytest.mark.parametrize("strange", ["outside", "absolute", "link"])
def test_an_archive_that_reaches_out_of_its_folder_is_refused(
    cli, data_dir: Path, tmp_path: Path, strange: str
) -> None:
    target = tmp_path / "backup.tar"
    assert cli("backup", str(target)).code == 0
    member = tarfile.TarInfo(
        {"outside": "../escaped", "absolute": str(tmp_path / "escaped"), "link": "link"}[strange]
    )
    if strange == "link":
        member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path)
    with tarfile.open(target, "a") as archive:
        archive.addfile(member)
    before = (data_dir / "banyan.sqlite3").read_bytes()
    done = cli("restore", str(target), "--force")
    assert done.code == 1
    assert "belongs to no backup" in done.err
    assert not (tmp_path / "escaped").exists()
    assert not (data_dir.parent / "escaped").exists()
    assert (data_dir / "banyan.sqlite3").read_bytes() == before


@pytest.mark.parametrize("damage", ["flip", "remove", "add"])
def test_a_damaged_backup_is_refused_before_anything_is_changed(
    cli, data_dir: Path, tmp_path: Path, damage: str
) -> None:
    target = tmp_path / "backup"
    assert cli("backup", str(target)).code == 0
    saved = target / "databases" / "banyan.sqlite3"
    if damage == "flip":
        data = bytearray(saved.read_bytes())
        data[len(data) // 2] ^= 1
        saved.write_bytes(data)
    elif damage == "remove":
        (target / "secret.key").unlink()
    else:
        (target / "more").touch()
    shutil.rmtree(data_dir)
    refused = cli("restore", str(target))
    assert (refused.code, "damaged" in refused.err) == (1, True)
    assert not (data_dir / "banyan.sqlite3").exists()
    assert not (data_dir / "secret.key").exists()


def test_a_damaged_database_is_not_backed_up(cli, data_dir: Path, tmp_path: Path) -> None:
    with sqlite3.connect(data_dir / "banyan.sqlite3") as connection:
        pages = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = 'events'"
        )
        page = pages.fetchone()[0]
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()  # the last one brings the log into the file
    with (data_dir / "banyan.sqlite3").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(size))
    done = cli("backup", str(tmp_path / "backup"))
    assert (done.code, "damaged" in done.err) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["data"], "something of it was left"


@pytest.mark.parametrize("place", ["header", "schema"])
@pytest.mark.parametrize(
    "command",
    [
        ("users", "list"),
        ("migrate",),
        ("backup", "elsewhere.tar"),
        ("events", "verify"),
        ("config",),
        ("keys", "list"),
        ("up",),
    ],
    ids=" ".join,
)
def test_a_damaged_file_is_told_by_every_command_and_mended_by_a_restore(
    cli, data_dir: Path, tmp_path: Path, command: tuple[str, ...], place: str
) -> None:
    assert cli("backup", str(tmp_path / "backup")).code == 0
    with (data_dir / "banyan.sqlite3").open("r+b") as file:
        # Behind the header lies the page of the schema.
        file.seek(0 if place == "header" else 100)
        file.write(b"\xff" * 3000)
    done = cli(*command)
    assert done.code == 1
    assert f"{data_dir / 'banyan.sqlite3'} is damaged" in done.err
    assert "banyan restore" in done.err
    assert cli("restore", str(tmp_path / "backup"), "--force").code == 0
    assert cli("events", "verify").code == 0


def test_another_secret_is_told(cli, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANYAN_SECRET_KEY", "a" * 40)
    assert "BANYAN_SECRET_KEY is not in it" in cli("backup", str(tmp_path / "backup")).out
    assert "a" * 40 not in (tmp_path / "backup" / "manifest.json").read_text()
    shutil.rmtree(data_dir)
    monkeypatch.setenv("BANYAN_SECRET_KEY", "b" * 40)
    assert "The secret is another one" in cli("restore", str(tmp_path / "backup")).out


def test_a_backup_of_a_later_version_is_refused(cli, data_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    assert cli("backup", str(target)).code == 0
    said = json.loads((target / "manifest.json").read_text())
    said["databases"][0]["revision"] = "9999"
    (target / "manifest.json").write_text(json.dumps(said))
    shutil.rmtree(data_dir)
    refused = cli("restore", str(target))
    assert (refused.code, "9999" in refused.err) == (1, True)


def test_an_older_one_is_restored_and_says_what_it_needs(cli, data_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    assert cli("backup", str(target)).code == 0
    said = json.loads((target / "manifest.json").read_text())
    said["databases"][0]["revision"] = "0001"
    (target / "manifest.json").write_text(json.dumps(said))
    migrated_data_dir(data_dir)
    assert "migrate" in cli("restore", str(target), "--force").out
