"""`banyan promote` under load: no request fails, no write is lost, writes wait for less than a second."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.crash_run import seed_of_the_day
from tests.support.postgres import postgres_server
from tests.support.promotion_load import LoadedServer
from tests.support.server import RunningServer
from tests.support.server import server_kind as against

from banyan.infra.db.promotion_record import read_record

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(300),
    pytest.mark.skipif(against() == "postgresql", reason="it begins on SQLite"),
]

HELD_MS = 1000
TWIN = Path(__file__).parents[1] / "support" / "promotes_badly.py"

MakeServer = Callable[..., RunningServer]


@pytest.fixture
def loaded(make_server: MakeServer, tmp_path: Path) -> LoadedServer:
    return LoadedServer(make_server(start=False), tmp_path, seed=seed_of_the_day())


def test_there_and_back_and_there_for_good(loaded: LoadedServer) -> None:
    url = postgres_server().new_database()
    with loaded:
        promoted = loaded.promoted("--to", url)
        assert promoted["held_ms"] < HELD_MS
        assert promoted["copied"] > 100
        assert promoted["compared"] >= promoted["copied"]
        loaded.work(200)
        back = loaded.promoted("--rollback")
        assert back["held_ms"] < HELD_MS
        loaded.work(200)
        # The same database again: what is in it is known to be a copy that was given up.
        again = loaded.promoted("--to", url)
        assert again["held_ms"] < HELD_MS
        loaded.work(100)
        loaded.promoted("--confirm")
        loaded.work(100)
        assert loaded.failures() == []
        assert loaded.judge() == []
        record = read_record(loaded.server.data_dir / "banyan.sqlite3")
        assert record is not None
        assert record.phase == "moved"
        assert loaded.server.rows("SELECT to_regclass('promotion_changes')") == [(None,)]
        held = [facts["held_ms"] for facts in (promoted, back, again)]
        print(f"writes were held for {held} ms; {loaded.acknowledged} operations were acknowledged")


@pytest.mark.parametrize("fault", ["no-last-changes", "not-held", "sequence-restarted"])
def test_a_planted_fault_is_found_out(
    fault: str, make_server: MakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", fault)
    server = make_server(start=False)
    server.program = [str(TWIN)]
    loaded = LoadedServer(server, tmp_path, seed=1)
    with loaded:
        loaded.promote("--to", postgres_server().new_database())
        try:
            loaded.work(60)
            found = loaded.failures() + loaded.judge()
        except AssertionError as error:
            found = [str(error)]
        print(f"{fault}: {found[:3]}")
        assert found != []
