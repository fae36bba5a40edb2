"""The Compose file: of the specification's form, and true of the program."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.support.deployment import DEPLOY, SETTINGS, refusal
from tests.support.dockerfile import read_image
from tests.support.programs import missing
from tests.support.server import RunningServer, settings_of

from banyan.fleet import planning
from banyan.fleet.servers import envoy
from banyan.gateway.plan import Plan, parse_replicas
from banyan.targets import MODULES, TARGETS

FOLDER = DEPLOY / "compose"
SCHEMA = Path(__file__).with_name("compose_specification") / "compose-spec.json"
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::?[-?+]([^}]*))?\}")
TARGETS_HERE = {*TARGETS} - {"all"} | {"worker"}
JOBS = {"migrate", "gateway-files"}
GIVEN = {
    "BANYAN_SECRET_KEY": "x1" * 24,
    "BANYAN_PUBLIC_URL": "http://localhost:8000",
    "POSTGRES_PASSWORD": "one",
    "RABBITMQ_PASSWORD": "two",
    "GRAFANA_PASSWORD": "three",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """As Compose sees it, when `.env` sets the secrets alone."""

    def filled(match: re.Match[str]) -> str:
        return GIVEN.get(match[1]) or match[2] or ""

    return yaml.safe_load(VARIABLE.sub(filled, (FOLDER / "compose.yaml").read_text("utf-8")))


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]


def told_to(service: dict[str, Any]) -> dict[str, str]:
    """Those that it is given when `.env` sets the secrets alone."""
    environment = service.get("environment", {})
    return {name: value for name, value in environment.items() if value is not None}


def test_it_has_the_form_of_the_specification(compose: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    raw = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
    for document in (raw, compose):
        jsonschema.Draft202012Validator(schema).validate(document)


def test_every_part_runs_and_every_target_is_there(services: dict[str, Any]) -> None:
    servers = {"postgresql", "valkey", "kafka", "rabbitmq", "prometheus", "grafana", "jaeger"}
    assert set(services) == TARGETS_HERE | JOBS | servers | {"gateway"}
    assert set(planning.REPLICAS) == TARGETS_HERE
    for name in TARGETS_HERE | JOBS:
        assert refusal(services[name]["command"]) is None, name
    for name in TARGETS:
        if name != "all":
            assert services[name]["command"] == ["serve", name]


def test_every_setting_exists_and_production_takes_them(services: dict[str, Any]) -> None:
    image = read_image().environment
    for name in TARGETS_HERE | JOBS:
        told = services[name]["environment"]
        assert {key for key in told if key.startswith("BANYAN_")} == set(told)
        assert set(told) <= SETTINGS, name
        settings_of({**image, **told_to(services[name])})


def test_each_process_is_told_what_the_fleet_tells_it(services: dict[str, Any]) -> None:
    """`banyan fleet up` is what is known to work, so the same variables are set here."""
    everybody = {
        "BANYAN_PUBLIC_URL",
        "BANYAN_SECRET_KEY",
        "BANYAN_REDIS_URL",
        "BANYAN_KAFKA_SERVERS",
        "BANYAN_AMQP_URL",
        "BANYAN_TRUSTED_PROXIES",
        "BANYAN_OTLP_ENDPOINT",
        *(f"BANYAN_{module.upper()}_URL" for module in MODULES),
    }
    all_databases = {f"BANYAN_{module.upper()}_DATABASE_URL" for module in MODULES}
    databases = {
        "relay": all_databases,
        "migrate": all_databases,
        "worker": set(),
        **{module: {"BANYAN_DATABASE_URL"} for module in MODULES},
    }
    for name, wanted in databases.items():
        assert set(told_to(services[name])) == everybody | wanted, name
    for module in MODULES:
        url = told_to(services[module])["BANYAN_DATABASE_URL"]
        assert url == told_to(services["migrate"])[f"BANYAN_{module.upper()}_DATABASE_URL"]


def test_every_database_is_made(services: dict[str, Any]) -> None:
    made = {services["postgresql"]["environment"]["POSTGRES_DB"]}
    script = (FOLDER / "postgresql" / "databases.sql").read_text("utf-8")
    made |= set(re.findall(r"^CREATE DATABASE (\w+);", script, re.MULTILINE))
    asked = told_to(services["migrate"])
    assert made == {url.rpartition("/")[2] for name, url in asked.items() if name.endswith("DATABASE_URL")}


def test_every_address_is_that_of_a_service(services: dict[str, Any]) -> None:
    port = read_image().ports[0]
    listens = dict.fromkeys(TARGETS_HERE, port)
    listens |= {"postgresql": 5432, "valkey": 6379, "kafka": 9092, "rabbitmq": 5672, "jaeger": 4318}
    for name in TARGETS_HERE | JOBS:
        for key, value in told_to(services[name]).items():
            if key in ("BANYAN_PUBLIC_URL", "BANYAN_SECRET_KEY"):
                continue
            for host, number in re.findall(r"(?:@|//|=|^|,)([a-z][a-z-]*):(\d+)", value):
                assert listens.get(host) == int(number), f"{name}: {key}={value}"
    assert (
        f"{services['kafka']['hostname']}:9092"
        in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    )


def test_any_service_can_have_replicas(services: dict[str, Any]) -> None:
    for name in TARGETS_HERE:
        service = services[name]
        shared = {"ports", "container_name", "hostname", "volumes", "networks"} & set(service)
        assert not shared, f"two replicas of {name} would share {shared}"
        assert any(folder.startswith("/data:") for folder in service["tmpfs"]), "each has a folder of its own"
    assert not any("container_name" in service for service in services.values())


def test_the_gateway_finds_replicas_by_name(services: dict[str, Any]) -> None:
    told = told_to(services["gateway-files"])
    replicas = parse_replicas(told["BANYAN_GATEWAY_REPLICAS"].split(","))
    assert set(replicas) == planning.ROUTED
    assert all(address.is_name for addresses in replicas.values() for address in addresses)
    plan = Plan.of(settings_of({**read_image().environment, **told}))
    published = services["gateway"]["ports"][0]
    assert published.rpartition(":")[2] == str(plan.listen.port)
    assert plan.listen.host == "0.0.0.0"


def test_the_gateway_reads_what_the_job_writes(services: dict[str, Any]) -> None:
    job, gateway = services["gateway-files"], services["gateway"]
    (written,), (read,) = job["volumes"], gateway["volumes"]
    volume, folder = written.split(":")
    command = job["command"]
    assert command[command.index("--out") + 1] == folder == read_image().environment["BANYAN_DATA_DIR"]
    assert read == f"{volume}:{command[command.index('--seen-as') + 1]}:ro"
    assert gateway["user"] == read_image().user, "nobody else may read them"
    seen = Path(read.split(":")[1]) / envoy.CONFIGURATION
    assert gateway["command"] == envoy.command("envoy", seen, threads=2)


def test_the_gateway_is_the_one_whom_services_believe(
    compose: dict[str, Any], services: dict[str, Any]
) -> None:
    address = services["gateway"]["networks"]["default"]["ipv4_address"]
    for name in TARGETS_HERE:
        assert told_to(services[name])["BANYAN_TRUSTED_PROXIES"] == address
    (network,) = compose["networks"]["default"]["ipam"]["config"]
    assert network["subnet"].rpartition(".")[0] == address.rpartition(".")[0]


def test_the_gateways_health_check_tells_whether_it_answers(services: dict[str, Any], tmp_path: Path) -> None:
    kind, program, *arguments = services["gateway"]["healthcheck"]["test"]
    assert kind == "CMD"
    with RunningServer(tmp_path / "data", {"BANYAN_PORT": "0"}) as server:
        told = [part.replace("$$", "$").replace("/8000", f"/{server.port}") for part in arguments]
        assert subprocess.run([program, *told], check=False).returncode == 0
        server.stop()
        assert subprocess.run([program, *told], check=False, capture_output=True).returncode != 0


def test_nobody_is_started_before_what_it_needs(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            ends = needed in JOBS
            assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy"), name
            # A program of ours has the image's health check.
            assert ends or "healthcheck" in services[needed] or needed in TARGETS_HERE, needed
    for name in TARGETS_HERE:
        assert "migrate" in services[name]["depends_on"]
    assert "postgresql" in services["migrate"]["depends_on"]


def test_containers_are_given_time_to_drain(services: dict[str, Any]) -> None:
    settings = settings_of({**read_image().environment, **GIVEN})
    drain = settings.drain_seconds + settings.shutdown_timeout.total_seconds()
    for name in TARGETS_HERE:
        assert float(services[name]["stop_grace_period"].removesuffix("s")) > drain, name


def test_programs_are_confined(services: dict[str, Any]) -> None:
    for name in TARGETS_HERE | JOBS | {"gateway"}:
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_a_secret_that_is_missing_stops_compose_with_a_sentence() -> None:
    text = (FOLDER / "compose.yaml").read_text("utf-8")
    asked = {match[1]: match[0] for match in VARIABLE.finditer(text) if ":?" in match[0]}
    assert set(asked) == set(GIVEN)
    example = dict(re.findall(r"^(\w+)=(.*)$", (FOLDER / ".env.example").read_text("utf-8"), re.MULTILINE))
    assert set(example) == set(GIVEN)
    assert not any(value for name, value in example.items() if name != "BANYAN_PUBLIC_URL"), (
        "no secret is ready-made"
    )


def test_every_variable_is_in_the_example_and_has_the_same_default() -> None:
    text = (FOLDER / "compose.yaml").read_text("utf-8")
    example = dict(re.findall(r"^#?(\w+)=(.*)$", (FOLDER / ".env.example").read_text("utf-8"), re.MULTILINE))
    handed_on = set(re.findall(r"^ +(BANYAN_\w+):$", text, re.MULTILINE))
    variables = {match[1] for match in VARIABLE.finditer(text)}
    assert variables | handed_on == set(example)
    for match in VARIABLE.finditer(text):
        if ":-" in match[0]:
            assert example[match[1]] == match[2], match[1]


def test_every_file_and_volume_that_is_mounted_exists(
    compose: dict[str, Any], services: dict[str, Any]
) -> None:
    used = set()
    for service in services.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (FOLDER / source).exists(), source
            else:
                used.add(source)
    assert used == set(compose["volumes"])


def test_the_gateway_is_the_envoy_that_tests_run(services: dict[str, Any]) -> None:
    version = services["gateway"]["image"].rpartition(":v")[2]
    try:
        program = envoy.find_program()
    except envoy.MissingProgram as error:
        missing(str(error))
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    assert f"/{version}/" in told


def test_prometheus_asks_every_process(services: dict[str, Any]) -> None:
    file = FOLDER / "prometheus.yml"
    (job,) = [
        job
        for job in yaml.safe_load(file.read_text("utf-8"))["scrape_configs"]
        if job["job_name"] == "banyan"
    ]
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) == TARGETS_HERE
    assert found["port"] == read_image().ports[0]
    assert job["metrics_path"] == "/metrics"
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool is not on this machine (Debian: apt-get install prometheus)")
    subprocess.run([promtool, "check", "config", file], check=True, capture_output=True)
    sources = yaml.safe_load((FOLDER / "grafana" / "datasources.yml").read_text("utf-8"))["datasources"]
    assert {re.split(r"[:/]+", source["url"])[1] for source in sources} <= set(services)
