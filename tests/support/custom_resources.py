"""The structure of the custom resources that deploy/ uses, as the projects that read them define it.

Kubernetes itself has no schemas for them. tests/deploy_kubernetes/definitions holds the parts that are used, and its README
where they are from. A field that a definition does not have is refused.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

DEFINITIONS = Path(__file__).parents[1] / "deploy_kubernetes" / "definitions"


@cache
def kinds() -> dict[str, str]:
    """Kind → its apiVersion."""
    sources = json.loads((DEFINITIONS / "sources.json").read_text("utf-8"))
    return {source["kind"]: source["file"].rpartition("/")[0] for source in sources}


def is_custom(manifest: dict[str, Any]) -> bool:
    return kinds().get(manifest["kind"]) == manifest["apiVersion"]


def misshapen(manifest: dict[str, Any]) -> list[str]:
    """What is in it and should not be, is missing, or has another type."""
    found = [_told(error) for error in _validator(manifest["kind"]).iter_errors(manifest)]
    if not manifest.get("metadata", {}).get("name"):
        found.append("$.metadata: a name is missing")
    return found


def fields_of(manifest: dict[str, Any]) -> Iterator[str]:
    """The path of each field that is set, such as `Rollout.spec.strategy.canary`; lists leave no mark on it."""
    yield from _fields(manifest, manifest["kind"])


@cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((DEFINITIONS / f"{kind}.json").read_text("utf-8")))


def _told(error: ValidationError) -> str:
    if error.validator is None:
        return f"{error.json_path}: exists, but its inside was left out of the definitions (their README says how to take it)"
    return f"{error.json_path}: {error.message}"


def _fields(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inside in value.items():
            yield f"{place}.{key}"
            yield from _fields(inside, f"{place}.{key}")
    elif isinstance(value, list):
        for inside in value:
            yield from _fields(inside, place)
