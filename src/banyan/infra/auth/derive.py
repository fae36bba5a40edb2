"""One server secret, many keys: each use derives its own, so that none can stand in for another."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MIN_SECRET_BYTES = 16


def derive_key(secret: str, purpose: str) -> bytes:
    """The 32-byte key of `purpose` under the server's secret; the same arguments give the same key, for ever.

    secret: random text of at least 16 bytes (128 bits are the floor, and HKDF adds none: it must not be a pass phrase).
    Raises ValueError when it is shorter.
    Source: RFC 5869 (HKDF-SHA-256; no salt, as its section 3.1 allows for a secret that is already random).
    """
    material = secret.encode("utf-8")
    if len(material) < MIN_SECRET_BYTES:
        raise ValueError(f"the server's secret needs at least {MIN_SECRET_BYTES} random bytes")
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"banyan/" + purpose.encode()).derive(material)
