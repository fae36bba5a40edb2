"""Page cursors: opaque to clients, and useless to anyone but the user and the query that they were made for."""

import base64
import binascii
import hmac
import json
from hashlib import sha256
from typing import Any

from banyan.infra.auth.derive import derive_key
from banyan.kernel.errors import FieldError, InvalidInput

MAX_CURSOR_CHARS = 2048
_MAC_BYTES = 16


class InvalidCursor(InvalidInput):
    code = "invalid_cursor"
    detail = "The cursor is not one that this list gave you; start again without it."

    def __init__(self) -> None:
        super().__init__(errors=[FieldError("query/cursor", "is not a cursor of this list")])


class CursorSigner:
    """Signs the place where a page ended.

    A cursor is base64url(HMAC-SHA-256, cut to 128 bits, then the payload as JSON). It is signed, not hidden: put nothing
    into it that its user may not see.
    Source: RFC 2104, section 5 (truncation).
    """

    def __init__(self, secret: str) -> None:
        """secret: the server's (see `derive_key`), the same in every process."""
        self._key = derive_key(secret, "cursor/v1")

    def sign(self, purpose: str, user_id: str, payload: list[Any] | dict[str, Any]) -> str:
        """A cursor that `open` accepts only with the same purpose and user.

        purpose: the list and a fingerprint of its filters, such as `todos?completed=true&q=`: a page of another query
        cannot be continued with it. payload: JSON. Raises ValueError when the cursor would grow over 2048 characters.
        """
        body = json.dumps(payload, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")
        text = base64.urlsafe_b64encode(self._mac(purpose, user_id, body) + body).decode("ascii").rstrip("=")
        if len(text) > MAX_CURSOR_CHARS:
            raise ValueError("the payload is too large for a cursor")
        return text

    def open(self, purpose: str, user_id: str, text: str) -> Any:
        """The payload. Raises InvalidCursor for everything that `sign` did not make for this purpose and user."""
        if len(text) > MAX_CURSOR_CHARS:
            raise InvalidCursor()
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidCursor() from error
        mac, body = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(purpose, user_id, body)):
            raise InvalidCursor()
        return json.loads(body)

    def _mac(self, purpose: str, user_id: str, body: bytes) -> bytes:
        # Each part is preceded by its length: no two different triples give the same input.
        parts = (purpose.encode("utf-8", "surrogatepass"), user_id.encode("utf-8", "surrogatepass"), body)
        framed = b"".join(len(part).to_bytes(4) + part for part in parts)
        return hmac.digest(self._key, framed, sha256)[:_MAC_BYTES]
