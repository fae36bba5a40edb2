"""Banyan's own fleet, with its real servers: it starts, is scaled and rolled under load, heals, and leaves nothing behind."""

import threading
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from tests.support.accounts import Account, client_of
from tests.support.eventually import eventually
from tests.support.fleet import RunningFleet, still_running, wait_gone
from tests.support.ports import free_ports
from tests.support.prometheus import alerts, ask, listed, names_in, queries, soon_seen
from tests.support.server import RunningServer
from tests.support.watched import Visitors, watched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# What RELIABILITY.md gives a start on a quiet machine is 30 s; here others may work beside it.
CLIENTS = 4
# Nobody is refused for too many here; tests of pools, budgets and of the gateway bring each of these about.
AT_REST = {
    "banyan_database_waits_total",
    "banyan_database_wait_seconds_total",
    "banyan_database_refused_total",
    "banyan_retries_refused_total",
    "envoy_http_local_rate_limit_rate_limited",
    "envoy_listener_downstream_global_cx_overflow",
    "envoy_cluster_upstream_rq_retry",
    "envoy_cluster_upstream_rq_retry_overflow",
    "envoy_cluster_upstream_rq_pending_overflow",
    "envoy_cluster_outlier_detection_ejections_enforced_total",
}


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


@pytest.fixture(scope="class")
def workers(fleet: RunningFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One more replica, which is what none of a fleet is: several processes on one port."""
    told = fleet.environment()
    database = told["BANYAN_USERS_DATABASE_URL"]
    settings = {**told, "BANYAN_DATABASE_URL": database, "BANYAN_WORKERS": "2", "BANYAN_PORT": "0"}
    del settings["BANYAN_DATA_DIR"]
    with RunningServer(tmp_path_factory.mktemp("workers") / "data", settings, target="users") as server:
        yield server


@pytest.fixture(scope="class")
def prometheus(
    fleet: RunningFleet, workers: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Sees the fleet, those workers, and a server on SQLite; and all of them are used."""
    folder = tmp_path_factory.mktemp("watched")
    # Nobody answers there: its breaker opens, and the server does without.
    lost = {"BANYAN_REDIS_URL": f"redis://127.0.0.1:{free_ports(1)[0]}"}
    with RunningServer(folder / "alone", lost) as alone:
        others = {"workers": workers.url, "alone": alone.url}
        with watched(folder, fleet, others) as url, Visitors(fleet.url), Visitors(alone.url):
            yield url


class TestUnderPrometheus:
    """As long as these run a Prometheus scrapes the fleet, and somebody uses it."""

    def test_prometheus_sees_every_process(self, fleet: RunningFleet, prometheus: str) -> None:
        processes = fleet.status()["processes"]
        expected = {one["name"] for one in processes if one["stage"] != "servers"} | {"workers", "alone"}

        def look() -> bool | None:
            up = {sample["metric"]["instance"] for sample in ask(prometheus, "up == 1") or ()}
            return up == expected or None

        soon_seen(look, f"{expected} are up")

    def test_every_metric_of_the_guide_is_there_and_moves_and_no_other_is(
        self, fleet: RunningFleet, prometheus: str
    ) -> None:
        # Calls to a service that is without its database are repeated, and background work fails.
        fleet.wait_back("postgresql", fleet.kill("postgresql"), within_seconds=60)
        kinds = listed()
        samples = {name: f"{name}_count" if kind == "histogram" else name for name, kind in kinds.items()}
        moving = " or ".join(
            f'label_replace(sum({samples[name]}) > 0, "is", "{name}", "", "")'
            for name, kind in kinds.items()
            if kind != "gauge" and name not in AT_REST
        )

        def look() -> bool | None:
            told = watcher.get("/api/v1/label/__name__/values").json()["data"]
            names = {name for text in told if not text.endswith("_created") for name in names_in(text)}
            ours = {name for name in names if name.startswith("banyan_")}
            missed.clear()
            missed.update(kinds.keys() - names, ours - kinds.keys())
            moved = {sample["metric"]["is"] for sample in ask(prometheus, moving) or ()}
            missed.update(
                name for name, kind in kinds.items() if kind != "gauge" and name not in AT_REST | moved
            )
            return not missed or None

        missed: set[str] = set()
        try:
            with client_of(prometheus) as watcher:
                soon_seen(look, "all are there")
        except AssertionError as error:
            raise AssertionError(f"missing, not in the guide, or still zero: {sorted(missed)}") from error

    def test_several_workers_count_together_what_each_has_done(
        self, workers: RunningServer, prometheus: str
    ) -> None:
        both = 'count(banyan_worker_up{instance="workers"} == 1) == 2'
        soon_seen(lambda: ask(prometheus, both), "both are up")
        asked = 40
        with client_of(workers.url) as client:
            for _ in range(asked):
                # A connection each: the kernel gives them to the workers.
                answer = client.get("/users/nobody", headers={"connection": "close"})
                assert answer.status_code == 401
        mine = '{instance="workers",route="/users/{user_id}"}'
        total = f"sum(banyan_http_requests_total{mine})"

        def look() -> bool | None:
            found = ask(prometheus, total)
            return (found is not None and float(found[0]["value"][1]) == asked) or None

        soon_seen(look, f"{asked} requests are counted, each once")
        each = ask(prometheus, f"sum by (worker) (banyan_http_requests_total{mine}) > 0") or []
        assert {sample["metric"]["worker"] for sample in each} == {"1", "2"}
        # What each of them is: two processes, of one version.
        for name in ("process_resident_memory_bytes", "banyan_build_info", "banyan_worker_up"):
            of_each = ask(prometheus, f'{name}{{instance="workers"}}') or []
            assert sorted(sample["metric"]["worker"] for sample in of_each) == ["1", "2"]

    def test_every_query_of_the_dashboards_is_answered_with_data(self, prometheus: str) -> None:
        for query in queries():
            # Not a number is no data either: a share of nothing, a quantile of no requests.
            soon_seen(lambda query=query: ask(prometheus, query), query)

    def test_prometheus_shows_the_pages_that_alerts_link_to(self, prometheus: str) -> None:
        with client_of(prometheus) as client:
            groups = client.get("/api/v1/rules").json()["data"]["groups"]
            found = {rule["name"]: rule for group in groups for rule in group["rules"]}
            for alert in alerts():
                # As Prometheus itself has read it; it puts its own address there when the alert fires.
                link = found[alert["alert"]]["annotations"]["runbook_url"]
                page = client.get(link.replace("{{ $externalURL }}", prometheus))
                assert page.text.startswith(f"# {alert['alert']}\n"), link


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
