"""The schemas of every module's events."""

from collections.abc import Mapping

from banyan.infra.bus.schemas import Definitions, Schema, json_schema
from banyan.modules.notifications import events as notifications
from banyan.modules.todos import events as todos
from banyan.modules.users import events as users

EVENTS: Mapping[str, Definitions] = {
    "users": users.EVENTS,
    "todos": todos.EVENTS,
    "notifications": notifications.EVENTS,
}
"""stream → event type → the definition of its data"""


def event_schemas() -> dict[str, Schema]:
    """event type → the JSON Schema of its data; what an AsyncAPI document needs of it."""
    return {
        name: json_schema(name, definition)
        for events in EVENTS.values()
        for name, definition in events.items()
    }
