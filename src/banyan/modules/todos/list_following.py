"""A page of to-dos, brought up to date by events: what GET /todos would load, made of what it has answered before.

Only first pages without filters are followed, which is what nearly everybody asks for; and not when a to-do changes its place
among the others, or when what comes after the page would have to be known.
"""

import re
from collections.abc import Hashable, Sequence
from typing import Any, cast
from zlib import crc32

from pydantic_core import from_json, to_json

from banyan.infra.cache.following import FOLLOWED
from banyan.infra.cache.response_cache import Entry
from banyan.kernel.events import Event
from banyan.modules.todos.contract import (
    LIST_CHANGED,
    LIST_CREATED,
    LIST_DELETED,
    TODO_CHANGED,
    TODO_CREATED,
    TODO_DELETED,
    TODO_REMINDED,
)

Key = tuple[bytes, str]
"""The query string of a page, and the base URL of its links."""

_PLAIN = re.compile(rb"(?:limit=([1-9][0-9]{0,2}))?\Z")
DEFAULT_LIMIT = 100
# Of lists, which no page of to-dos shows; and a reminder that was told changes nothing that is shown.
_UNSEEN = frozenset({TODO_REMINDED, LIST_CREATED, LIST_CHANGED, LIST_DELETED})


def tag(position: int, key: Key, *, followed: bool = False) -> bytes:
    """The ETag of a page.

    One that was followed has another tag than the same one loaded: they say the same, but not in the same bytes, since the
    databases put spaces where we do not.
    """
    return b'"%d-%08x%s"' % (position, crc32(repr(key).encode()), FOLLOWED if followed else b"")


def follow(key: Hashable, entry: Entry, events: Sequence[Event]) -> Entry | None:
    """See following.Apply."""
    query, base_url = cast(Key, key)
    plain = _PLAIN.match(query)
    if plain is None:
        return None
    page: list[dict[str, Any]] = from_json(entry.body)
    is_last = entry.link is None
    for event in events:
        followed = _after(page, event, base_url, is_last=is_last)
        if followed is None:
            return None
        page = followed
    if len(page) > int(plain[1] or DEFAULT_LIMIT):
        return None  # its last to-do goes to the next page, to which a link is needed now
    etag = tag(events[-1].position, (query, base_url), followed=True)
    return Entry(etag, to_json(page), entry.link)


def _after(
    page: list[dict[str, Any]], event: Event, base_url: str, *, is_last: bool
) -> list[dict[str, Any]] | None:
    """The page after one event. is_last: no to-do comes after it."""
    if event.type in _UNSEEN:
        return page
    if event.type == TODO_CREATED and event.data["order"] is None:
        # To-dos without an order come first, the newest of them before the others. (A page that is not the last is full: with
        # one more it is too long, see above.)
        return [
            {"id": event.subject, "url": f"{base_url}/todos/{event.subject}", **_shown(event.data)},
            *page,
        ]
    if event.type == TODO_DELETED and is_last:
        return [todo for todo in page if todo["id"] != event.subject]
    if event.type == TODO_CHANGED and "order" not in event.data:
        return [{**todo, **event.data} if todo["id"] == event.subject else todo for todo in page]
    return None


def _shown(data: Any) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "id"}
