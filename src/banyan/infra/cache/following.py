"""Following: an answer of an earlier position is brought up to this one by the events in between, without the database.

State is made by events, so the list of position 8 is the list of position 7 with event 8 applied to it. Nearly every read
after a write is answered so, which is what a cache by position would otherwise lose.

Only what this process has heard of can be applied, without a gap: else, and for what cannot be told from events alone, the
answer is loaded.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

from banyan.infra.cache.response_cache import Entry
from banyan.kernel.events import Event

Apply = Callable[[Hashable, Entry, Sequence[Event]], Entry | None]
"""The answer of this key after these events, which follow each other and the answer; None when it has to be loaded."""

# Past so many changes loading is no dearer, and whoever only writes need not be followed.
MOST_STEPS = 8
# Of all users together: some megabytes.
MOST_EVENTS = 4096


# At the end of the tag of an answer that was followed.
FOLLOWED = b"~"


def as_loaded(tags: bytes) -> bytes:
    """Entity tags without the mark of what was followed: it says the same as what is loaded, though in other bytes. Another
    process may have followed what this one loads, and whoever holds the one need not be sent the other."""
    return tags.replace(FOLLOWED + b'"', b'"')


class Follower:
    """For the answers of one stream. To be told of every commit that this process hears of, in any order, repeats too."""

    def __init__(self, stream: str, apply: Apply, *, max_events: int = MOST_EVENTS) -> None:
        self._stream = stream
        self._apply = apply
        self._max_events = max_events
        self._events: OrderedDict[tuple[str, int], Event] = OrderedDict()

    def observe(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.stream == self._stream:
                self._events[event.user_id, event.position] = event
        while len(self._events) > self._max_events:
            self._events.popitem(last=False)

    def brought_up(
        self, user_id: str, key: Hashable, made_at: int, entry: Entry, position: int
    ) -> Entry | None:
        """The entry as of `position`; None when it has to be loaded."""
        if not made_at < position <= made_at + MOST_STEPS:
            return None
        events = []
        for step in range(made_at + 1, position + 1):
            event = self._events.get((user_id, step))
            if event is None:
                return None
            events.append(event)
        return self._apply(key, entry, events)
