"""Envoy takes the configuration, all of it; only what has changed is written."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path as FilePath

import pytest
from tests.support.gateway import everything_at
from tests.support.programs import missing

from banyan.fleet.servers.envoy import find_program
from banyan.fleet.servers.server import MissingProgram
from banyan.gateway.check import refusal
from banyan.gateway.plan import Address, Certificate, Plan, Traces, parse_ports, parse_replicas
from banyan.gateway.render import render, write
from banyan.gateway.routes import Operation, Path, RouteTable, route_table
from banyan.infra.resilience.rate_limit import Rate
from banyan.settings import Settings


@pytest.fixture(scope="module")
def table() -> RouteTable:
    return route_table(Settings())  # pyright: ignore[reportCallIssue]


@pytest.fixture
def plan() -> Plan:
    return Plan.of(
        Settings(),  # pyright: ignore[reportCallIssue]
        replicas=everything_at(8001, 8002),
        internal_ports={"users": 9101, "todos": 9102},
        admin_port=9901,
        port=8000,
    )


@pytest.fixture(scope="module")
def envoy() -> str:
    try:
        return find_program()
    except MissingProgram as reason:
        missing(str(reason))


def test_envoy_runs_by_it(envoy: str, plan: Plan, table: RouteTable) -> None:
    assert refusal(envoy, plan, table) is None


def test_envoy_runs_by_it_with_everything_on(
    envoy: str, plan: Plan, table: RouteTable, certificate: Certificate
) -> None:
    names = {"users": (Address("users.banyan.svc", 8000),)}
    rich = replace(
        plan,
        traces=Traces("https://traces.example.org/otlp", 0.01, "production"),
        replicas={**plan.replicas, **names},
        certificate=certificate,
        allowed_origins=("https://app.example.org", "https://other.example.org"),
        trusted_hops=2,
        metrics=Address("0.0.0.0", 9902),
        public_url="https://todos.example.org",
        address_rate=Rate(7, timedelta(seconds=90), burst=3),
    )
    assert refusal(envoy, rich, table) is None


def test_a_long_path_is_no_trouble(envoy: str, plan: Plan, table: RouteTable) -> None:
    """Envoy takes regular expressions only up to a size, which is small unless it is told otherwise."""
    template = "/todos/{todo_id}" + "".join(f"/a-rather-long-name-of-part-{n}/{{part_{n}}}" for n in range(6))
    long = Path(template, "todos", (Operation("GET"), Operation("POST")))
    assert refusal(envoy, plan, replace(table, paths=(*table.paths, long))) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"listen": Address("not an address", 8000)},
        {"max_body_bytes": "many"},
        {"certificate": Certificate(FilePath("/nowhere/chain.pem"), FilePath("/nowhere/key.pem"))},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_envoy_refuses_what_is_wrong_in_any_file(
    envoy: str, plan: Plan, table: RouteTable, wrong: dict[str, object]
) -> None:
    """The tests above can fail, wherever the fault lies."""
    broken = replace(plan, max_body_bytes=1) if "max_body_bytes" in wrong else replace(plan, **wrong)  # pyright: ignore[reportArgumentType]
    if "max_body_bytes" in wrong:
        paths = tuple(replace(path, service="nobody") for path in table.paths)
        table = replace(table, paths=paths)
    assert refusal(envoy, broken, table) is not None


def test_only_what_has_changed_is_written(tmp_path: FilePath, plan: Plan, table: RouteTable) -> None:
    assert set(write(plan, table, tmp_path)) == {path.name for path in tmp_path.iterdir()}
    assert write(plan, table, tmp_path) == []
    more = {**plan.replicas, "todos": (*plan.replicas["todos"], Address("127.0.0.1", 8003))}
    assert write(replace(plan, replicas=more), table, tmp_path) == ["endpoints-todos.yaml"]
    fewer = RouteTable(table.paths[1:], table.issuer)
    assert write(replace(plan, replicas=more), fewer, tmp_path) == ["routes-public.yaml"]


def test_files_name_the_folder_as_envoy_sees_it(plan: Plan, table: RouteTable) -> None:
    files = render(plan, table, FilePath("/etc/envoy"))
    assert "/etc/envoy/clusters.yaml" in files["envoy.yaml"]
    assert "/etc/envoy/routes-public.yaml" in files["listeners.yaml"]


def test_replicas_are_written_as_people_write_them() -> None:
    found = parse_replicas(["all=127.0.0.1:8001", "todos=[::1]:8002"])
    assert found["users"] == (Address("127.0.0.1", 8001),)
    assert found["todos"] == (Address("127.0.0.1", 8001), Address("::1", 8002))
    assert parse_ports(["users=9101"]) == {"users": 9101}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("users", "not SERVICE=HOST:PORT"),
        ("users=somewhere", "not SERVICE=HOST:PORT"),
        ("users=http://a:1", "not SERVICE=HOST:PORT"),
        ("payments=127.0.0.1:1", "there is no service 'payments'"),
    ],
)
def test_replicas_that_are_none_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_replicas([text])


def test_a_plan_needs_every_service_and_a_key_for_its_certificate() -> None:
    with pytest.raises(ValueError, match="no address of todos, notifications"):
        Plan.of(Settings(), replicas=parse_replicas(["users=127.0.0.1:1"]))  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match="belong together"):
        Plan.of(Settings(gateway_certificate=FilePath("chain.pem")))  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match="all IP addresses or all names"):
        parse_replicas(["todos=127.0.0.1:1", "todos=todos.example:2"])
