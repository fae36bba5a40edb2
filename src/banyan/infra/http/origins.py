"""Web origins that may act in a browser: Banyan's own and those that the settings name, exactly."""

from collections.abc import Sequence


class Origins:
    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(allowed)

    def allows(self, origin: str, base_url: str) -> bool:
        return origin == base_url or origin in self._allowed
