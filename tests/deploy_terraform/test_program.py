"""What Terraform hands over is what Banyan, its chart and the gateway take: settings, secrets, ports, names."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import yaml
from kubernetes_validate import utils
from tests.support.chart import CHART, named, of_kind, render
from tests.support.custom_resources import misshapen
from tests.support.terraform import Files, literal, modules, planted, read_files, references, variables_of

from banyan.settings import Settings

FILES = read_files()
ROOT = modules(FILES)["."]
VALUES = "kubernetes/values.yaml.tftpl"
STORE = "kubernetes/secret-store.yaml.tftpl"
ENVIRONMENTS = sorted(path for path in FILES if path.endswith(".tfvars"))
CHART_VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
SERVICES = ("users", "todos", "notifications")


def number(text: object) -> int:
    assert isinstance(text, int)
    return text


def unknown_settings(files: Files) -> list[str]:
    known = {f"BANYAN_{name.upper()}" for name in Settings.model_fields}
    return sorted({name for text in files.values() for name in re.findall(r"BANYAN_[A-Z_]+", text)} - known)


def given_to(template: str) -> set[str]:
    """What `templatefile` puts into a template."""
    (call,) = [str(value) for value in ROOT.locals.values() if template in str(value)]
    return set(re.findall(r"(\w+) = ", call.partition(template)[2]))


def named_keys() -> dict[str, str]:
    """The `secrets` of the chart's values that settings.tf sets for itself → the key in the Kubernetes Secret."""
    text = str(ROOT.locals["secrets"])
    found = dict(re.findall(r'(\w+) = \{"?name"? = "banyan", "?key"? = "([\w-]+)"\}', text))
    assert set(found) == {"secretKey", "redis", "amqp"}, text
    return found


def put_in(path: str, what: dict[str, str]) -> dict[str, Any]:
    """A template as Terraform fills it."""
    assert given_to(path) == set(what)
    text = re.sub(r"\$\{(\w+)\}", lambda found: what[found[1]], FILES[path])
    assert "${" not in text
    return yaml.safe_load(text)


def values_of(databases: list[str], *, smtp: bool = True) -> dict[str, Any]:
    """The chart's values, with these databases."""
    secrets: dict[str, Any] = {name: {"name": "banyan", "key": key} for name, key in named_keys().items()}
    secrets |= dict.fromkeys(["database", *(f"{name}Database" for name in SERVICES)])
    for name in databases:
        secrets["database" if name == "all" else f"{name}Database"] = {
            "name": "banyan",
            "key": database_key(name),
        }
    secrets["smtpPassword"] = {"name": "banyan-smtp", "key": "password"} if smtp else None
    host = {
        "host": "smtp.example.org" if smtp else "",
        "port": 587,
        "user": "",
        "security": "starttls",
        "from": "a@b",
    }
    return put_in(
        VALUES,
        {
            "hostname": "todos.example.org",
            "secrets": json.dumps(secrets),
            "secrets_prefix": "banyan/production",
            "kafka_servers": json.dumps(["b-1.example.org:9094", "b-2.example.org:9094"]),
            "smtp": json.dumps(host),
            "gateway_networks": json.dumps(["10.40.0.0/19"]),
            "backend_peers": json.dumps([{"ipBlock": {"cidr": "10.40.100.0/24"}}]),
            "pool_size": "10",
        },
    )


def database_key(name: str) -> str:
    text = str(ROOT.locals["database_keys"])
    assert re.search(r'name == "all" \? "database-url" : "\$\{name\}-database-url"', text), text
    return "database-url" if name == "all" else f"{name}-database-url"


def written_keys(databases: list[str]) -> set[str]:
    """The properties of the secret that Terraform writes."""
    urls = set(re.findall(r'"([\w-]+)" = "', str(ROOT.locals["urls"])))
    body = (
        modules(FILES)["modules/secrets"].of_kind("resource")["aws_secretsmanager_secret_version.banyan"].body
    )
    also = re.findall(r'merge\(var\.urls, \{"([\w-]+)"', str(body["secret_string_wo"]))
    assert urls
    assert also
    return urls | set(also) | {database_key(name) for name in databases}


def test_every_setting_that_is_named_exists() -> None:
    assert unknown_settings(FILES) == []
    assert unknown_settings({"a": "BANYAN_KAFKA_TLS BANYAN_KAFKA_SSL"}) == ["BANYAN_KAFKA_SSL"]


def test_the_secrets_of_the_chart_are_all_told() -> None:
    assert set(values_of(["all"])["secrets"]) == set(CHART_VALUES["secrets"])
    text = str(ROOT.locals["secrets"])
    assert set(re.findall(r"(\w+) = (?:\{|null|var\.smtp)", text)) == set(CHART_VALUES["secrets"])
    # The one expression that is not read word for word here.
    assert 'name == "all" ? "database" : "${name}Database"' in text


@pytest.mark.parametrize("databases", [["all"], list(SERVICES)])
@pytest.mark.parametrize("smtp", [True, False])
def test_the_chart_takes_the_values_and_finds_its_secrets(databases: list[str], smtp: bool) -> None:
    manifests = render(values_of(databases, smtp=smtp))
    made = {
        "banyan/production/banyan": written_keys(databases),
        "banyan/production/banyan-smtp": {"password"},
    }
    asked = [
        (entry["remoteRef"]["key"], entry["remoteRef"]["property"])
        for external in of_kind(manifests, "ExternalSecret")
        for entry in external["spec"]["data"]
    ]
    assert asked
    assert [one for one in asked if one[1] not in made[one[0]]] == []
    assert ({name for name, _ in asked} == set(made)) == smtp
    # Nothing is made that nobody asks for.
    assert {key for name, key in asked if name.endswith("/banyan")} == written_keys(databases)


def test_the_names_of_the_secrets_are_those_of_the_chart() -> None:
    secrets = modules(FILES)["modules/secrets"].of_kind("resource")
    named = {
        literal_name(secrets[f"aws_secretsmanager_secret.{name}"].body["name"]) for name in ("banyan", "smtp")
    }
    assert named == {"${var.prefix}/banyan", "${var.prefix}/banyan-smtp"}


def literal_name(value: str) -> str:
    return value.strip('"')


def test_a_relay_speaks_tls_with_kafka_and_reaches_every_server() -> None:
    manifests = render(values_of(list(SERVICES)))
    relay = named(manifests, "Deployment", "banyan-relay")
    (container,) = relay["spec"]["template"]["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert environment["BANYAN_KAFKA_TLS"] == "true"
    assert environment["BANYAN_KAFKA_SERVERS"] == "b-1.example.org:9094,b-2.example.org:9094"
    policy = named(manifests, "NetworkPolicy", "banyan-relay")
    opened = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    assert {5432, 6379, 9094} <= opened


def test_ports_are_the_same_at_both_ends() -> None:
    known = modules(FILES)
    listens = {
        backend: known[f"modules/{module}"]
        .of_kind("resource")["aws_vpc_security_group_ingress_rule.nodes"]
        .body
        for backend, module in {
            "database": "database",
            "redis": "cache",
            "kafka": "kafka",
            "amqp": "rabbitmq",
        }.items()
    }
    policy = values_of(["all"])["networkPolicy"]["backends"]
    assert {backend: [body["from_port"]] for backend, body in listens.items()} == {
        backend: rule["ports"] for backend, rule in policy.items()
    }
    assert ":6379/0" in str(ROOT.locals["urls"])


def test_the_gateway_answers_where_the_load_balancer_asks() -> None:
    manifests = list(yaml.safe_load_all(FILES["kubernetes/gateway.yaml"]))
    (proxy,) = of_kind(manifests, "EnvoyProxy")
    (port,) = proxy["spec"]["provider"]["kubernetes"]["envoyService"]["patch"]["value"]["spec"]["ports"]
    assert port["nodePort"] == ROOT.locals["node_port"]
    (gateway,) = of_kind(manifests, "Gateway")
    assert port["port"] == gateway["spec"]["listeners"][0]["port"]
    values = values_of(["all"])
    (parent,) = values["httpRoute"]["parentRefs"]
    assert parent == {"name": gateway["metadata"]["name"], "namespace": gateway["metadata"]["namespace"]}
    (kind,) = of_kind(manifests, "GatewayClass")
    assert gateway["spec"]["gatewayClassName"] == kind["metadata"]["name"]
    assert kind["spec"]["parametersRef"]["name"] == proxy["metadata"]["name"]
    # The load balancer says who is asking, and the gateway listens to it.
    target = modules(FILES)["modules/load_balancer"].of_kind("resource")["aws_lb_target_group.gateway"].body
    (policy,) = of_kind(manifests, "ClientTrafficPolicy")
    assert target["proxy_protocol_v2"] is True is policy["spec"]["enableProxyProtocol"]
    assert policy["spec"]["targetRefs"][0]["name"] == gateway["metadata"]["name"]


def test_secrets_are_read_from_the_store_that_is_made() -> None:
    store = put_in(STORE, {"region": "eu-central-1"})
    asked = values_of(["all"])["externalSecrets"]["store"]
    assert asked == {"name": store["metadata"]["name"], "kind": store["kind"]}
    (external,) = of_kind(render(values_of(["all"], smtp=False)), "ExternalSecret")
    assert store["apiVersion"] == external["apiVersion"]
    assert misshapen(external) == []


def test_a_database_bears_all_processes_at_their_largest_number() -> None:
    most = CHART_VALUES["defaults"]["autoscaling"]["max"]
    relays = CHART_VALUES["targets"]["relay"]["replicas"]
    for path in ENVIRONMENTS:
        given = variables_of(FILES[path])
        pool = number(
            given.get("database_pool_size", ROOT.of_kind("variable")["database_pool_size"].body["default"])
        )
        for name, database in given["databases"].items():
            processes = (len(SERVICES) if name == "all" else 1) * most + relays
            assert processes * pool < database["max_connections"], f"{path}: {name}"


def test_kubernetes_is_one_that_the_chart_was_checked_with() -> None:
    checked = sorted({utils.major_minor(version) for version in utils.all_versions()}, key=utils.Version)[-3:]
    variable = ROOT.of_kind("variable")["kubernetes_version"].body
    assert re.findall(r'"([\d.]+)"', str(variable["validation"][0]["condition"])) == checked
    assert literal(variable["default"]) in checked


def test_environments_share_nothing() -> None:
    names = [path.removeprefix("environments/").removesuffix(".tfvars") for path in ENVIRONMENTS]
    assert names == ["production", "staging"]
    for facts in zip(*(facts_of(name) for name in names), strict=True):
        assert len(set(facts)) == len(facts), facts


def facts_of(name: str) -> Iterator[str | None]:
    given = variables_of(FILES[f"environments/{name}.tfvars"])
    assert literal(given["environment"]) == name
    yield literal(given["vpc_cidr"])
    yield literal(given["hostname"])
    yield literal(variables_of(FILES[f"backends/{name}.s3.tfbackend"])["key"])


def test_subnets_do_not_overlap() -> None:
    """Of a /16, in /24: private 3 × 32, public and databases 3 × 1 each."""
    local = modules(FILES)["modules/network"].locals
    parts: list[tuple[int, int]] = []
    for name in ("private", "public", "database"):
        found = re.search(r"cidrsubnet\(var\.cidr, (\d+), (?:(\d+) \+ )?index\)", str(local[name]))
        assert found is not None
        size = 2 ** (8 - int(found[1]))
        parts += [((int(found[2] or 0) + zone) * size, size) for zone in range(3)]
    for (start, size), (following, _) in pairwise(sorted(parts)):
        assert start + size <= following
    assert all(start + size <= 256 for start, size in parts)


def test_no_output_tells_a_secret() -> None:
    for output in ROOT.of_kind("output").values():
        told = {str(reference) for reference in references(output.body)}
        assert not {
            one
            for one in told
            if one.startswith(("module.secrets", "ephemeral", "local.urls", "local.database_urls"))
        }
    assert not {
        str(one)
        for one in references(ROOT.locals["helm_values"])
        if one.root == "module" and one.names[0] == "secrets"
    }


# File, what is there, what is put in its place, which of the above then fails.
PLANTED: list[tuple[str, str, str, Callable[[], None]]] = [
    (VALUES, "BANYAN_KAFKA_TLS", "BANYAN_KAFKA_SSL", test_every_setting_that_is_named_exists),
    (VALUES, '"true"', '"false"', test_a_relay_speaks_tls_with_kafka_and_reaches_every_server),
    (VALUES, "[9094]", "[9092]", test_ports_are_the_same_at_both_ends),
    (
        VALUES,
        "name: banyan, namespace: gateway",
        "name: banyan, namespace: default",
        test_the_gateway_answers_where_the_load_balancer_asks,
    ),
    (VALUES, "ClusterSecretStore", "SecretStore", test_secrets_are_read_from_the_store_that_is_made),
    ("settings.tf", '"redis-url" =', '"valkey-url" =', lambda: chart_with_mail(["all"])),
    ("settings.tf", 'key = "amqp-url"', 'key = "rabbitmq-url"', lambda: chart_with_mail(["all"])),
    ("settings.tf", "      usersDatabase         = null\n", "", test_the_secrets_of_the_chart_are_all_told),
    (
        "modules/secrets/main.tf",
        '"${var.prefix}/banyan-smtp"',
        '"${var.prefix}/smtp"',
        test_the_names_of_the_secrets_are_those_of_the_chart,
    ),
    (
        "modules/cache/main.tf",
        "from_port                    = 6379",
        "from_port = 6380",
        test_ports_are_the_same_at_both_ends,
    ),
    (
        "main.tf",
        "node_port = 30080",
        "node_port = 30081",
        test_the_gateway_answers_where_the_load_balancer_asks,
    ),
    (
        "modules/load_balancer/main.tf",
        "proxy_protocol_v2    = true",
        "proxy_protocol_v2 = false",
        test_the_gateway_answers_where_the_load_balancer_asks,
    ),
    (
        "environments/production.tfvars",
        "database_pool_size   = 10",
        "database_pool_size = 30",
        test_a_database_bears_all_processes_at_their_largest_number,
    ),
    (
        "variables.tf",
        'contains(["1.35", "1.36", "1.37"]',
        'contains(["1.30", "1.36", "1.37"]',
        test_kubernetes_is_one_that_the_chart_was_checked_with,
    ),
    ("environments/staging.tfvars", '"10.41.0.0/16"', '"10.40.0.0/16"', test_environments_share_nothing),
    ("modules/network/main.tf", "96 + index", "90 + index", test_subnets_do_not_overlap),
    ("outputs.tf", "value       = local.secret_store", "value = local.urls", test_no_output_tells_a_secret),
]


def chart_with_mail(databases: list[str]) -> None:
    test_the_chart_takes_the_values_and_finds_its_secrets(databases, smtp=True)


@pytest.mark.parametrize(("path", "there", "fault", "check"), PLANTED)
def test_a_planted_fault_is_found(
    path: str, there: str, fault: str, check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = planted(FILES, path, there, fault)
    monkeypatch.setitem(globals(), "FILES", files)
    monkeypatch.setitem(globals(), "ROOT", modules(files)["."])
    with pytest.raises(AssertionError):
        check()
