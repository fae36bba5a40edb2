"""Rules, dashboards, runbooks and who is scraped: one with the other, and by Prometheus's own tools.

That a real Prometheus gets data for all of it from a fleet is seen in tests/fleet/test_whole_fleet.py.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import of_kind, render, values_of
from tests.support.prometheus import (
    DASHBOARDS,
    DEPLOY,
    PAGES,
    alerts,
    listed,
    names_in,
    program,
    queries,
    rules,
)

from banyan.fleet.folder import FleetFolder
from banyan.fleet.scraping import JOBS
from banyan.settings import Settings

COMPOSE = DEPLOY.parent / "compose"
PAGE = re.compile(r"\{\{ \$externalURL \}\}/user/(runbooks/(\w+)\.md)")


def jobs_in(path: Path) -> set[str]:
    jobs = {job["job_name"] for job in yaml.safe_load(path.read_text("utf-8"))["scrape_configs"]}
    return jobs - {"prometheus"}


def test_rules_and_dashboards_know_only_metrics_of_the_guide() -> None:
    used = names_in("\n".join([*queries(), *(rule["expr"] for rule in rules())]))
    assert used <= listed().keys()
    assert len(used) > 30


def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    recorded = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries())]
    assert len(recorded) > 40
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))
    done = subprocess.run(
        [program("promtool"), "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_two_dashboards_are_one_to_grafana() -> None:
    dashboards = [json.loads(path.read_text("utf-8")) for path in DASHBOARDS]
    assert len({dashboard["uid"] for dashboard in dashboards}) == len(dashboards)
    for dashboard in dashboards:
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
        assert len(places) == len(panels), dashboard["title"]


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_each_alert_links_to_a_page_that_says_what_to_do(rule: dict[str, Any]) -> None:
    link = PAGE.fullmatch(rule["annotations"]["runbook_url"])
    assert link is not None
    assert (PAGES / link[1]).read_text("utf-8").startswith(f"# {rule['alert']}\n")


def test_compose_shows_the_pages_where_alerts_link_to() -> None:
    service = yaml.safe_load((COMPOSE / "compose.yaml").read_text("utf-8"))["services"]["prometheus"]
    told = dict(option.removeprefix("--").split("=", 1) for option in service["command"])
    mounted = {}
    for volume in service["volumes"]:
        source, place, *_ = volume.split(":")
        mounted[place] = (COMPOSE / source).resolve()
    assert mounted[told["web.user-assets"] + "/runbooks"] == PAGES / "runbooks"
    # What is published to the machine, where the one sits who follows a link.
    assert told["web.external-url"].removeprefix("http://localhost:") in service["ports"][0]


def test_the_chart_links_to_where_the_pages_are_said_to_be() -> None:
    for values, base in (
        ("default", "https://banyan.example.org/runbooks"),
        ("everything-on", "https://docs.example.org/runbooks"),
    ):
        chosen = values_of(values)
        chosen["prometheusRule"] = {**chosen.get("prometheusRule", {}), "enabled": True}
        found = [
            rule["annotations"]["runbook_url"]
            for manifest in of_kind(render(chosen), "PrometheusRule")
            for group in manifest["spec"]["groups"]
            for rule in group["rules"]
            if "alert" in rule
        ]
        assert sorted(found) == sorted(f"{base}/{rule['alert']}.md" for rule in alerts())


def test_jobs_have_one_name_everywhere() -> None:
    """Rules and dashboards go by them."""
    gateway = "banyan-gateway"
    assert set(JOBS.values()) == {"banyan", gateway}
    assert jobs_in(DEPLOY / "prometheus.yaml") == {"banyan"}
    assert jobs_in(COMPOSE / "prometheus.yml") == {"banyan", gateway}
    chart = render(values_of("everything-on"))
    (services,) = of_kind(chart, "ServiceMonitor")
    (endpoint,) = services["spec"]["endpoints"]
    assert endpoint["relabelings"] == [
        {"sourceLabels": ["job"], "targetLabel": "job", "replacement": "banyan-$1"}
    ]
    (proxies,) = of_kind(chart, "PodMonitor")
    (endpoint,) = proxies["spec"]["podMetricsEndpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": gateway}]
    selectors = re.findall(r'job(=~?)"([^"]*)"', "\n".join([*queries(), *(rule["expr"] for rule in rules())]))
    assert set(selectors) == {("=~", "banyan.*"), ("=", gateway)}


def test_the_fleets_configuration_reads_the_list_that_the_fleet_keeps() -> None:
    (job,) = yaml.safe_load((DEPLOY / "fleet.yaml").read_text("utf-8"))["scrape_configs"]
    ((file,),) = [source["files"] for source in job["file_sd_configs"]]
    root = DEPLOY.parents[1]
    usual = Settings.model_fields["data_dir"].default
    assert (DEPLOY / file).resolve() == FleetFolder(root / usual).scrape_targets


def test_compose_scrapes_the_gateway_where_it_is_told_to_tell() -> None:
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text("utf-8"))["services"]
    port = services["gateway-files"]["environment"]["BANYAN_GATEWAY_METRICS"].rpartition(":")[2]
    jobs = yaml.safe_load((COMPOSE / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    (targets,) = [job["static_configs"][0]["targets"] for job in jobs if job["job_name"] == "banyan-gateway"]
    assert targets == [f"gateway:{port}"]
    assert not any(published.endswith(f":{port}") for published in services["gateway"]["ports"])


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
    assert tested == {rule["alert"] for rule in alerts()}
