"""Dashboards and rules in the chart: the same as those beside it, and handed on as they are."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from tests.support.chart import CHART, DEPLOY, named, of_kind, render, values_of
from tests.support.custom_resources import misshapen

DASHBOARD = {"title": "Overview", "panels": [{"title": "{{ route }}", "expr": 'sum by (route) (x{a="b"})'}]}
RULES: dict[str, Any] = {
    "groups": [
        {
            "name": "slo",
            "rules": [
                {
                    "alert": "ErrorBudgetBurns",
                    "expr": "x > 0.01",
                    "for": "2m",
                    "labels": {"severity": "page"},
                    "annotations": {
                        "summary": "{{ $labels.job }} burns {{ $value | humanizePercentage }}.",
                        "runbook_url": "{{ $externalURL }}/user/runbooks/ErrorBudgetBurns.md",
                    },
                }
            ],
        }
    ]
}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = DEPLOY.parent / "scripts" / "chart_files.py"
    spec = importlib.util.spec_from_file_location("chart_files", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    """A folder like deploy/, with one dashboard, one file of rules, and what is neither."""
    shutil.copytree(CHART, tmp_path / "helm" / "banyan", ignore=shutil.ignore_patterns("dashboards", "rules"))
    for path, content in {
        "grafana/dashboards/overview.json": json.dumps(DASHBOARD),
        "grafana/package.json": "{}",
        "prometheus/rules/slo.yml": yaml.safe_dump(RULES),
        "prometheus/rules/slo.test.yml": yaml.safe_dump({"rule_files": ["slo.yml"], "tests": []}),
        "prometheus/prometheus.yml": yaml.safe_dump({"scrape_configs": []}),
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content, "utf-8")
    return tmp_path


def test_the_chart_holds_the_same_files(script: ModuleType) -> None:
    assert script.differences(DEPLOY) == [], "run python scripts/chart_files.py"


def test_a_copy_that_differs_is_told_and_made_equal(script: ModuleType, deploy: Path) -> None:
    both = [Path("dashboards/overview.json"), Path("rules/slo.yaml")]
    assert script.differences(deploy) == both

    assert script.copy(deploy) == both

    assert script.differences(deploy) == []
    stray = deploy / "helm" / "banyan" / "files" / "rules" / "stray.yaml"
    stray.write_text("groups: []", "utf-8")
    assert script.copy(deploy) == [Path("rules/stray.yaml")]
    assert not stray.exists()


def test_dashboards_and_rules_reach_kubernetes_unchanged_but_for_where_runbooks_are(
    script: ModuleType, deploy: Path
) -> None:
    script.copy(deploy)

    manifests = render(values_of("everything-on"), deploy / "helm" / "banyan")

    dashboard = named(manifests, "ConfigMap", "banyan-dashboard-overview")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["overview.json"]) == DASHBOARD
    rules = named(manifests, "PrometheusRule", "banyan-slo")
    wanted = json.dumps(RULES).replace(
        "{{ $externalURL }}/user/runbooks", "https://docs.example.org/runbooks"
    )
    assert rules["spec"] == json.loads(wanted)
    assert misshapen(rules) == []
    without = render(values_of("default"), deploy / "helm" / "banyan")
    assert of_kind(without, "ConfigMap", "PrometheusRule") == []
