"""Every object that the chart makes, against the schemas of Kubernetes; strictly, so that a slip of the pen is an error."""

import functools
from copy import deepcopy
from typing import Any

import kubernetes_validate
import pytest
from kubernetes_validate import utils
from tests.support.chart import CHART, VALUES_FILES, engine, named, render, rendered, values_of
from tests.support.custom_resources import is_custom, misshapen

VERSIONS = sorted({utils.major_minor(version) for version in utils.all_versions()}, key=utils.Version)[-3:]


@pytest.fixture(scope="module", autouse=True)
def _schemas_are_read_once() -> Any:
    # 1.8 MB of definitions, read anew for each object otherwise.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))
        yield


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", VALUES_FILES)
def test_every_object_fits_its_schema(values: str, version: str) -> None:
    for manifest in rendered(values):
        if is_custom(manifest):
            assert misshapen(manifest) == []
        else:
            assert kubernetes_validate.validate(manifest, version, strict=True) == version


def test_a_field_that_kubernetes_does_not_know_is_refused() -> None:
    manifest = deepcopy(named(rendered("default"), "Deployment", "banyan-todos"))
    manifest["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}

    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("values", VALUES_FILES)
def test_helm_finds_nothing_wrong_with_the_chart(values: str) -> None:
    report = engine().lint(str(CHART), values_of(values), strict=True, kube_version=f"v{VERSIONS[-1]}.0")

    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"targets": {"todos": {"replica": 3}}}, "replica"),
        ({"publicUrl": "banyan.example.org"}, "publicUrl"),
        ({"settings": {"BANYAN_PORT": "9000"}}, "BANYAN_PORT"),
        ({"settings": {"LOG_LEVEL": "INFO"}}, "LOG_LEVEL"),
        ({"targets": {"todos": {"rollout": "blue"}}}, "rollout"),
        ({"probes": {"readiness": {"timeoutSeconds": 1}}}, "timeoutSeconds"),
    ],
)
def test_values_that_mean_nothing_are_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(engine().HelmValuesError, match=complaint):
        render(values)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"targets": {"all": {"enabled": True}}}, "not both"),
        ({"targets": {"users": {"enabled": False}}}, "todos asks users|notifications asks users"),
        ({"kafka": {"servers": []}}, "kafka.servers"),
        ({"secrets": {"todosDatabase": None}}, "needs the database of todos"),
        ({"secrets": {"amqp": None}}, "secrets.amqp"),
        ({"targets": {"worker": {"enabled": False}}}, "targets.worker"),
        ({"targets": {"todos": {"keda": {"enabled": True}}}}, "only the worker"),
    ],
)
def test_what_could_not_start_is_not_installed(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(engine().HelmRenderError, match=complaint):
        render(values)
