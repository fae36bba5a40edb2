"""Access tokens that a server has to refuse, made with its own keys wherever a forger could not."""

import asyncio
from datetime import UTC, datetime, timedelta

from banyan.bootstrap import AUDIENCE, build
from banyan.infra.auth.keys import KeyRing, SigningKey
from banyan.infra.auth.tokens import TokenIssuer
from banyan.kernel.clock import ManualClock
from banyan.settings import Settings

LIFETIME = timedelta(minutes=10)


class TokenForge:
    """Issues tokens for the server of these settings."""

    def __init__(self, settings: Settings) -> None:
        application = build(settings)

        async def keys() -> tuple[SigningKey, ...]:
            async with application.running(background=False):
                return application.infra.keys.keys

        self._ring = KeyRing(asyncio.run(keys()))
        self._issuer = application.infra.token_issuer.issuer

    def good(self, user_id: str, session_id: str, *, role: str = "user") -> str:
        """As the server would make it: what the others differ from in one thing each."""
        return self._issue(user_id, session_id, role=role)

    def expired(self, user_id: str, session_id: str) -> str:
        # Past the leeway, too.
        return self._issue(
            user_id, session_id, clock=ManualClock(datetime.now(UTC) - LIFETIME - timedelta(minutes=5))
        )

    def for_another_audience(self, user_id: str, session_id: str) -> str:
        return self._issue(user_id, session_id, audience="another-service")

    def by_another_issuer(self, user_id: str, session_id: str) -> str:
        return self._issue(user_id, session_id, issuer="https://elsewhere.example")

    def signed_by_another_key(self, user_id: str, session_id: str) -> str:
        return self._issue(user_id, session_id, role="admin", keys=KeyRing([SigningKey.generate("active")]))

    def _issue(
        self,
        user_id: str,
        session_id: str,
        *,
        role: str = "user",
        issuer: str | None = None,
        audience: str = AUDIENCE,
        keys: KeyRing | None = None,
        clock: ManualClock | None = None,
    ) -> str:
        issuing = TokenIssuer(
            keys or self._ring,
            issuer=issuer or self._issuer,
            audience=audience,
            lifetime=LIFETIME,
            clock=clock,
        )
        return issuing.issue(user_id, session_id, frozenset(), role)[0]
