"""Where what the chart says and what the program is have drifted apart."""

from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import typer
from pydantic import ValidationError
from tests.support.chart import Manifest, containers, of_kind, target_of

from banyan.bootstrap import build, worker
from banyan.cli.app import app
from banyan.gateway.routes import INTERNAL, route_table
from banyan.gateway.routes import Path as RoutePath
from banyan.infra.http.health import Readiness, health_router
from banyan.infra.telemetry.metrics import Metrics
from banyan.settings import Settings, SettingsError
from banyan.targets import MODULES, TARGETS

HEALTH = frozenset(getattr(route, "path", "") for route in health_router(Readiness({}), Metrics()).routes)
# What stands for the values of Secrets: of a form that the settings take.
SECRETS = {
    "BANYAN_SECRET_KEY": "k" * 48,
    "BANYAN_REDIS_URL": "redis://redis:6379/0",
    "BANYAN_AMQP_URL": "amqp://user:password@rabbitmq:5672/",
    "BANYAN_SMTP_PASSWORD": "p" * 20,
}


def drift(manifests: list[Manifest]) -> list[str]:
    """A sentence for each name of the chart that the program does not have, or has otherwise."""
    return [
        f"{manifest['kind']} {manifest['metadata']['name']}: {complaint}"
        for manifest, complaint in (
            *_commands(manifests),
            *_settings(manifests),
            *_ports(manifests),
            *_paths(manifests),
            *_routes(manifests),
        )
    ]


def environment(container: Manifest) -> dict[str, str]:
    """The variables of Banyan, with something that fits in the place of each secret."""
    found = {}
    for variable in container["env"]:
        name = variable["name"]
        if name.startswith("BANYAN_"):
            found[name] = variable["value"] if "value" in variable else _stand_in(name)
    return found


def settings_of(container: Manifest) -> Settings:
    """Raises ValidationError, as the program would refuse to start."""
    fields = {name.removeprefix("BANYAN_").lower(): value for name, value in environment(container).items()}
    return Settings(**fields)  # pyright: ignore[reportArgumentType] - texts, as the environment has them


def calls_of(target: str, settings: Settings) -> frozenset[str]:
    """The services that a target calls. Raises SettingsError when it does not know where one is."""
    if (target, settings) not in _calls:
        _calls[target, settings] = _built_calls(target, settings)
    return _calls[target, settings]


# Building an application takes a tenth of a second, and the targets of most values are alike.
_calls: dict[Any, frozenset[str]] = {}


def _built_calls(target: str, settings: Settings) -> frozenset[str]:
    if target == "worker":
        return frozenset(worker(settings).services._clients)
    # The clients are not kept by name; the application's last act is to close them.
    owners: list[Any] = [getattr(close, "__self__", None) for close in build(settings, target).closing]
    return frozenset(name for owner in owners for name in getattr(owner, "_clients", ()))


def _stand_in(variable: str) -> str:
    if variable.endswith("DATABASE_URL"):
        return f"postgresql://user:password@{variable.lower().replace('_', '-')}:5432/banyan"
    return SECRETS.get(variable, "")


def _commands(manifests: list[Manifest]) -> Iterator[tuple[Manifest, str]]:
    banyan: Any = typer.main.get_command(app)
    for workload, container in containers(manifests):
        if "command" in container:
            yield workload, "has a command of its own: the image says how `banyan` is started"
        name, *rest = container["args"]
        command = banyan.commands.get(name)
        if command is None:
            yield workload, f"there is no command {name}"
            continue
        context = command.make_context(name, list(rest))
        if name == "serve" and context.params["target"] not in TARGETS:
            yield workload, f"there is no target {context.params['target']}"


def _settings(manifests: list[Manifest]) -> Iterator[tuple[Manifest, str]]:
    known = {f"BANYAN_{name.upper()}" for name in Settings.model_fields}
    for workload, container in containers(manifests):
        names = [variable["name"] for variable in container["env"]]
        for name in names:
            if name.startswith("BANYAN_") and name not in known:
                yield workload, f"{name} is no setting"
            if names.count(name) > 1:
                yield workload, f"{name} is set twice"
        if not known.issuperset(name for name in names if name.startswith("BANYAN_")):
            continue
        try:
            settings = settings_of(container)
        except ValidationError as error:
            yield workload, str(error)
            continue
        if workload["kind"] == "Job":
            continue
        try:
            calls = calls_of(target_of(workload), settings)
        except SettingsError as error:
            yield workload, str(error)
            continue
        told = {module for module in MODULES if getattr(settings, f"{module}_url") is not None}
        if calls != told:
            yield workload, f"calls {sorted(calls)}, and knows the addresses of {sorted(told)}"


def _ports(manifests: list[Manifest]) -> Iterator[tuple[Manifest, str]]:
    services = {service["metadata"]["name"]: service for service in of_kind(manifests, "Service")}
    for workload, container in containers(manifests):
        if workload["kind"] == "Job":
            continue
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        listens = environment(container)["BANYAN_PORT"]
        if str(ports.get("http")) != listens:
            yield workload, f"listens on {listens}, and says {ports}"
        for name, value in environment(container).items():
            if name in {f"BANYAN_{module.upper()}_URL" for module in MODULES}:
                address = urlsplit(value)
                service = services.get(address.hostname or "")
                if service is None or address.port not in {port["port"] for port in service["spec"]["ports"]}:
                    yield workload, f"{name} is {value}, where no Service is"
    for service in services.values():
        for port in service["spec"]["ports"]:
            if port["targetPort"] != "http":
                yield service, f"sends to {port['targetPort']}, which no container has"


def _paths(manifests: list[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for workload, container in containers(manifests):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe not in container:
                if workload["kind"] == "Deployment":
                    yield workload, f"has no {probe}"
                continue
            path = container[probe]["httpGet"]["path"]
            wanted = "/readyz" if probe == "readinessProbe" else "/livez"
            if path not in HEALTH or path != wanted:
                yield workload, f"{probe} asks for {path}, not for {wanted}"
    for monitor in of_kind(manifests, "ServiceMonitor"):
        for endpoint in monitor["spec"]["endpoints"]:
            if endpoint["path"] not in HEALTH:
                yield monitor, f"there is no {endpoint['path']}"


def _routes(manifests: list[Manifest]) -> Iterator[tuple[Manifest, str]]:
    targets = {target_of(workload) for workload in of_kind(manifests, "Deployment")}
    for gateway in of_kind(manifests, "HTTPRoute"):
        yield from ((gateway, text) for text in misrouted(_http_route(gateway), targets))
    for ingress in of_kind(manifests, "Ingress"):
        yield from ((ingress, text) for text in misrouted(_ingress(ingress), targets))


# A rule: exact or a prefix, its path, and the Service that answers.
Rule = tuple[bool, str, str]


def misrouted(rules: list[Rule], targets: set[str]) -> list[str]:
    """What the rules send elsewhere than the program's own route table does, or let in from outside."""
    found = []
    for path in _public_paths():
        if path.template in HEALTH:
            continue
        example = path.template.replace("{", "").replace("}", "")
        wanted = f"banyan-{'all' if 'all' in targets else path.service}"
        for asked in {example, *([f"{example}/app.js"] if path.below else [])}:
            service = answers(rules, asked)
            if service != wanted:
                found.append(f"{asked} goes to {service}, not to {wanted}")
    inside = (*(f"{INTERNAL}/{module}/anything" for module in MODULES), *HEALTH, "/nothing")
    return found + [f"{path} is reached from outside" for path in inside if answers(rules, path) is not None]


@cache
def _public_paths() -> tuple[RoutePath, ...]:
    return route_table(Settings()).paths  # pyright: ignore[reportCallIssue] - the environment fills the fields


def answers(rules: list[Rule], path: str) -> str | None:
    """Exact wins over prefixes, the longest of which wins: as both APIs say."""
    for exact, place, service in rules:
        if exact and place == path:
            return service
    fitting = [
        (len(place), service)
        for exact, place, service in rules
        if not exact and (path == place or path.startswith(place.rstrip("/") + "/"))
    ]
    return max(fitting)[1] if fitting else None


def _http_route(route: Manifest) -> list[Rule]:
    return [
        (match["path"]["type"] == "Exact", match["path"]["value"], rule["backendRefs"][0]["name"])
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
    ]


def _ingress(ingress: Manifest) -> list[Rule]:
    return [
        (path["pathType"] == "Exact", path["path"], path["backend"]["service"]["name"])
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    ]
