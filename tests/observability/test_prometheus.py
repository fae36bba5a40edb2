"""A real Prometheus scrapes a real server: every metric is in the guide, every query of ours is answered."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.support.accounts import Account, register
from tests.support.eventually import eventually
from tests.support.ports import free_ports
from tests.support.programs import missing
from tests.support.server import RunningServer

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy" / "prometheus"
RULES = sorted((DEPLOY / "rules").glob("*.yaml"))
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
GUIDE = ROOT / "docs" / "guide" / "metrics.md"
NAME = re.compile(r"\bbanyan_[a-z_]+")
SUFFIX = re.compile(r"_(bucket|sum|count|created)$")
# What a server alone on SQLite does not tell: several workers, Kafka, other services, RabbitMQ and its workers.
NEEDS_OTHERS = {
    "banyan_worker_up",
    "banyan_consumer_lag_events",
    "banyan_retries_total",
    "banyan_retries_refused_total",
    "banyan_task_queue_messages",
    "banyan_task_queue_consumers",
    "banyan_tasks_total",
    "banyan_task_duration_seconds",
    "banyan_tasks_running",
    "banyan_task_concurrency",
}


def queries() -> list[str]:
    return [
        target["expr"]
        for path in DASHBOARDS
        for panel in json.loads(path.read_text("utf-8"))["panels"]
        for target in panel["targets"]
    ]


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
        for rule in group["rules"]
    ]


def names_in(text: str) -> set[str]:
    return {SUFFIX.sub("", name) for name in NAME.findall(text)}


def program(name: str) -> str:
    return shutil.which(name) or missing(f"{name} is not installed (Debian: prometheus)")


@pytest.fixture(scope="module")
def account(busy: RunningServer) -> Account:
    return register(busy.url)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    # Nobody answers there: its breaker is shown all the same, and the server does without.
    settings = {
        "BANYAN_REDIS_URL": f"redis://127.0.0.1:{free_ports(1)[0]}",
        "BANYAN_RATE_LIMIT_USER": "60/minute burst 15",
    }
    with RunningServer(tmp_path_factory.mktemp("busy") / "data", settings) as server:
        yield server


@pytest.fixture(scope="module")
def prometheus(busy: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    config["rule_files"] = [str(path) for path in RULES]
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [busy.url.removeprefix("http://")]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={folder}/prometheus.yaml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(10)


def ask(url: str, query: str) -> list[Any] | None:
    """What it answers; None while it does not answer, or knows of nothing. Raises AssertionError for what is no query."""
    try:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": query}, trust_env=False)
    except httpx.TransportError:
        return None
    if answer.status_code == 503:
        return None
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["result"] or None


def test_the_guide_lists_exactly_the_metrics_that_are_there(busy: RunningServer) -> None:
    page = httpx.get(busy.url + "/metrics", trust_env=False).text
    families = {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE banyan_")}
    told = {name for name in families if not name.endswith("_created")}
    listed = {
        line.split("`")[1].partition("{")[0]
        for line in GUIDE.read_text("utf-8").splitlines()
        if line.startswith("| `banyan_")
    }
    assert told | NEEDS_OTHERS == listed


def test_rules_and_dashboards_know_only_metrics_of_the_guide() -> None:
    listed = names_in(GUIDE.read_text("utf-8"))
    used = names_in("\n".join([*queries(), *(rule["expr"] for rule in rules())]))
    assert used <= listed
    assert len(used) > 20


def test_every_query_of_the_dashboards_is_answered_with_data(prometheus: str, account: Account) -> None:
    def look(query: str) -> list[Any] | None:
        # A rate is seen between two scrapes: the traffic goes on. Some of it is over the limit, which is shown too.
        account.client.post("/todos", json={"title": "Be counted"})
        account.client.get("/todos")
        account.client.get("/todos")
        return ask(prometheus, query)

    for query in queries():
        if not names_in(query) & NEEDS_OTHERS:
            eventually(lambda query=query: look(query), query, within_seconds=20)


def test_prometheus_understands_every_query_and_rule(prometheus: str) -> None:
    eventually(lambda: ask(prometheus, "vector(1)"), "it is ready", within_seconds=20)
    for query in [*queries(), *(rule["expr"] for rule in rules())]:
        ask(prometheus, query)


@pytest.mark.parametrize(
    "rule", [rule for rule in rules() if "alert" in rule], ids=lambda rule: rule["alert"]
)
def test_each_alert_has_a_page_that_says_what_to_do(rule: dict[str, Any]) -> None:
    page = ROOT / rule["annotations"]["runbook_url"]
    assert page.read_text("utf-8").startswith(f"# {rule['alert']}\n")


def test_the_rules_fire_when_they_should_and_only_then() -> None:
    promtool = program("promtool")
    files = sorted((DEPLOY / "tests").glob("*.yaml"))
    done = subprocess.run(
        [promtool, "test", "rules", *map(str, files)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tested = {
        case["alertname"]
        for path in files
        for test in yaml.safe_load(path.read_text("utf-8"))["tests"]
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }
    assert tested == {rule["alert"] for rule in rules() if "alert" in rule}
