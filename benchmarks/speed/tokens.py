"""Access tokens for anybody, made with the key that a server keeps in its database: a million people need not log in."""

import uuid
from collections.abc import Iterable

from tests.support.server import RunningServer

from banyan.bootstrap.backends import AUDIENCE
from banyan.infra.auth.keys import KeyRing, SigningKey
from banyan.infra.auth.secret_box import SecretBox
from banyan.infra.auth.tokens import TokenIssuer


class Tokens:
    """Of a server that has run: its first start makes the keys."""

    def __init__(self, server: RunningServer) -> None:
        settings = server.read_settings()
        box = SecretBox(settings.secret())
        rows = server.rows("SELECT sealed, kid, state, verify_until FROM signing_keys")
        ring = KeyRing(
            SigningKey.unseal(sealed, kid, state, box, until) for sealed, kid, state, until in rows
        )
        self._issuer = TokenIssuer(
            ring,
            issuer=settings.public_url or "banyan",
            audience=AUDIENCE,
            lifetime=settings.access_token_lifetime,
        )

    def of(self, user_ids: Iterable[str]) -> list[str]:
        """For each a token of a session of its own, of which the server has never heard."""
        return [self._issuer.issue(user_id, str(uuid.uuid4()))[0] for user_id in user_ids]
