"""The custom resources against the definitions of those who read them; and that these refuse what is not in them."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from tests.support.chart import Manifest, custom_resources
from tests.support.custom_resources import DEFINITIONS, kinds, misshapen


def of(kind: str) -> list[Manifest]:
    return [one for one in custom_resources() if one["kind"] == kind]


def objects_in(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The place of every object inside of a value, itself first."""
    if isinstance(value, dict):
        yield place
    for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inside, dict | list):
            yield from objects_in(inside, (*place, key))


def at(value: Any, place: tuple[str | int, ...]) -> Any:
    for key in place:
        value = value[key]
    return value


def test_every_definition_is_used_and_says_where_it_is_from() -> None:
    assert {path.stem for path in DEFINITIONS.glob("*.json")} - {"sources"} == set(kinds())
    assert {one["kind"] for one in custom_resources()} == set(kinds())


@pytest.mark.parametrize("kind", kinds())
def test_it_is_what_its_project_defines(kind: str) -> None:
    for manifest in of(kind):
        assert misshapen(manifest) == []


@pytest.mark.parametrize("kind", kinds())
def test_a_field_that_its_project_does_not_have_is_refused_wherever_it_stands(kind: str) -> None:
    for manifest in of(kind):
        for place in objects_in(manifest):
            planted = deepcopy(manifest)
            at(planted, place)["unheardOf"] = {}
            assert misshapen(planted) != [], place


@pytest.mark.parametrize("kind", kinds())
def test_a_value_of_another_type_is_refused_wherever_it_stands(kind: str) -> None:
    for manifest in of(kind):
        for place in objects_in(manifest["spec"], ("spec",)):
            for key in at(manifest, place):
                planted = deepcopy(manifest)
                at(planted, place)[key] = {"unheardOf": []}
                assert misshapen(planted) != [], (*place, key)


@pytest.mark.parametrize(
    ("kind", "field", "instead"),
    [
        ("AnalysisTemplate", ("spec", "metrics"), "metric"),
        ("Application", ("spec", "destination"), "destinations"),
        ("AuthorizationPolicy", ("spec", "action"), "actions"),
        ("DestinationRule", ("spec", "trafficPolicy", "outlierDetection"), "outliers"),
        ("ExternalSecret", ("spec", "secretStoreRef"), "storeRef"),
        ("Gateway", ("spec", "servers"), "listeners"),
        ("HTTPRoute", ("spec", "rules", 0, "backendRefs"), "backends"),
        ("PeerAuthentication", ("spec", "mtls"), "mTLS"),
        ("PrometheusRule", ("spec", "groups", 0, "rules"), "alerts"),
        ("Rollout", ("spec", "workloadRef"), "scaleTargetRef"),
        ("ScaledObject", ("spec", "minReplicaCount"), "minReplicas"),
        ("ServiceMonitor", ("spec", "endpoints"), "podMetricsEndpoints"),
        ("TriggerAuthentication", ("spec", "secretTargetRef"), "secretTargetRefs"),
        ("VirtualService", ("spec", "http", 0, "retries", "retryOn"), "retryOnCodes"),
    ],
)
def test_a_field_under_a_name_that_only_looks_right_is_refused(
    kind: str, field: tuple[str | int, ...], instead: str
) -> None:
    manifest = next(one for one in of(kind) if one["spec"])
    planted = deepcopy(manifest)
    holder = at(planted, field[:-1])
    holder[instead] = holder.pop(field[-1])

    assert misshapen(planted) != []


def test_a_real_field_whose_inside_was_left_out_says_so() -> None:
    planted = deepcopy(of("Rollout")[0])
    planted["spec"]["template"] = {"spec": {}}

    assert "left out of the definitions" in misshapen(planted)[0]
