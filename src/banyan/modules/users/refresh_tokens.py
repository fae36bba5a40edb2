"""Refresh tokens: each is followed by one successor, which anyone with the server's secret can compute again.

    bnr_ base64url( owner 16 bytes ‖ session 16 bytes ‖ body 32 bytes ‖ tag 16 bytes )

- The body of a session's first token is random; the body of each successor is HMAC(secret, predecessor). So when two
  requests send the same token (two tabs, a lost answer), both get the same successor, and nothing but digests is stored.
- The tag proves that Banyan made the token. A token of a session that is neither its present one nor the one before is
  thereby known to be an old one, however old, without a record of old ones: it was stolen, or its successor was. And
  one that Banyan never made is refused before the database is asked, and ends nobody's session.

Source: RFC 9700, section 4.14 (rotation and reuse detection).
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import uuid
from dataclasses import dataclass, field

from banyan.infra.auth.derive import derive_key

PREFIX = "bnr_"
_BODY_BYTES = 32
_TAG_BYTES = 16
_SHAPE = re.compile(r"bnr_([A-Za-z0-9_-]{107})\Z")


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A token that Banyan made. digest: what the session's row holds of it."""

    user_id: str
    session_id: str
    text: str = field(repr=False)
    digest: str


class RefreshTokens:
    """Makes refresh tokens and recognises them. Pure: whether one is still good is for the session's row to say."""

    def __init__(self, secret: str) -> None:
        self._body_key = derive_key(secret, "refresh-token/successor/v1")
        self._tag_key = derive_key(secret, "refresh-token/tag/v1")

    def first(self, user_id: str, session_id: str) -> RefreshToken:
        """The first token of a new session."""
        return self._make(user_id, session_id, secrets.token_bytes(_BODY_BYTES))

    def successor(self, token: RefreshToken) -> RefreshToken:
        """The one token that follows `token`: the same each time."""
        body = hmac.digest(self._body_key, token.text.encode(), hashlib.sha256)
        return self._make(token.user_id, token.session_id, body)

    def recognise(self, text: str) -> RefreshToken | None:
        """The token, if it is one that was made with this secret."""
        shape = _SHAPE.match(text)
        if shape is None:
            return None
        try:
            data = base64.urlsafe_b64decode(shape[1] + "=")
        except binascii.Error:
            return None
        signed, tag = data[:-_TAG_BYTES], data[-_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(signed)):
            return None
        user_id, session_id = str(uuid.UUID(bytes=signed[:16])), str(uuid.UUID(bytes=signed[16:32]))
        # Made again from its bytes: a second spelling of the same bytes must not look like another token.
        return self._make(user_id, session_id, signed[32:])

    def _make(self, user_id: str, session_id: str, body: bytes) -> RefreshToken:
        signed = uuid.UUID(user_id).bytes + uuid.UUID(session_id).bytes + body
        data = signed + self._tag(signed)
        text = PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")
        return RefreshToken(user_id, session_id, text, hashlib.sha256(data).hexdigest())

    def _tag(self, signed: bytes) -> bytes:
        return hmac.digest(self._tag_key, signed, hashlib.sha256)[:_TAG_BYTES]
