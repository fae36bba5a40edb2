"""Schemas of events: in step with the code, and never in the way of who reads them."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from banyan.bootstrap.schemas import EVENTS, event_schemas
from banyan.infra.bus.schemas import incompatibilities
from banyan.modules.notifications import contract as notifications
from banyan.modules.todos import contract as todos
from banyan.modules.users import contract as users

SCHEMAS = Path(__file__).resolve().parents[3] / "docs" / "schemas"


def test_the_files_are_what_the_code_defines():
    files = {path.stem: json.loads(path.read_text("utf-8")) for path in (SCHEMAS / "events").glob("*.json")}
    assert files == event_schemas(), "run scripts/schemas.py"


def test_consumers_of_the_last_release_can_live_with_them():
    released = json.loads((SCHEMAS / "released.json").read_text("utf-8"))
    assert len(released) >= 20
    assert incompatibilities(released, event_schemas()) == []


def test_every_event_type_of_the_contracts_has_one():
    for stream, contract in (("users", users), ("todos", todos), ("notifications", notifications)):
        # CamelCase texts in capitals are how contracts name their events.
        named = {
            value
            for name, value in vars(contract).items()
            if name.isupper() and isinstance(value, str) and value[0].isupper()
        }
        assert named == set(EVENTS[stream])


Change = Callable[[dict[str, Any]], Any]
CHANGES: list[tuple[str, Change, bool]] = [
    ("nothing", lambda all_: None, True),
    ("an optional field", lambda all_: properties(all_).update(color={"type": "string"}), True),
    ("a new event type", lambda all_: all_.update(TodoArchived={"type": "object"}), True),
    ("a description", lambda all_: properties(all_)["title"].update(description="x"), True),
    ("a field is removed", lambda all_: properties(all_).pop("notes"), False),
    ("a type changes", lambda all_: properties(all_)["title"].update(type="integer"), False),
    ("a type is widened", lambda all_: properties(all_).update(title=nullable("string")), False),
    ("a type is narrowed", lambda all_: properties(all_).update(notes={"type": "string"}), False),
    ("a list's items change", lambda all_: properties(all_)["labels"]["items"].update(type="object"), False),
    ("a new required field", lambda all_: add_required(all_, "color"), False),
    ("a field becomes optional", lambda all_: all_["TodoCreated"]["required"].remove("title"), False),
    ("a field becomes required", lambda all_: all_["TodoChanged"]["required"].append("title"), False),
    ("an event type is gone", lambda all_: all_.pop("TodoDeleted"), False),
    ("no other fields any more", lambda all_: all_["TodoCreated"].update(additionalProperties=False), False),
]


def properties(schemas: dict[str, Any]) -> dict[str, Any]:
    return schemas["TodoCreated"]["properties"]


def nullable(kind: str) -> dict[str, Any]:
    return {"anyOf": [{"type": kind}, {"type": "null"}]}


def add_required(schemas: dict[str, Any], name: str) -> None:
    properties(schemas)[name] = {"type": "string"}
    schemas["TodoCreated"]["required"].append(name)


@pytest.mark.parametrize(("change", "is_fine"), [pytest.param(c, f, id=n) for n, c, f in CHANGES])
def test_only_what_readers_can_live_with_is_allowed(change: Change, is_fine: bool):
    present = copy.deepcopy(event_schemas())
    change(present)
    assert (incompatibilities(event_schemas(), present) == []) == is_fine
