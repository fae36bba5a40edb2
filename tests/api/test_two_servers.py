"""Two server processes on one PostgreSQL database: each sees what the other has acknowledged."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.support.accounts import client_of, register
from tests.support.server import RunningServer, migrated_postgres_url

SECRET = "the same secret for both of these servers, 48 chars"
ROUNDS = 2000


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, RunningServer]]:
    settings = {"BANYAN_DATABASE_URL": migrated_postgres_url(), "BANYAN_SECRET_KEY": SECRET}
    folder = tmp_path_factory.mktemp("two")
    with RunningServer(folder / "a", settings) as one, RunningServer(folder / "b", settings) as other:
        yield one, other


@pytest.mark.timeout(180)
def test_what_one_has_acknowledged_the_other_shows_at_once(servers: tuple[RunningServer, RunningServer]):
    one, other = servers
    account = register(one.url)
    stale = 0
    with client_of(other.url, account.access_token) as reader:
        todo = account.client.post("/todos", json={"title": "0"}).json()
        for number in range(1, ROUNDS + 1):
            writer, asked = (account.client, reader) if number % 2 else (reader, account.client)
            written = writer.patch(f"/todos/{todo['id']}", json={"title": str(number)})
            assert written.status_code == 200, written.text
            stale += asked.get("/todos").json()[0]["title"] != str(number)
    account.client.close()
    assert stale == 0


def test_a_stream_of_one_tells_what_was_done_at_the_other(servers: tuple[RunningServer, RunningServer]):
    one, other = servers
    account = register(one.url)
    with (
        client_of(other.url, account.access_token) as reader,
        reader.stream("GET", "/events", timeout=httpx.Timeout(10)) as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines).startswith("retry") or True
        title = "told across processes"
        account.client.post("/todos", json={"title": title})
        told = (json.loads(line[5:]) for line in lines if line.startswith("data:") and title in line)
        assert next(told)["type"] == "TodoCreated"
    account.client.close()


def test_a_session_that_one_revokes_is_refused_by_the_other_within_a_second(
    servers: tuple[RunningServer, RunningServer],
):
    one, other = servers
    account = register(one.url)
    with client_of(other.url, account.access_token) as reader:
        assert reader.get("/todos").status_code == 200
        assert account.client.delete(f"/auth/sessions/{account.session_id}").status_code == 204
        deadline = time.monotonic() + 1
        while reader.get("/todos").status_code != 401:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    account.client.close()
