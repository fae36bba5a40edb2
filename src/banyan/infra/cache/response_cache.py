"""Answers, remembered: valid exactly as long as the stream that they were made from has not moved.

Nothing expires and nobody invalidates. Whoever asks says at which position the stream is now, and an answer that was
made at another position is no answer. So a cached list can never be older than an acknowledged write.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

# What an entry costs besides its own bytes: the tuple, the key, the dictionary's slot.
OVERHEAD_BYTES = 400


class Entry(NamedTuple):
    """An answer of 200. etag: with its quotes. link: the whole `Link` header; None on the last page."""

    etag: bytes
    body: bytes
    link: bytes | None = None

    @property
    def size(self) -> int:
        return len(self.etag) + len(self.body) + len(self.link or b"") + OVERHEAD_BYTES


class ResponseCache:
    """A bounded map from (user, key) to an answer; the least recently used goes first.

    key: all that the answer depends on besides the user's data, such as the query and the base URL of its links.
    max_bytes: room for all answers together; one that needs more than an eighth of it is not kept, so that a single
    large list cannot push out everybody else's. For one event loop: nothing is locked.
    """

    def __init__(self, *, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[tuple[str, Hashable], tuple[int, Entry]] = OrderedDict()
        self._bytes = 0

    def get(self, user_id: str, key: Hashable, position: int) -> Entry | None:
        """The answer, if it was made at this position."""
        found = self._entries.get((user_id, key))
        if found is None:
            return None
        made_at, entry = found
        if made_at != position:
            return None
        self._entries.move_to_end((user_id, key))
        return entry

    def at_any_position(self, user_id: str, key: Hashable) -> tuple[int, Entry] | None:
        """The position of the answer that is there, and the answer; for whoever can bring it up to another."""
        return self._entries.get((user_id, key))

    def put(self, user_id: str, key: Hashable, position: int, entry: Entry) -> None:
        """Remember an answer made from a snapshot at `position`; a newer one that is there already stays."""
        place = (user_id, key)
        found = self._entries.get(place)
        if found is not None:
            if found[0] > position:
                return
            self._drop(place)
        if entry.size > self._max_bytes // 8:
            return
        self._entries[place] = (position, entry)
        self._bytes += entry.size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def _drop(self, place: tuple[str, Hashable]) -> None:
        self._bytes -= self._entries.pop(place)[1].size
