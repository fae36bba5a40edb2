"""Banyan's own fleet, with its real servers: it starts, is scaled and rolled under load, heals, and leaves nothing behind."""

import threading
import time
from collections import Counter

import httpx
import pytest
from tests.support.accounts import Account
from tests.support.eventually import eventually
from tests.support.fleet import RunningFleet, still_running, wait_gone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# What RELIABILITY.md gives a start on a quiet machine is 30 s; here others may work beside it.
CLIENTS = 4


class Load:
    """Clients that write and read all the time. Every answer is counted; inside nothing may fail."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._stop = threading.Event()
        self.answers: Counter[str] = Counter()
        self.written: list[str] = []
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, number: int) -> None:
        headers = {"authorization": self._account.client.headers["authorization"]}
        with httpx.Client(
            base_url=self._account.client.base_url, headers=headers, timeout=15, trust_env=False
        ) as client:
            turn = 0
            while not self._stop.is_set():
                turn += 1
                try:
                    if turn % 3 == 0:
                        made = client.post("/todos", json={"title": f"{number}/{turn}"})
                        self.answers[f"POST {made.status_code}"] += 1
                        if made.status_code == 201:
                            self.written.append(made.json()["id"])
                    else:
                        self.answers[f"GET {client.get('/todos?limit=3').status_code}"] += 1
                except httpx.TransportError as error:
                    self.answers[type(error).__name__] += 1


def test_a_person_uses_it(fleet: RunningFleet, account: Account) -> None:
    made = account.client.post("/todos", json={"title": "Water the banyan"})
    assert made.status_code == 201
    assert made.json()["url"].startswith(fleet.url)
    account.client.post(f"/notify/{account.id}", json={"message": "The kettle is on"})
    inbox = account.client.get("/notifications").json()
    # The welcome comes when it comes.
    assert [one["message"] for one in inbox if one["kind"] == "message"] == ["The kettle is on"]
    assert httpx.get(fleet.url, trust_env=False).status_code == 200


def test_mails_of_its_processes_are_read_by_the_command(fleet: RunningFleet, account: Account) -> None:
    from tests.support.command_line import banyan

    def look() -> bool | None:
        return account.email in banyan(["mail", "list"], fleet.data_dir).out or None

    eventually(look, "the mail that asks for confirmation", within_seconds=20)


def test_operators_work_on_all_databases(fleet: RunningFleet, account: Account) -> None:
    from tests.support.command_line import banyan

    environment = fleet.environment()
    assert account.email in banyan(["users", "list"], fleet.data_dir, environment).out
    verified = banyan(["events", "verify"], fleet.data_dir, environment)
    assert verified.code == 0, verified.out


def test_scaling_and_rolling_lose_no_request(fleet: RunningFleet, account: Account) -> None:
    with Load(account) as load:
        eventually(lambda: load.answers["POST 201"] > 5 or None, "the load has begun")
        for arguments in (
            ["scale", "todos=3"],
            ["scale", "todos=1"],
            ["restart", "todos"],
            ["scale", "todos=2"],
        ):
            done = fleet.command(*arguments, timeout_seconds=120)
            assert done.code == 0, done.err
    assert set(load.answers) == {"POST 201", "GET 200"}, load.answers
    listed = set()
    url = "/todos?limit=200"
    while url:
        page = account.client.get(url)
        listed |= {todo["id"] for todo in page.json()}
        url = page.links.get("next", {}).get("url", "")
    assert set(load.written) <= listed


@pytest.mark.parametrize("name", ["todos-1", "relay-1", "valkey", "kafka", "postgresql", "rabbitmq", "envoy"])
def test_each_process_comes_back_from_sigkill(fleet: RunningFleet, account: Account, name: str) -> None:
    pid = fleet.process(name)["pid"]
    assert fleet.command("kill", name).code == 0
    fleet.wait_back(name, pid, within_seconds=60)

    def works() -> bool | None:
        try:
            return account.client.post("/todos", json={"title": f"after {name}"}).status_code == 201 or None
        except httpx.TransportError:
            return None

    eventually(works, "it serves again", within_seconds=30)


def test_a_killed_supervisor_leaves_nothing_and_data_stay(fleet: RunningFleet, account: Account) -> None:
    port = httpx.URL(fleet.url).port
    title = f"kept {time.time()}"
    account.client.post("/todos", json={"title": title})
    # Looked for by their marks too: epmd and PostgreSQL's own children lead sessions of their own.
    everything = {process.pid: process for process in (*fleet.tree(), *fleet.alive())}.values()
    assert len(everything) > 20
    assert fleet.supervisor is not None
    fleet.supervisor.kill()
    fleet.supervisor.wait()
    wait_gone(list(everything), within_seconds=40)

    fleet.settings["BANYAN_PORT"] = str(port)
    fleet.start()
    assert title in {todo["title"] for todo in account.client.get("/todos?q=kept").json()}
    tree = fleet.tree()
    assert fleet.stop() == 0
    assert still_running(tree) == []
    for name in ("postgresql", "rabbitmq"):
        assert (fleet.folder.of_server(name) / "password").exists()


def test_it_runs_in_the_background_until_down(fleet: RunningFleet, account: Account) -> None:
    begun = fleet.command("up", "--detach", timeout_seconds=120)
    assert begun.code == 0, begun.err
    assert f"Web application  {fleet.url}" in begun.out
    assert account.client.get("/users/me").status_code == 200
    everything = fleet.alive()
    assert len(everything) > 10
    assert fleet.command("down", timeout_seconds=60).code == 0
    wait_gone(everything)
