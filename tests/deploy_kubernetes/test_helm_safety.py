"""What the chart promises to whoever runs it: little privilege, few ways, enough replicas."""

from typing import Any

import pytest
import yaml
from tests.support.chart import (
    CHART,
    containers,
    named,
    of_kind,
    pods,
    render,
    rendered,
    target_of,
    values_of,
)

VALUES = ("default", "small", "sharded", "everything-on")
FACTS: dict[str, Any] = yaml.safe_load((CHART / "files" / "targets.yaml").read_text("utf-8"))


@pytest.mark.parametrize("values", VALUES)
def test_pods_fit_the_standard_restricted(values: str) -> None:
    """Source: "Pod Security Standards", kubernetes.io; the root file system is ours besides."""
    for _, pod in pods(rendered(values)):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all(set(volume) == {"name", "emptyDir"} for volume in pod["volumes"])
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize("values", VALUES)
def test_what_may_be_written_to_is_mounted(values: str) -> None:
    for _, container in containers(rendered(values)):
        folders = {mount["mountPath"] for mount in container["volumeMounts"]}
        (data_dir,) = [one["value"] for one in container["env"] if one["name"] == "BANYAN_DATA_DIR"]
        assert folders == {data_dir, "/tmp"}


@pytest.mark.parametrize("values", VALUES)
def test_secrets_are_named_and_never_written_down(values: str) -> None:
    assert of_kind(rendered(values), "Secret") == []
    for _, container in containers(rendered(values)):
        for variable in container["env"]:
            secret = variable["name"].endswith(
                ("_SECRET_KEY", "_DATABASE_URL", "_REDIS_URL", "_AMQP_URL", "_PASSWORD")
            )
            assert secret == ("valueFrom" in variable), variable["name"]


def test_external_secrets_make_every_secret_that_is_named() -> None:
    manifests = rendered("everything-on")
    made = {
        (one["spec"]["target"]["name"], data["secretKey"])
        for one in of_kind(manifests, "ExternalSecret")
        for data in one["spec"]["data"]
    }
    wanted = {
        (variable["valueFrom"]["secretKeyRef"]["name"], variable["valueFrom"]["secretKeyRef"]["key"])
        for _, container in containers(manifests)
        for variable in container["env"]
        if "valueFrom" in variable
    }
    assert made == wanted
    for one in of_kind(manifests, "ExternalSecret"):
        # Before the migration; and an upgrade, which makes it anew, leaves the Secret where it is.
        assert int(one["metadata"]["annotations"]["helm.sh/hook-weight"]) < 0
        assert one["spec"]["target"] | {"name": ""} == {
            "name": "",
            "creationPolicy": "Orphan",
            "deletionPolicy": "Retain",
        }


def test_a_service_of_its_own_database_is_told_no_other() -> None:
    seen: dict[str, set[str]] = {}
    for workload, container in containers(of_kind(rendered("sharded"), "Deployment")):
        seen[target_of(workload)] = {
            variable["valueFrom"]["secretKeyRef"]["name"]
            for variable in container["env"]
            if variable["name"].endswith("_DATABASE_URL")
        }
    databases = {module: {f"banyan-{module}-database"} for module in ("users", "todos", "notifications")}
    assert seen == {**databases, "relay": set().union(*databases.values()), "worker": set()}


def test_three_to_ten_replicas_at_half_of_what_was_requested() -> None:
    manifests = rendered("default")
    for target in ("users", "todos", "notifications", "worker"):
        scaler = named(manifests, "HorizontalPodAutoscaler", f"banyan-{target}")["spec"]
        assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 10)
        (metric,) = scaler["metrics"]
        assert metric["resource"] == {
            "name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 50},
        }
        deployment = named(manifests, "Deployment", f"banyan-{target}")
        assert scaler["scaleTargetRef"] == {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": deployment["metadata"]["name"],
        }
        # The autoscaler owns the number: a Deployment that names one would undo it with each upgrade.
        assert "replicas" not in deployment["spec"]
        for _, container in containers([deployment]):
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()


def test_memory_is_a_measure_when_it_is_asked_for() -> None:
    scaler = named(rendered("everything-on"), "HorizontalPodAutoscaler", "banyan-notifications")["spec"]
    assert [metric["resource"]["name"] for metric in scaler["metrics"]] == ["cpu", "memory"]


def test_a_rollout_has_the_pods_and_is_what_scales() -> None:
    manifests = rendered("everything-on")
    for target, twin in (("users", "preview"), ("todos", "canary")):
        assert named(manifests, "Deployment", f"banyan-{target}")["spec"]["replicas"] == 0
        scaler = named(manifests, "HorizontalPodAutoscaler", f"banyan-{target}")["spec"]
        assert scaler["scaleTargetRef"]["kind"] == "Rollout"
        second = named(manifests, "Service", f"banyan-{target}-{twin}")
        assert second["spec"] == named(manifests, "Service", f"banyan-{target}")["spec"]
        assert second["metadata"]["labels"]["banyan.example.org/twin"] == "true"


@pytest.mark.parametrize("values", VALUES)
def test_pods_are_spread_and_not_evicted_all_at_once(values: str) -> None:
    manifests = rendered(values)
    for workload, pod in pods(of_kind(manifests, "Deployment")):
        budget = named(manifests, "PodDisruptionBudget", workload["metadata"]["name"])
        assert budget["spec"]["selector"] == workload["spec"]["selector"]
        assert budget["spec"]["maxUnavailable"] == 1
        spread = {one["topologyKey"]: one for one in pod["topologySpreadConstraints"]}
        assert set(spread) == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        assert all(one["labelSelector"] == workload["spec"]["selector"] for one in spread.values())


def test_a_single_replica_does_not_keep_a_node_from_being_emptied() -> None:
    values = values_of("small") | {
        "targets": values_of("small")["targets"]
        | {"all": {"enabled": True, "replicas": 1, "autoscaling": {"enabled": False}}}
    }
    assert of_kind(render(values), "PodDisruptionBudget") == []


@pytest.mark.parametrize("values", ["default", "sharded", "everything-on"])
def test_the_network_lets_through_who_asks_and_nobody_else(values: str) -> None:
    manifests = rendered(values)
    targets = {target_of(one) for one in of_kind(manifests, "Deployment")}
    policies = {target_of(one): one["spec"] for one in of_kind(manifests, "NetworkPolicy")}
    assert set(policies) == targets | {"migrate"}

    for name in targets:
        policy = policies[name]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        (rule,) = policy["ingress"]
        callers = {
            peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
            for peer in rule["from"]
            if "podSelector" in peer
        }
        assert callers == {other for other in targets if name in FACTS[other]["asks"]}
        from_gateway = any(
            peer.get("namespaceSelector", {}).get("matchLabels") == {"kubernetes.io/metadata.name": "gateway"}
            for peer in rule["from"]
        )
        assert from_gateway == bool(FACTS[name]["prefixes"])
        asked = {
            peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
            for rule in policy["egress"]
            for peer in rule.get("to", [])
            if "podSelector" in peer
        }
        assert asked == set(FACTS[name]["asks"])
        ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
        assert (5432 in ports) == bool(FACTS[name]["databases"])
        # With RabbitMQ only a worker sends webhooks.
        assert (443 in ports) == (name == "worker")
    assert policies["migrate"]["ingress"] == []


def test_without_a_worker_the_server_sends_webhooks() -> None:
    policy = named(rendered("small"), "NetworkPolicy", "banyan-all")["spec"]
    (outside,) = [rule for rule in policy["egress"] if {"port": 443, "protocol": "TCP"} in rule["ports"]]
    assert "10.0.0.0/8" in outside["to"][0]["ipBlock"]["except"]
