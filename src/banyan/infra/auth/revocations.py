"""Sessions that were revoked while their access tokens are still within their lifetime."""

import heapq
import time
from collections.abc import Callable


class Revocations:
    """The revoked sessions that a token could still name.

    An access token cannot be taken back; it is refused because its session is in here, until the last token of that
    session has expired by itself. So the set holds only the revocations of the last token lifetime.
    For one event loop: nothing is locked.
    """

    def __init__(self, *, unix_seconds: Callable[[], float] = time.time) -> None:
        self._unix_seconds = unix_seconds
        self._until: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []

    def revoke(self, session_id: str, until: float) -> None:
        """Refuse the session's tokens until `until`, the Unix second at which its last one has expired (leeway included).

        Revoking twice keeps the later end. Whatever has run out is dropped on the way.
        """
        self.sweep()
        if until > self._until.get(session_id, 0.0):
            self._until[session_id] = until
            heapq.heappush(self._order, (until, session_id))

    def is_revoked(self, session_id: str) -> bool:
        """One dictionary lookup; true a little longer than needed when nothing has swept yet, which harms nobody."""
        return session_id in self._until

    def sweep(self) -> None:
        """Drop the revocations that no living token can need any more."""
        now = self._unix_seconds()
        while self._order and self._order[0][0] <= now:
            until, session_id = heapq.heappop(self._order)
            # A session that was revoked again has a later end, and a later entry.
            if self._until.get(session_id) == until:
                del self._until[session_id]

    def __len__(self) -> int:
        return len(self._until)
