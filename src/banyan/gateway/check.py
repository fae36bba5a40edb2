"""Has Envoy itself read the whole configuration, without starting it.

Envoy's `--mode validate` looks at the file it is given and follows none of the files that this one names. So everything is
put into one.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from banyan.gateway.plan import Plan
from banyan.gateway.render import BOOTSTRAP, CERTIFICATE, CLUSTERS, LISTENERS, render
from banyan.gateway.routes import RouteTable

CHECK_SECONDS = 30


def refusal(envoy: str, plan: Plan, table: RouteTable) -> str | None:
    """What Envoy finds wrong with the configuration; None when it would run by it. envoy: path of the program."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / BOOTSTRAP
        file.write_text(yaml.safe_dump(in_one(plan, table)), "utf-8")
        done = subprocess.run(  # noqa: S603 - a program that we found and a file that we wrote
            [envoy, "--mode", "validate", "--config-path", str(file), "--log-level", "error"],
            capture_output=True,
            text=True,
            timeout=CHECK_SECONDS,
            check=False,
        )
    return None if done.returncode == 0 else (done.stderr.strip() or done.stdout.strip())


def in_one(plan: Plan, table: RouteTable) -> dict[str, Any]:
    """The configuration of one file, without anything that is looked up in another."""
    files = {name: yaml.safe_load(text) for name, text in render(plan, table, Path("/")).items()}
    bootstrap = files[BOOTSTRAP]
    del bootstrap["dynamic_resources"]
    bootstrap["static_resources"] = {
        "clusters": [_cluster(cluster, files) for cluster in files[CLUSTERS]["resources"]],
        "listeners": [_listener(listener, files) for listener in files[LISTENERS]["resources"]],
    }
    return bootstrap


def _cluster(cluster: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
    if cluster["type"] == "EDS":
        source = cluster.pop("eds_cluster_config")["eds_config"]
        cluster |= {"type": "STATIC", "load_assignment": _found(source, files)}
    return _untyped(cluster)


def _listener(listener: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
    (chain,) = listener["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    if "rds" in manager:
        manager["route_config"] = _found(manager.pop("rds")["config_source"], files)
    if CERTIFICATE in files:
        common = chain.get("transport_socket", {}).get("typed_config", {}).get("common_tls_context")
        if common is not None:
            del common["tls_certificate_sds_secret_configs"]
            secret = files[CERTIFICATE]["resources"][0]["tls_certificate"]
            common["tls_certificates"] = [
                {name: secret[name] for name in ("certificate_chain", "private_key")},
            ]
    return _untyped(listener)


def _found(source: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
    resources: Sequence[dict[str, Any]] = files[Path(source["path_config_source"]["path"]).name]["resources"]
    return _untyped(resources[0])


def _untyped(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "@type"}
