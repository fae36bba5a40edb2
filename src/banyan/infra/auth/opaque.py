"""Opaque tokens: random text that is worth something only together with a row that holds its digest.

Used for refresh, password reset, e-mail verification and socket tickets. `bnr_<22 characters><43 characters>`: a prefix
that tells people and secret scanners what it is, the owner's id (so that the right shard can be asked), 256 random bits.
"""

import base64
import hashlib
import hmac
import re
import secrets
import uuid
from dataclasses import dataclass

from banyan.kernel.ids import is_id

_PREFIX = re.compile(r"[a-z][a-z0-9]{1,15}\Z")
_SHAPE = re.compile(r"([a-z][a-z0-9]{1,15})_([A-Za-z0-9_-]{21}[AQgw])([A-Za-z0-9_-]{43})\Z")
_MAX_CHARS = 16 + 1 + 22 + 43


@dataclass(frozen=True, slots=True)
class OpaqueToken:
    """What a well-formed token says. routing_id: the claimed owner, unproven until a row with this digest is found."""

    routing_id: str
    digest: str


def mint(prefix: str, routing_id: str) -> tuple[str, str]:
    """A new token and the digest to store.

    prefix: 2 to 16 lower-case letters and digits, one for each kind of token; the digest covers it, so that a token of
    one kind never passes for another. routing_id: the owner's UUID. Raises ValueError for others.
    """
    if not _PREFIX.match(prefix) or not is_id(routing_id):
        raise ValueError("the prefix or the routing id has another form")
    route = base64.urlsafe_b64encode(uuid.UUID(routing_id).bytes).decode().rstrip("=")
    token = f"{prefix}_{route}{secrets.token_urlsafe(32)}"
    return token, digest_of(token)


def parse(prefix: str, token: str) -> OpaqueToken | None:
    """The owner and digest of a token of this kind; None when it cannot be one."""
    if len(token) > _MAX_CHARS:
        return None
    shape = _SHAPE.match(token)
    if shape is None or shape[1] != prefix:
        return None
    routing_id = str(uuid.UUID(bytes=base64.urlsafe_b64decode(shape[2] + "==")))
    return OpaqueToken(routing_id, digest_of(token))


def digest_of(token: str) -> str:
    """SHA-256 of the whole token, as 64 hexadecimal digits. No slow hash is needed: the token has 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def same_digest(left: str, right: str) -> bool:
    """Equality in a time that does not tell how much of it agrees."""
    return hmac.compare_digest(left.encode(), right.encode())
