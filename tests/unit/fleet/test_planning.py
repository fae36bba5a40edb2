"""What the fleet consists of, and with which settings: nothing is started here."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from banyan.fleet import planning
from banyan.fleet.folder import FleetFolder
from banyan.fleet.plan import Plan, Stage
from banyan.fleet.planning import MissingPrograms, UnknownService, make_plan
from banyan.fleet.servers import envoy, kafka, postgresql, rabbitmq, valkey
from banyan.fleet.servers.server import MissingProgram, Server
from banyan.settings import Settings

SERVERS = {"postgresql": postgresql, "valkey": valkey, "kafka": kafka, "rabbitmq": rabbitmq, "envoy": envoy}


@pytest.fixture(autouse=True)
def _described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that need nothing of this machine."""
    for name, module in SERVERS.items():

        def describe(folder: Path, *_: object, name: str = name, **_options: object) -> Server:
            return Server(name, ["true"], folder, is_ready=lambda: True)

        monkeypatch.setattr(module, "describe", describe)


def planned(tmp_path: Path, replicas: Mapping[str, int] | None = None, **settings: str) -> Plan:
    given = Settings(data_dir=tmp_path / "data", **settings)  # pyright: ignore[reportArgumentType] - texts
    return make_plan(given, FleetFolder(tmp_path / "data"), replicas or {})


def environment(plan: Plan, service: str) -> Mapping[str, str]:
    return plan.service(service, 1, 12345).server.environment


def test_the_whole_fleet(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert [server.name for server in plan.servers] == ["postgresql", "valkey", "kafka", "rabbitmq"]
    assert plan.replicas["todos"] == 2
    assert {plan.replicas[name] for name in plan.replicas if name != "todos"} == {1}
    assert plan.routed == {"users", "todos", "notifications"}
    assert plan.gateway.stage is Stage.GATEWAY


def test_no_two_processes_have_a_port_in_common(tmp_path: Path) -> None:
    plan = planned(tmp_path, port="0")  # type: ignore[arg-type]
    env = environment(plan, "users")
    internal = [env[f"BANYAN_{name}_URL"].rpartition(":")[2] for name in ("USERS", "TODOS", "NOTIFICATIONS")]
    ports = [*(server.port for server in plan.servers), plan.gateway.port, *map(int, internal)]
    assert len(set(ports)) == len(ports) == 8


def test_each_service_knows_its_own_database_and_the_relay_all(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    own = {
        name: environment(plan, name)["BANYAN_DATABASE_URL"] for name in ("users", "todos", "notifications")
    }
    assert {name: url.rpartition("/")[2] for name, url in own.items()} == {
        name: f"banyan_{name}" for name in own
    }
    for name in own:
        assert not any(
            key.endswith("_DATABASE_URL") and key != "BANYAN_DATABASE_URL" for key in environment(plan, name)
        )
    relay = environment(plan, "relay")
    assert {name: relay[f"BANYAN_{name.upper()}_DATABASE_URL"] for name in own} == own
    assert not any("DATABASE_URL" in key for key in environment(plan, "worker"))
    assert {name: plan.environment[f"BANYAN_{name.upper()}_DATABASE_URL"] for name in own} == own


def test_all_processes_share_a_secret_that_lies_in_the_data_folder(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    secrets = {environment(plan, name)["BANYAN_SECRET_KEY"] for name in plan.replicas}
    assert secrets == {(tmp_path / "data" / "secret.key").read_text().strip()}
    assert planned(tmp_path).environment["BANYAN_SECRET_KEY"] in secrets


def test_a_service_listens_on_the_loopback_address_and_trusts_the_gateway(tmp_path: Path) -> None:
    env = environment(planned(tmp_path, host="0.0.0.0"), "todos")
    assert (env["BANYAN_HOST"], env["BANYAN_PORT"]) == ("127.0.0.1", "12345")
    assert env["BANYAN_TRUSTED_PROXIES"] == "127.0.0.1"
    assert env["BANYAN_LOG_FORMAT"] == "json"
    assert Path(env["BANYAN_DATA_DIR"]) == tmp_path / "data" / "fleet" / "services" / "todos-1"


def test_the_operators_settings_reach_every_service_and_the_fleets_own_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SMTP_HOST": "mail.example.org", "PORT": "80", "DATA_DIR": "elsewhere"}.items():
        monkeypatch.setenv(f"BANYAN_{name}", value)
    env = environment(planned(tmp_path), "users")
    assert env["BANYAN_SMTP_HOST"] == "mail.example.org"
    assert env["BANYAN_PORT"] == "12345"
    assert env["BANYAN_DATA_DIR"] != "elsewhere"


def test_links_lead_to_the_gateway_unless_the_operator_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        environment(planned(tmp_path, port="8080"), "users")["BANYAN_PUBLIC_URL"] == "http://127.0.0.1:8080"
    )  # type: ignore[arg-type]
    monkeypatch.setenv("BANYAN_PUBLIC_URL", "https://todos.example.org")
    assert environment(planned(tmp_path), "users")["BANYAN_PUBLIC_URL"] == "https://todos.example.org"


def test_a_server_that_runs_elsewhere_is_used_and_not_started(tmp_path: Path) -> None:
    plan = planned(
        tmp_path,
        redis_url="redis://cache.example.org/0",
        kafka_servers="one:9092,two:9092",
        amqp_url="amqp://queue.example.org/",
        database_url="postgresql://db.example.org/banyan",
    )
    assert plan.servers == []
    env = environment(plan, "todos")
    assert env["BANYAN_REDIS_URL"] == "redis://cache.example.org/0"
    assert env["BANYAN_KAFKA_SERVERS"] == "one:9092,two:9092"
    assert env["BANYAN_AMQP_URL"] == "amqp://queue.example.org/"
    assert env["BANYAN_DATABASE_URL"] == "postgresql://db.example.org/banyan"


def test_all_that_is_missing_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        def describe(*_: object, **_options: object) -> Server:
            raise MissingProgram(f"{name} is not here.")

        return describe

    for name in ("valkey", "rabbitmq", "envoy"):
        monkeypatch.setattr(SERVERS[name], "describe", missing(name))
    with pytest.raises(MissingPrograms) as raised:
        planned(tmp_path)
    assert str(raised.value).splitlines() == [
        "valkey is not here.",
        "rabbitmq is not here.",
        "envoy is not here.",
    ]


def test_replicas_of_what_is_no_service_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownService, match="no service toods"):
        planned(tmp_path, {"toods": 3})
    assert planned(tmp_path, {"todos": 3}).replicas["todos"] == 3


def test_what_must_be_there_first_is_in_the_plan(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    known = {server.name for server in plan.servers} | {job.name for job in plan.jobs}
    everything = [
        plan.gateway,
        *plan.servers,
        *plan.jobs,
        *(plan.service(name, 1, 1) for name in plan.replicas),
    ]
    assert {name for each in everything for name in each.after} <= known


def test_services_keep_their_mails_where_the_command_looks(tmp_path: Path) -> None:
    folder = FleetFolder(tmp_path / "data")
    folder.make()
    server = planned(tmp_path).service("users", 1, 1).server
    server.prepare()
    server.prepare()
    assert (server.folder / "mail").resolve() == folder.mails.resolve()


def test_a_stop_waits_longer_than_a_service_needs(tmp_path: Path) -> None:
    assert planned(tmp_path, shutdown_timeout="20").service("todos", 1, 1).server.stop_seconds > 20  # type: ignore[arg-type]


def test_the_pools_of_all_processes_fit_into_postgresql(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    modules = len(plan.routed)
    pools = sum(count * (1 if name in plan.routed else modules) for name, count in plan.replicas.items())
    # Twice: while a service is restarted, and with replicas to come.
    assert 2 * pools * planning.POOL_SIZE < postgresql.MAX_CONNECTIONS
