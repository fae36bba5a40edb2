"""The chart says what the program is: each command, setting, port, path and address in it is one that Banyan has."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import (
    CHART,
    DEPLOY,
    containers,
    named,
    of_kind,
    pods,
    render,
    rendered,
    target_of,
    values_of,
)
from tests.support.chart_drift import calls_of, drift, environment, settings_of
from tests.support.programs import missing

from banyan.fleet.planning import STOP_MARGIN_SECONDS
from banyan.gateway.virtual_hosts import REQUEST_TIMEOUT
from banyan.infra.http.health import CHECK_TIMEOUT_SECONDS
from banyan.infra.tasks.rabbitmq import RabbitTasks
from banyan.targets import MODULES, TARGETS

VALUES = ("default", "small", "sharded", "everything-on")
FACTS: dict[str, Any] = yaml.safe_load((CHART / "files" / "targets.yaml").read_text("utf-8"))


@pytest.mark.parametrize("values", [*VALUES, "istio"])
def test_nothing_has_drifted(values: str) -> None:
    assert drift(rendered(values)) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("templates/_helpers.tpl", "BANYAN_REDIS_URL", "BANYAN_REDIS_ADDRESS", "BANYAN_REDIS_ADDRESS is no setting"),
        ("templates/_helpers.tpl", '"8000"', '"8001"', "listens on 8001"),
        ("templates/_helpers.tpl", "}}:8000", "}}:8080", "where no Service is"),
        ("templates/_helpers.tpl", "value: production", "value: live", "env"),
        ("templates/deployment.yaml", "/readyz", "/ready", "asks for /ready"),
        ("templates/deployment.yaml", "containerPort: 8000", "containerPort: 80", "listens on 8000"),
        ("templates/deployment.yaml", "- name: banyan\n", "- name: banyan\n          command: [banian]\n", "has a command of its own"),
        ("templates/service.yaml", "targetPort: http", "targetPort: web", "sends to web"),
        ("templates/migrate.yaml", "args: [migrate]", "args: [upgrade]", "no command upgrade"),
        ("templates/monitoring.yaml", "path: /metrics", "path: /metric", "no /metric"),
        ("templates/httproute.yaml", "PathPrefix", "Exact", "goes to None"),
        ("files/targets.yaml", "[serve, todos]", "[serve, todo]", "no target todo"),
        ("files/targets.yaml", "asks: [users, todos]", "asks: [users]", "BANYAN_TODOS_URL is missing"),
        ("files/targets.yaml", "databases: [todos]\n  asks: [users]", "databases: [todos]\n  asks: [users, notifications]", "calls"),
        ("files/targets.yaml", "prefixes: [/lists, /todos]", "prefixes: [/todos]", "/lists goes to None"),
        ("files/targets.yaml", "prefixes: [/lists, /todos]", "prefixes: [/]", "/metrics is reached from outside"),
        ("values.yaml", "BANYAN_DATABASE_POOL_SIZE", "BANYAN_POOL_SIZE", "BANYAN_POOL_SIZE is no setting"),
    ],
)  # fmt: skip
def test_a_name_that_drifts_is_noticed(tmp_path: Path, file: str, old: str, new: str, complaint: str) -> None:
    chart = tmp_path / "banyan"
    shutil.copytree(CHART, chart)
    text = (chart / file).read_text("utf-8")
    assert old in text

    (chart / file).write_text(text.replace(old, new), "utf-8")

    assert complaint in "\n".join(drift(render(values_of("everything-on"), chart)))


def test_the_pods_run_as_the_image_is_made() -> None:
    path = DEPLOY / "docker" / "Dockerfile"
    if not path.exists():
        missing(f"{path} is not there")
    image = path.read_text("utf-8")
    user, group = re.findall(r"^USER (\d+):(\d+)$", image, re.MULTILINE)[-1]
    (folder,) = re.findall(r'^VOLUME \["(.*)"\]$', image, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \[.*"banyan"\]$', image, re.MULTILINE)
    for _, pod in pods(rendered("default")):
        security = pod["securityContext"]
        assert (security["runAsUser"], security["runAsGroup"]) == (int(user), int(group))
        for container in pod["containers"]:
            assert environment(container)["BANYAN_DATA_DIR"] == folder


def test_every_target_of_the_program_has_its_facts() -> None:
    assert set(FACTS) == {*TARGETS, "worker"}
    for name, target in TARGETS.items():
        assert FACTS[name]["databases"] == list(target.databases_of)


def test_a_target_asks_whom_the_program_asks() -> None:
    for workload, container in containers(of_kind(rendered("default"), "Deployment")):
        facts = FACTS[target_of(workload)]
        calls = calls_of(target_of(workload), settings_of(container))
        assert calls == set(facts["asks"]), target_of(workload)


def test_settings_of_the_chart_cannot_be_set_twice() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    own: set[str] = set()
    values = values_of("everything-on")
    values["secrets"]["database"] = {"name": "banyan", "key": "database-url"}
    for _, container in containers(render(values)):
        own |= environment(container).keys()
    chosen = {"BANYAN_DATABASE_POOL_SIZE", *values["settings"]}

    assert set(schema["$defs"]["settings"]["propertyNames"]["not"]["enum"]) == own - chosen


@pytest.mark.parametrize("values", VALUES)
def test_a_pod_gets_the_time_that_it_needs_to_stop(values: str) -> None:
    for workload, pod in pods(of_kind(rendered(values), "Deployment")):
        (container,) = pod["containers"]
        settings = settings_of(container)
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        needed = (
            sleep + settings.drain_seconds + settings.shutdown_timeout.total_seconds() + STOP_MARGIN_SECONDS
        )
        assert pod["terminationGracePeriodSeconds"] >= needed, workload["metadata"]["name"]
        # Two looks of the readiness probe, for whoever goes by it.
        assert sleep + settings.drain_seconds >= container["readinessProbe"]["periodSeconds"] * 2


def test_a_probe_waits_longer_than_the_check_that_it_starts() -> None:
    for _, container in containers(of_kind(rendered("default"), "Deployment")):
        assert container["readinessProbe"]["timeoutSeconds"] > CHECK_TIMEOUT_SECONDS


def test_kubernetes_adds_no_variables_of_its_own() -> None:
    """With service links, a Service called `banyan` would set BANYAN_PORT to tcp://…, and nothing would start."""
    for values in VALUES:
        for workload, pod in pods(rendered(values)):
            assert pod["enableServiceLinks"] is False, workload["metadata"]["name"]


def test_migrations_run_before_the_pods_and_on_every_database() -> None:
    for values in VALUES:
        job = named(rendered(values), "Job", "banyan-migrate")
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        # Nothing that the chart makes is there before the first installation.
        assert "serviceAccountName" not in job["spec"]["template"]["spec"]
        ((_, container),) = containers([job])
        migrated = set(settings_of(container).databases(MODULES))
        for _, serving in containers(of_kind(rendered(values), "Deployment")):
            settings = settings_of(serving)
            opened = {place for place in settings.databases(MODULES) if isinstance(place, str)}
            assert opened <= migrated


def test_the_worker_scales_by_the_queue_that_it_reads() -> None:
    scaled = of_kind(rendered("everything-on"), "ScaledObject")[0]
    trigger = next(one for one in scaled["spec"]["triggers"] if one["type"] == "rabbitmq")
    broker = RabbitTasks("amqp://user:password@localhost/", max_length=10)

    assert trigger["metadata"]["queueName"] == broker._topology.name
    assert not [
        one
        for one in of_kind(rendered("everything-on"), "HorizontalPodAutoscaler")
        if one["metadata"]["name"] == scaled["metadata"]["name"]
    ]


def test_requests_have_the_gateways_time_and_streams_have_no_end() -> None:
    for values in VALUES:
        route = of_kind(rendered(values), "HTTPRoute")[0]
        for rule in route["spec"]["rules"]:
            paths = {match["path"]["value"] for match in rule["matches"]}
            streams = paths <= {"/events", "/ws"}
            assert rule["timeouts"]["request"] == ("0s" if streams else REQUEST_TIMEOUT), paths
