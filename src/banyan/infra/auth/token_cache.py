"""Verified tokens, remembered: the signature of a token is checked once, its expiry every time."""

import time
from collections import OrderedDict
from collections.abc import Callable

from banyan.infra.auth.principal import Principal
from banyan.infra.auth.tokens import TokenVerifier, expired_token


class VerifiedTokenCache:
    """A bounded map from the exact text of a verified token to its principal; the least recently used goes first.

    A hit costs well under 2 µs where Ed25519 costs about 100. Refusals are not remembered: there is no end of bad tokens,
    and they would push out the good ones. Revocation is not its business (`Revocations` is asked at every request), but
    `forget_session` frees the room at once.
    For one event loop: nothing is locked.
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        *,
        capacity: int = 10_000,
        unix_seconds: Callable[[], float] = time.time,
    ) -> None:
        """unix_seconds: the present, as `time.time` tells it (an aware datetime would cost half of the budget)."""
        self._verifier = verifier
        self._capacity = capacity
        self._unix_seconds = unix_seconds
        self._leeway = verifier.leeway_seconds
        self._principals: OrderedDict[str, Principal] = OrderedDict()
        self._tokens_of: dict[str, set[str]] = {}

    def verify(self, token: str) -> Principal:
        """Like `TokenVerifier.verify`, with the same refusals."""
        principal = self._principals.get(token)
        if principal is None:
            principal = self._verifier.verify(token)
            self._remember(token, principal)
            return principal
        if principal.expires_at + self._leeway <= self._unix_seconds():
            self._forget(token)
            raise expired_token()
        self._principals.move_to_end(token)
        return principal

    def known(self, token: str) -> Principal | None:
        """The principal of a token that was verified before and can still be used; None when only `verify` can tell."""
        principal = self._principals.get(token)
        if principal is None or principal.expires_at + self._leeway <= self._unix_seconds():
            return None
        self._principals.move_to_end(token)
        return principal

    def forget_session(self, session_id: str) -> None:
        """Drop every token of a session; unknown sessions are fine."""
        for token in self._tokens_of.pop(session_id, ()):
            self._principals.pop(token, None)

    def clear(self) -> None:
        """Drop everything: after a signing key was withdrawn, so that its tokens are refused from now on."""
        self._principals.clear()
        self._tokens_of.clear()

    def __len__(self) -> int:
        return len(self._principals)

    def _remember(self, token: str, principal: Principal) -> None:
        if len(self._principals) >= self._capacity:
            self._forget(next(iter(self._principals)))
        self._principals[token] = principal
        self._tokens_of.setdefault(principal.session_id, set()).add(token)

    def _forget(self, token: str) -> None:
        session_id = self._principals.pop(token).session_id
        tokens = self._tokens_of[session_id]
        tokens.discard(token)
        if not tokens:
            del self._tokens_of[session_id]
