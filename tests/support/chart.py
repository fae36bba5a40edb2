"""The Helm chart, rendered by Helm's own engine."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from tests.support.custom_resources import is_custom
from tests.support.programs import missing

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "helm" / "banyan"
VALUES = DEPLOY / "helm" / "values"
VALUES_FILES = ("default", "small", "sharded", "everything-on", "istio")
RELEASE = "banyan"
NAMESPACE = "banyan"

Manifest = dict[str, Any]


def engine() -> Any:
    """The module `helm_python`; the test is skipped where its library does not run."""
    try:
        import helm_python
    except ImportError as error:
        return missing(f"helm-python-sdk cannot be used: {error}")
    return helm_python


def values_of(name: str) -> dict[str, Any]:
    return yaml.safe_load((VALUES / f"{name}.yaml").read_text("utf-8"))


def render(values: Mapping[str, Any], chart: Path = CHART) -> list[Manifest]:
    """What Helm would send to Kubernetes. Raises the engine's errors for values that the chart refuses."""
    with engine().Chart.load(str(chart)) as loaded:
        # Rendering alone does not look at the schema; an installation does.
        loaded.validate_schema(dict(values))
        texts = loaded.render(dict(values), name=RELEASE, namespace=NAMESPACE, is_install=True)
    return [
        document
        for name, text in texts.items()
        if not name.endswith(".txt")
        for document in yaml.safe_load_all(text)
        if document
    ]


@cache
def rendered(name: str) -> list[Manifest]:
    """The chart with a values file of deploy/helm/values; rendered once, so nobody changes it."""
    return render(values_of(name))


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [one for one in of_kind(manifests, kind) if one["metadata"]["name"] == name]
    return found


def target_of(manifest: Manifest) -> str:
    return manifest["metadata"]["labels"]["app.kubernetes.io/component"]


def pods(manifests: list[Manifest]) -> Iterator[tuple[Manifest, Manifest]]:
    """Each workload with the specification of its pods."""
    for workload in of_kind(manifests, "Deployment", "Job"):
        yield workload, workload["spec"]["template"]["spec"]


def containers(manifests: list[Manifest]) -> Iterator[tuple[Manifest, Manifest]]:
    for workload, pod in pods(manifests):
        for container in pod["containers"]:
            yield workload, container


def manifests_in(folder: Path) -> list[Manifest]:
    """Everything in the YAML files of a folder, its folders left out."""
    return [
        document
        for path in sorted(folder.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text("utf-8"))
        if document
    ]


@cache
def custom_resources() -> list[Manifest]:
    """Every custom resource of deploy/: what the chart makes of each values file, Argo's and Istio's. Nobody changes them."""
    made = [manifest for name in VALUES_FILES for manifest in rendered(name)]
    return [
        one
        for one in [*made, *manifests_in(DEPLOY / "argo"), *manifests_in(DEPLOY / "istio")]
        if is_custom(one)
    ]
