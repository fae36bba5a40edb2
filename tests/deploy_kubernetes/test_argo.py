"""Rollouts and the Application: what they name is there, and what they measure is what the program says."""

import asyncio
import re
import time

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.support.chart import (
    CHART,
    DEPLOY,
    RELEASE,
    manifests_in,
    named,
    of_kind,
    render,
    target_of,
    values_of,
)
from tests.support.custom_resources import misshapen

from banyan.gateway.routes import STREAMS
from banyan.infra.telemetry.metrics import Metrics

ARGO = manifests_in(DEPLOY / "argo")
MESH = manifests_in(DEPLOY / "istio")
CHART_IN_MESH = render(values_of("istio"))
# What Prometheus itself adds when it scrapes by a ServiceMonitor.
SCRAPED = {"job", "pod"}
SELECTOR = re.compile(r"(\w+)\{([^}]*)\}")
LABEL = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


def samples() -> dict[str, list[dict[str, str]]]:
    """Metric → the labels of each of its samples, of a process that has answered a request."""
    metrics = Metrics()
    metrics.http.observe("GET", "/todos", 200, time.perf_counter())
    page = asyncio.run(metrics.page()).decode()
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def unknown_measures(query: str) -> list[str]:
    """What a query asks for and no process has: a metric, a label of it, a bucket."""
    known = samples()
    found = []
    # The arguments of a template are put in before Prometheus sees it.
    for metric, selector in SELECTOR.findall(re.sub(r"\{\{[^}]*\}\}", "x", query)):
        labels = known.get(metric, [])
        if not labels:
            found.append(metric)
        for label, _, value in LABEL.findall(selector):
            if label not in SCRAPED and not any(label in one for one in labels):
                found.append(f"{metric}{{{label}}}")
            if label == "le" and not any(one.get("le") == value for one in labels):
                found.append(f"{metric}{{le={value}}}")
            if label == "route" and set(value.split("|")) != STREAMS:
                found.append(f"{metric}{{route={value}}}")
    return found


def queries() -> list[str]:
    return [
        metric["provider"]["prometheus"]["query"]
        for template in of_kind(ARGO, "AnalysisTemplate")
        for metric in template["spec"]["metrics"]
    ]


def test_every_object_has_its_structure() -> None:
    assert [text for manifest in ARGO for text in misshapen(manifest)] == []


def test_the_analysis_measures_what_there_is() -> None:
    assert len(queries()) == 2
    for query in queries():
        assert len(SELECTOR.findall(re.sub(r"\{\{[^}]*\}\}", "x", query))) == 2
        assert unknown_measures(query) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("banyan_http_requests_total", "banyan_requests_total"),
        ("status!~", "code!~"),
        ('le="0.25"', 'le="0.3"'),
        ("/events|/ws", "/events|/socket"),
    ],
)
def test_a_measure_that_drifts_is_noticed(old: str, new: str) -> None:
    assert any(unknown_measures(query.replace(old, new)) for query in queries())


def test_each_rollout_runs_a_deployment_that_leaves_it_the_pods() -> None:
    rollouts = {one["spec"]["workloadRef"]["name"]: one for one in of_kind(ARGO, "Rollout")}
    without_pods = {
        one["metadata"]["name"]
        for one in of_kind(CHART_IN_MESH, "Deployment")
        if one["spec"].get("replicas") == 0
    }
    assert set(rollouts) == without_pods
    services = {one["metadata"]["name"] for one in of_kind(CHART_IN_MESH, "Service")}
    # As the chart's ServiceMonitor makes them.
    jobs = {f"banyan-{target_of(one)}" for one in of_kind(CHART_IN_MESH, "Deployment")}
    templates = {one["metadata"]["name"] for one in of_kind(ARGO, "AnalysisTemplate")}
    kinds = set()
    for name, rollout in rollouts.items():
        # The autoscaler finds it by the Deployment's name.
        assert rollout["metadata"]["name"] == name
        ((kind, strategy),) = rollout["spec"]["strategy"].items()
        kinds.add(kind)
        used = {value for key, value in strategy.items() if key.endswith("Service")}
        assert len(used) == 2
        assert used <= services
        analysis = strategy["analysis" if kind == "canary" else "postPromotionAnalysis"]
        assert {one["templateName"] for one in analysis["templates"]} <= templates
        arguments = {one["name"]: one for one in analysis["args"]}
        assert arguments["job"]["value"] in jobs
        assert named(ARGO, "AnalysisTemplate", "banyan-slo")["spec"]["args"][0]["name"] in arguments
    assert kinds == {"blueGreen", "canary"}


def test_the_canary_moves_weights_that_the_mesh_has() -> None:
    canary = named(ARGO, "Rollout", "banyan-todos")["spec"]["strategy"]["canary"]
    both = {canary["stableService"], canary["canaryService"]}
    for service in canary["trafficRouting"]["istio"]["virtualServices"]:
        routes = {one["name"]: one for one in named(MESH, "VirtualService", service["name"])["spec"]["http"]}
        for name in service["routes"]:
            split = {one["destination"]["host"]: one["weight"] for one in routes[name]["route"]}
            assert split == {canary["stableService"]: 100, canary["canaryService"]: 0}
            assert set(split) == both
    weights = [step["setWeight"] for step in canary["steps"] if "setWeight" in step]
    assert weights == sorted(weights)
    assert weights[-1] < 100


def test_the_application_names_files_that_are_there() -> None:
    (application,) = of_kind(ARGO, "Application")
    source = application["spec"]["source"]
    assert DEPLOY.parent / source["path"] == CHART
    assert source["helm"]["releaseName"] == RELEASE
    for file in source["helm"]["valueFiles"]:
        assert isinstance(yaml.safe_load((CHART / file).read_text("utf-8")), dict)
