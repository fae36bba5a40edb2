"""The mesh lets through who really calls whom, and retries nothing that somebody else retries."""

import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import CHART, DEPLOY, Manifest, manifests_in, of_kind, render, target_of, values_of
from tests.support.chart_drift import HEALTH, Rule, misrouted
from tests.support.custom_resources import misshapen

from banyan.gateway.clusters import CONNECT_TIMEOUT, IDLE_CONNECTION, cluster
from banyan.gateway.plan import Address
from banyan.gateway.virtual_hosts import NOT_SENT, REQUEST_TIMEOUT
from banyan.targets import MODULES

ISTIO = DEPLOY / "istio"
FACTS: dict[str, Any] = yaml.safe_load((CHART / "files" / "targets.yaml").read_text("utf-8"))
MESH = manifests_in(ISTIO)
CHART_IN_MESH = render(values_of("istio"))
SERVICES = {service["metadata"]["name"]: service for service in of_kind(CHART_IN_MESH, "Service")}
ACCOUNT = "cluster.local/ns/banyan/sa/"
GATEWAY = "cluster.local/ns/istio-ingress/sa/istio-ingress"


def test_every_object_has_its_structure() -> None:
    assert [text for manifest in MESH for text in misshapen(manifest)] == []
    assert {manifest["metadata"]["namespace"] for manifest in MESH} == {"banyan"}


def test_only_mutual_tls_is_spoken() -> None:
    (peers,) = of_kind(MESH, "PeerAuthentication")
    assert peers["spec"] == {"mtls": {"mode": "STRICT"}}


def allowed(policies: list[Manifest], service: str, caller: str, method: str, path: str) -> bool:
    """Whether a caller (an account, or a namespace) may do that: no policy, no way. As Istio's reference says."""
    for policy in policies:
        if (
            policy["spec"].get("selector", {}).get("matchLabels", {}).get("app.kubernetes.io/component")
            != service
        ):
            continue
        for rule in policy["spec"]["rules"]:
            sources = [one["source"] for one in rule["from"]]
            known = any(caller in [*s.get("principals", []), *s.get("namespaces", [])] for s in sources)
            if known and any(_fits(one["operation"], method, path) for one in rule["to"]):
                return True
    return False


def _fits(operation: Manifest, method: str, path: str) -> bool:
    return (
        method in operation.get("methods", [method])
        and any(fnmatch.fnmatchcase(path, one) for one in operation.get("paths", [path]))
        and not any(fnmatch.fnmatchcase(path, one) for one in operation.get("notPaths", []))
    )


def wrong_permissions(policies: list[Manifest]) -> list[str]:
    """Where the policies and the program's own calls differ."""
    found = []
    for service in FACTS.keys() - {"all"}:
        for caller in FACTS.keys() - {"all"}:
            for module in MODULES:
                wanted = module == service and service in FACTS[caller]["asks"]
                may = allowed(
                    policies, service, f"{ACCOUNT}banyan-{caller}", "POST", f"/internal/{module}/find"
                )
                if may != wanted:
                    found.append(f"{caller} → {service} /internal/{module}: {may}")
            if allowed(policies, service, f"{ACCOUNT}banyan-{caller}", "GET", "/todos"):
                found.append(f"{caller} → {service} /todos")
        people = bool(FACTS[service]["prefixes"])
        if allowed(policies, service, GATEWAY, "GET", "/anything") != people:
            found.append(f"the gateway → {service}: {not people}")
        found += [
            f"the gateway → {service} {path}"
            for path in (*HEALTH, f"/internal/{service}/find", "/internal")
            if allowed(policies, service, GATEWAY, "POST", path)
        ]
        if not allowed(policies, service, "monitoring", "GET", "/metrics"):
            found.append(f"nobody sees the metrics of {service}")
    return found


def test_each_service_is_asked_by_those_that_ask_it_and_by_nobody_else() -> None:
    policies = of_kind(MESH, "AuthorizationPolicy")
    # An empty policy allows nothing, to nobody.
    assert [one["metadata"]["name"] for one in policies if one["spec"] == {}] == ["nothing-by-default"]
    assert wrong_permissions([one for one in policies if one["spec"]]) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sa/banyan-worker", "sa/banyan-workers"),
        ("sa/banyan-todos\n", "sa/banyan-relay\n"),
        ("/internal/todos/*", "/internal/*"),
        ("notPaths: [/internal, /internal/*, ", "notPaths: [/internal, "),
        ("methods: [POST], paths: [/internal/users/*]", "methods: [GET], paths: [/internal/users/*]"),
        ("component: relay", "component: relays"),
    ],
)
def test_a_permission_that_drifts_is_noticed(tmp_path: Path, old: str, new: str) -> None:
    text = (ISTIO / "authorization.yaml").read_text("utf-8")
    assert old in text
    (tmp_path / "authorization.yaml").write_text(text.replace(old, new), "utf-8")

    assert wrong_permissions([one for one in manifests_in(tmp_path) if one["spec"]]) != []


def test_policies_choose_pods_and_accounts_that_the_chart_makes() -> None:
    workloads = of_kind(CHART_IN_MESH, "Deployment")
    accounts = {one["metadata"]["name"] for one in of_kind(CHART_IN_MESH, "ServiceAccount")}
    chosen = set()
    for policy in of_kind(MESH, "AuthorizationPolicy"):
        for rule in policy["spec"].get("rules", []):
            for source in (one["source"] for one in rule["from"]):
                named = {one.removeprefix(ACCOUNT) for one in source.get("principals", []) if one != GATEWAY}
                assert named <= accounts
        labels = policy["spec"].get("selector", {}).get("matchLabels", {})
        if labels:
            (workload,) = [
                one
                for one in workloads
                if labels.items() <= one["spec"]["template"]["metadata"]["labels"].items()
            ]
            chosen.add(target_of(workload))
    assert chosen == {target_of(workload) for workload in workloads}


def http_routes() -> list[tuple[str, Manifest]]:
    return [
        (one["metadata"]["name"], route)
        for one in of_kind(MESH, "VirtualService")
        for route in one["spec"]["http"]
    ]


def test_the_way_in_leads_where_the_program_says() -> None:
    (outside,) = [one for one in of_kind(MESH, "VirtualService") if "mesh" not in one["spec"]["gateways"]]
    rules: list[Rule] = []
    for route in outside["spec"]["http"]:
        for match in route["match"]:
            # A prefix of Istio's is one of characters; with its slash it is one of segments.
            exact = "exact" in match["uri"]
            path = match["uri"]["exact"] if exact else match["uri"]["prefix"]
            assert exact or path.endswith("/")
            rules.append((exact, path, route["route"][0]["destination"]["host"]))
    assert misrouted(rules, {target_of(one) for one in of_kind(CHART_IN_MESH, "Deployment")}) == []


def test_nothing_is_sent_twice_that_somebody_may_have_seen() -> None:
    """Callers retry what their own budget lets them; a mesh that retried answers would multiply that."""
    for name, route in http_routes():
        # Left out it would not be none, but Istio's own: two, also after a 503.
        assert set(route["retries"]["retryOn"].split(",")) <= set(NOT_SENT.split(",")), name
        assert route["retries"]["attempts"] <= 2
        assert "perTryTimeout" not in route["retries"]
        assert route["timeout"] == ("0s" if route["name"] == "streams" else REQUEST_TIMEOUT)


def test_each_destination_is_a_service_with_the_gateways_rules() -> None:
    rules = {one["spec"]["host"]: one["spec"]["trafficPolicy"] for one in of_kind(MESH, "DestinationRule")}
    own = cluster("users", [Address("127.0.0.1", 1)], {})
    outliers = own["outlier_detection"]
    for name, route in http_routes():
        assert sum(one.get("weight", 100) for one in route["route"]) == 100, name
        for one in route["route"]:
            host, port = one["destination"]["host"], one["destination"]["port"]["number"]
            assert port in {listed["port"] for listed in SERVICES[host]["spec"]["ports"]}
            assert host in rules
    for host, policy in rules.items():
        assert host in SERVICES
        assert policy["outlierDetection"] == {
            "consecutiveGatewayErrors": outliers["consecutive_gateway_failure"],
            "consecutive5xxErrors": 0,
            "interval": outliers["interval"],
            "baseEjectionTime": outliers["base_ejection_time"],
            "maxEjectionPercent": outliers["max_ejection_percent"],
        }
        assert policy["connectionPool"]["tcp"]["connectTimeout"] == CONNECT_TIMEOUT
        assert policy["connectionPool"]["http"]["idleTimeout"] == IDLE_CONNECTION
        assert policy["tls"]["mode"] == "ISTIO_MUTUAL"
