"""Web origins that may act in a browser: Banyan's own and those that the settings name, exactly."""

from collections.abc import Sequence

# What pages of other origins may send and read (CORS).
CORS_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CORS_HEADERS = (
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "Last-Event-ID",
)
CORS_EXPOSED = ("ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id")
CORS_MAX_AGE_SECONDS = 600


class Origins:
    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(allowed)

    def allows(self, origin: str, base_url: str) -> bool:
        return origin == base_url or origin in self._allowed
