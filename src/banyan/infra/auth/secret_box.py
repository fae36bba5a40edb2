"""Secrets at rest: what is stored can only be read with the server's secret, and only where it belongs."""

import base64
import binascii
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from banyan.infra.auth.derive import derive_key
from banyan.kernel.errors import BanyanError

_VERSION = "v1"
_NONCE_BYTES = 12


class SealedDataUnreadable(BanyanError):
    code = "sealed_data_unreadable"
    detail = "A sealed value is damaged, or it was stored for something else."


class WrongSecret(SealedDataUnreadable):
    code = "wrong_secret"
    detail = (
        "This data was sealed with another secret. Start with the BANYAN_SECRET_KEY that it was written with; when that "
        "is lost, make new signing keys with `banyan keys rotate --withdraw`, and everybody logs in again."
    )


class SecretBox:
    """Seals bytes with AES-256-GCM under a key derived from the server's secret.

    A sealed value is text: `v1.<fingerprint of the key>.<base64url of nonce, ciphertext and tag>`. The fingerprint
    tells a wrong secret from damaged data, which the tag alone cannot.
    The nonce is random, 96 bits: safe up to 2^32 values a secret, far above the few keys that are kept here.
    Source: NIST SP 800-38D, sections 8.2.2 and 8.3.
    """

    def __init__(self, secret: str) -> None:
        """secret: see `derive_key`. Raises ValueError when it is too short."""
        self._aead = AESGCM(derive_key(secret, "secret-box/v1"))
        self._fingerprint = derive_key(secret, "secret-box/v1/fingerprint")[:6].hex()

    def seal(self, plain: bytes, context: str) -> str:
        """`plain`, readable again only by `open` with the same secret and the same `context` (such as the row's id)."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._aead.encrypt(nonce, plain, context.encode())
        return f"{_VERSION}.{self._fingerprint}.{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"

    def open(self, sealed: str, context: str) -> bytes:
        """The bytes that were sealed.

        Raises WrongSecret when another secret sealed them, SealedDataUnreadable when the text is damaged, of an unknown
        version, or was sealed for another context.
        """
        version, _, rest = sealed.partition(".")
        fingerprint, _, body = rest.partition(".")
        if version != _VERSION or not body:
            raise SealedDataUnreadable("A sealed value has a format that this version does not know.")
        if not hmac.compare_digest(fingerprint.encode(), self._fingerprint.encode()):
            raise WrongSecret()
        try:
            data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
            return self._aead.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context.encode())
        except (binascii.Error, InvalidTag, ValueError) as error:
            raise SealedDataUnreadable() from error
