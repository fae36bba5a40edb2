"""What a promotion refuses before it touches anything, and what ends one that is under way: each says why in one sentence."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from tests.support.accounts import register
from tests.support.command_line import banyan
from tests.support.postgres import postgres_server
from tests.support.server import RunningServer, migrated_data_dir
from tests.support.server import server_kind as against

from banyan.infra.db.data_lock import DataLock
from banyan.infra.db.promotion_record import followed, read_record
from banyan.promotion import cut_over
from banyan.promotion.client import alone
from banyan.promotion.control import LOCK_NAME
from banyan.promotion.cut_over import NoGate
from banyan.promotion.errors import HeldTooLong, PromotionError, Refused
from banyan.promotion.moving import Progress
from banyan.promotion.promote import Moved, confirm, promote, roll_back, standing
from banyan.promotion.start import settle
from banyan.settings import Settings

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(against() == "postgresql", reason="it begins on SQLite"),
]

TODO = (
    "INSERT INTO todos (user_id, id, created_position, title, completed, priority, labels, created_at, updated_at, version)"
    " VALUES ('ada', ?, 1, ?, 1, 0, '[]', '2030-01-01T00:00:00.000000Z', '2030-01-01T00:00:00.000000Z', 1)"
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation without a server, with one to-do."""
    settings = Settings(data_dir=migrated_data_dir(tmp_path / "data"))  # pyright: ignore[reportCallIssue]
    write(settings, TODO, "milk", "Milk")
    return settings


@pytest.fixture
def url() -> str:
    return postgres_server().new_database()


def write(settings: Settings, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(settings.database_path)) as connection:
        connection.create_function("lower", 1, str.lower)
        connection.execute(sql, values)
        connection.commit()


def read(settings: Settings, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(settings.database_path)) as connection:
        return connection.execute(sql).fetchall()


async def there(url: str, sql: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def moved(settings: Settings, url: str, tell: Callable[[Progress], None] | None = None) -> Moved:
    return await promote(settings, url, tell or (lambda _: None))


def untouched(settings: Settings) -> bool:
    return read(settings, "SELECT name FROM sqlite_master WHERE name LIKE 'promotion%'") == []


async def test_without_a_server_it_is_done_by_the_command_alone(settings: Settings, url: str) -> None:
    done = await moved(settings, url)
    assert done.pid is None
    assert done.copied == sum(table.rows for table in done.compared) >= 1
    assert await there(url, "SELECT id, completed FROM todos") == [("milk", True)]
    address = followed(settings.data_dir, settings.database_path)
    assert address is not None
    assert address.url == url
    with pytest.raises(sqlite3.IntegrityError, match="has moved to PostgreSQL"):
        write(settings, TODO, "late", "Late")
    with pytest.raises(Refused, match="on PostgreSQL already"):
        await moved(settings, url)

    # What is written there meanwhile comes back, and so does what is deleted.
    await there(url, 'INSERT INTO todos SELECT (jsonb_populate_record(t, \'{"id": "eggs"}\')).* FROM todos t')
    await there(url, "DELETE FROM todos WHERE id = 'milk'")
    assert (await standing(settings)).changes == 2
    await roll_back(settings, lambda _: None)
    assert read(settings, "SELECT id, completed FROM todos") == [("eggs", 1)]
    assert untouched(settings)
    write(settings, TODO, "late", "Late")
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError, match="moved back"):
        await there(url, "DELETE FROM todos")

    # The copy that was given up is known, and made anew.
    await moved(settings, url)
    assert len(await there(url, "SELECT id FROM todos")) == 2
    await confirm(settings)
    await confirm(settings)
    assert await there(url, "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal") == []
    with pytest.raises(Refused, match="final"):
        await roll_back(settings, lambda _: None)


async def test_numbers_go_on_where_they_were_even_when_the_last_rows_are_gone(
    settings: Settings, url: str
) -> None:
    write(settings, "INSERT INTO sqlite_sequence (name, seq) VALUES ('events', 41)")
    await moved(settings, url)
    assert await there(url, "SELECT nextval('events_sequence_seq')") == [(42,)]
    await roll_back(settings, lambda _: None)
    assert read(settings, "SELECT seq FROM sqlite_sequence WHERE name = 'events'") == [(42,)]


async def test_a_row_that_a_migration_made_and_that_was_changed_since(settings: Settings, url: str) -> None:
    write(settings, "UPDATE cache_trust SET beat = 7")
    await moved(settings, url)
    assert await there(url, "SELECT beat FROM cache_trust") == [(7,)]


async def test_a_target_that_cannot_be_reached(settings: Settings) -> None:
    with pytest.raises(Refused, match=r"postgresql://127.0.0.1:1/nowhere cannot be reached"):
        await moved(settings, "postgresql://someone:secret@127.0.0.1:1/nowhere")
    assert untouched(settings)


async def test_a_target_that_does_not_exist(settings: Settings, url: str) -> None:
    with pytest.raises(Refused, match="does not exist"):
        await moved(settings, url + "x")


async def test_a_target_that_is_not_empty(settings: Settings, url: str) -> None:
    await there(url, "CREATE TABLE invoices (id int)")
    with pytest.raises(Refused, match="is not empty: it holds the table invoices"):
        await moved(settings, url)
    assert untouched(settings)


async def test_a_target_that_holds_anothers_promotion(settings: Settings, url: str, tmp_path: Path) -> None:
    other = Settings(data_dir=migrated_data_dir(tmp_path / "other"))  # pyright: ignore[reportCallIssue]
    await moved(other, url)
    with pytest.raises(Refused, match="another installation"):
        await moved(settings, url)


async def test_a_role_that_may_not_create_tables(settings: Settings, url: str) -> None:
    await there(url, "CREATE ROLE guest LOGIN")
    await there(url, "REVOKE CREATE ON SCHEMA public FROM public")
    with pytest.raises(Refused, match="the role guest may not create tables"):
        await moved(settings, url.replace("postgres@", "guest@"))


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("CREATE TABLE notes (id int)", "not Banyan's: notes"),
        (
            "UPDATE todos SET title = 'a' || char(0)",
            r"todos \(ada, milk\), title holds the character U\+0000",
        ),
        ("UPDATE todos SET labels = '[\"\\u0000\"]'", r"todos \(ada, milk\), labels holds"),
        ("UPDATE alembic_version SET version_num = '0001'", "migration 0001"),
    ],
)
async def test_an_installation_that_cannot_be_moved(
    settings: Settings, url: str, statement: str, why: str
) -> None:
    write(settings, statement)
    with pytest.raises(Refused, match=why):
        await moved(settings, url)
    assert untouched(settings)
    assert await there(url, "SELECT relname FROM pg_class WHERE relname = 'todos'") == []


async def test_two_at_a_time(settings: Settings, url: str) -> None:
    async with alone(settings):
        with pytest.raises(Refused, match="another promotion"):
            await moved(settings, url)


async def test_a_value_that_comes_while_it_copies_ends_it_and_leaves_sqlite_as_it_is(
    settings: Settings, url: str
) -> None:
    def spoil(progress: Progress) -> None:
        if progress.stage == "copy" and progress.what == "todos":
            write(settings, TODO, "bad", "a\x00b")

    with pytest.raises(PromotionError, match=r"todos \(ada, bad\), title holds the character U\+0000"):
        await moved(settings, url, spoil)
    assert untouched(settings)


async def test_a_target_that_somebody_else_writes_to_ends_it(settings: Settings, url: str) -> None:
    def meddle(progress: Progress) -> None:
        if progress.stage == "cut-over":
            postgres_server().sql("DELETE FROM todos", database=url.rpartition("/")[2])

    with pytest.raises(PromotionError, match="somebody else has written"):
        await moved(settings, url, meddle)
    assert untouched(settings)


async def test_a_row_that_is_not_the_same_ends_it(settings: Settings, url: str) -> None:
    def meddle(progress: Progress) -> None:
        if progress.stage == "copy" and progress.what == "todos":
            database = url.rpartition("/")[2]
            postgres_server().sql(
                "SET banyan.promotion = 'on'; UPDATE todos SET title = 'Mylk'", database=database
            )

    with pytest.raises(PromotionError, match=r"todos \(ada, milk\) is not the same on both sides"):
        await moved(settings, url, meddle)


async def test_what_is_held_too_long_is_let_through_again(
    settings: Settings, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def never(_gate: NoGate) -> None:
        seen.append("hold")
        await asyncio.Event().wait()

    monkeypatch.setattr(cut_over, "HOLD_SECONDS", 0.05)
    monkeypatch.setattr("banyan.promotion.promote.MAX_CUT_OVERS", 2)
    monkeypatch.setattr(NoGate, "hold", never)
    monkeypatch.setattr(NoGate, "release", lambda _gate: seen.append("release"))
    monkeypatch.setattr(NoGate, "exchange", lambda _gate: seen.append("exchange"))
    with pytest.raises(HeldTooLong):
        await moved(settings, url)
    assert seen == ["hold", "release"] * 2
    assert untouched(settings)


async def test_a_rollback_that_comes_to_nothing_leaves_postgresql_taking_writes(
    settings: Settings, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await moved(settings, url)

    async def fails(*_arguments: object) -> None:
        raise PromotionError("planted")

    monkeypatch.setattr("banyan.promotion.sqlite_side.SqliteSide.set_counters", fails)
    with pytest.raises(PromotionError, match="planted"):
        await roll_back(settings, lambda _: None)
    assert await there(url, "SELECT state FROM promotion") == [("live",)]
    await there(url, "UPDATE todos SET title = 'Oat milk'")
    record = read_record(settings.database_path)
    assert record is not None
    assert record.phase == "promoted"


async def test_others_on_postgresql_stand_in_the_way_of_a_rollback(settings: Settings, url: str) -> None:
    await moved(settings, url)
    other = await asyncpg.connect(url, server_settings={"application_name": "banyan 77@elsewhere"})
    with pytest.raises(Refused, match="banyan 77@elsewhere"):
        await roll_back(settings, lambda _: None)
    await other.close()


@pytest.mark.parametrize(
    ("state", "why"), [("copying", "is being filled"), ("rolled_back", "was rolled back")]
)
async def test_a_server_does_not_serve_from_a_copy_that_is_not_the_true_one(
    settings: Settings, url: str, state: str, why: str
) -> None:
    await moved(settings, url)
    await roll_back(settings, lambda _: None)
    await there(url, f"UPDATE promotion SET state = '{state}'")
    elsewhere = Settings(data_dir=settings.data_dir, database_url=url)  # pyright: ignore[reportCallIssue, reportArgumentType]
    with pytest.raises(Refused, match=why):
        await settle(elsewhere)


async def test_a_server_that_does_not_answer_on_its_channel(settings: Settings, url: str) -> None:
    lock = DataLock(settings.data_dir)
    lock.acquire()
    try:
        with pytest.raises(Refused, match="does not answer on its control channel"):
            await moved(settings, url)
    finally:
        lock.release()
    assert not (settings.data_dir / LOCK_NAME).read_bytes()


def test_a_server_that_works_with_other_processes(
    make_server: Callable[..., RunningServer], url: str
) -> None:
    server = make_server({"BANYAN_REDIS_URL": "redis://127.0.0.1:1/0"})
    done = banyan(["promote", "--to", url], server.data_dir)
    assert done.code == 1
    assert "BANYAN_REDIS_URL), which would not change over" in done.err


def test_the_command_says_so_in_one_sentence(make_server: Callable[..., RunningServer]) -> None:
    server = make_server()
    register(server.url).client.close()
    for arguments, why in [
        (["promote"], "choose one of"),
        (["promote", "--to", "mysql://x"], "must be a URL such as postgresql://"),
        (["promote", "--rollback"], "was not promoted"),
        (["promote", "--confirm"], "was not promoted"),
    ]:
        done = banyan(arguments, server.data_dir)
        assert done.code in (1, 2)
        assert why in done.err
        assert "Traceback" not in done.err
