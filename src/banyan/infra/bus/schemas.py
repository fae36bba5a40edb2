"""Schemas of events: what consumers, here and elsewhere, may rely on in an event's data.

A definition is a TypedDict; its JSON Schema is checked in under `docs/schemas`. The log keeps events for ever and
consumers of the former version read new ones, so a definition may only grow by optional fields. What needs more is a
new event type.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from banyan.infra.bus.kafka.envelope import schema_uri

Schema = dict[str, Any]
Definitions = Mapping[str, Any]
"""event type → the TypedDict of its data"""

_ANNOTATIONS = {"title", "description", "examples", "default", "$id", "$schema"}


def json_schema(event_type: str, definition: Any) -> Schema:
    """JSON Schema 2020-12 of an event type's data. Fields that it does not name may be added any time."""
    made = TypeAdapter(definition).json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_uri(event_type),
        "title": event_type,
        **{name: value for name, value in made.items() if name != "title"},
    }


def incompatibilities(released: Mapping[str, Schema], present: Mapping[str, Schema]) -> list[str]:
    """What a consumer of the released schemas cannot live with, one sentence each; empty when it can."""
    found = [f"{name}: the event type is gone" for name in sorted(released.keys() - present.keys())]
    for name in sorted(released.keys() & present.keys()):
        found += _differences(name, released[name], present[name])
    return found


def _differences(place: str, old: Any, new: Any) -> Iterator[str]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield f"{place}: was {old!r}, is {new!r}"
        return
    for keyword in sorted((old.keys() | new.keys()) - _ANNOTATIONS - {"properties", "required"}):
        if keyword not in old or keyword not in new:
            yield f"{place}: `{keyword}` was {old.get(keyword)!r}, is {new.get(keyword)!r}"
        else:
            yield from _differences(f"{place}.{keyword}", old[keyword], new[keyword])
    was, now = old.get("properties", {}), new.get("properties", {})
    for field in sorted(was.keys() - now.keys()):
        yield f"{place}.{field}: the field is gone"
    for field in sorted(was.keys() & now.keys()):
        yield from _differences(f"{place}.{field}", was[field], now[field])
    needed_before, needed_now = set(old.get("required", ())), set(new.get("required", ()))
    for field in sorted(needed_now - needed_before):
        yield f"{place}.{field}: events that lack it are in the log, so it cannot be required"
    for field in sorted((needed_before - needed_now) & now.keys()):
        yield f"{place}.{field}: consumers rely on it, so it cannot become optional"
