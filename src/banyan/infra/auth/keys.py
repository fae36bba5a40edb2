"""The Ed25519 keys that sign access tokens, and the order in which they come and go.

    next ──rotate──▶ active ──rotate──▶ retired ──its last token has expired──▶ gone

A key is published as `next` long before it signs, so that whoever caches the JWKS knows it by then. All three verify:
during a rotation one process may sign with the new key while another still thinks of it as `next`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc.jwk import OKPKey, thumbprint

from banyan.infra.auth.secret_box import SecretBox

KeyState = Literal["next", "active", "retired"]
MAX_JWKS_KEYS = 16


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key pair and its state.

    kid: the RFC 7638 thumbprint of the public key. jwk: the pair, or the public half alone (such a key cannot sign).
    verify_until: Unix seconds after which no token of a retired key can be alive; None while it is not retired.
    """

    kid: str
    state: KeyState
    jwk: OKPKey = field(repr=False, compare=False)
    verify_until: int | None = None

    @classmethod
    def generate(cls, state: KeyState = "next") -> Self:
        return cls._of(OKPKey.import_key(Ed25519PrivateKey.generate()), state, None)

    @classmethod
    def from_private_bytes(cls, raw: bytes, state: KeyState, verify_until: int | None = None) -> Self:
        """raw: the 32 bytes of RFC 8032. Raises ValueError for another length."""
        return cls._of(OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(raw)), state, verify_until)

    @classmethod
    def from_public_jwk(cls, jwk: dict[str, Any]) -> Self:
        """A key that only verifies, from another server's JWKS. Raises ValueError unless it is an Ed25519 signing key."""
        if jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519" or jwk.get("use", "sig") != "sig":
            raise ValueError("not an Ed25519 signing key")
        # Built from `x` alone: a private part or odd parameters that came along are dropped.
        public = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": str(jwk.get("x"))})
        return cls._of(public, "active", None)

    @classmethod
    def _of(cls, jwk: OKPKey, state: KeyState, verify_until: int | None) -> Self:
        public = jwk.as_dict(private=False)
        # RFC 7638, section 3.2, and RFC 8037, section 2: these three members and no others.
        return cls(thumbprint({name: public[name] for name in ("crv", "kty", "x")}), state, jwk, verify_until)

    @property
    def can_sign(self) -> bool:
        return self.jwk.is_private

    def private_bytes(self) -> bytes:
        """The 32 secret bytes, for a SecretBox. Raises ValueError when only the public half is known."""
        private = self.jwk.private_key
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError("this key has no private half")
        return private.private_bytes_raw()

    def public_bytes(self) -> bytes:
        public = self.jwk.public_key
        assert isinstance(public, Ed25519PublicKey)
        return public.public_bytes_raw()

    def public_jwk(self) -> dict[str, str]:
        """The entry of the JWKS (RFC 7517, section 4)."""
        public = self.jwk.as_dict(private=False)
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": str(public["x"]),
            "kid": self.kid,
            "use": "sig",
            "alg": "EdDSA",
        }

    def seal(self, box: SecretBox) -> str:
        """The private half as text to store; it opens only under this kid."""
        return box.seal(self.private_bytes(), f"signing-key/{self.kid}")

    @classmethod
    def unseal(
        cls, sealed: str, kid: str, state: KeyState, box: SecretBox, verify_until: int | None = None
    ) -> Self:
        """What `seal` made. Raises WrongSecret or SealedDataUnreadable."""
        return cls.from_private_bytes(box.open(sealed, f"signing-key/{kid}"), state, verify_until)


class KeyRing:
    """The keys of this moment, shared by the issuer, the verifier and the JWKS.

    The ring is replaced whole (`replace`) when the stored keys have changed; one assignment, so a reader sees either the
    old keys or the new ones.
    """

    def __init__(self, keys: Iterable[SigningKey]) -> None:
        """Raises ValueError for a repeated kid, two active keys, or too many keys."""
        self._keys = _checked(keys)

    def replace(self, keys: Iterable[SigningKey]) -> None:
        self._keys = _checked(keys)

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        return tuple(self._keys.values())

    def active(self) -> SigningKey:
        """The key that signs. Raises LookupError when none can (a process that only verifies)."""
        for key in self._keys.values():
            if key.state == "active" and key.can_sign:
                return key
        raise LookupError("no active signing key")

    def verifying(self, kid: str, now: float) -> SigningKey | None:
        """The key of this kid, unless it is unknown or its last token has expired by `now` (Unix seconds)."""
        key = self._keys.get(kid)
        if key is None or (key.verify_until is not None and now >= key.verify_until):
            return None
        return key

    def jwks(self, now: float) -> dict[str, list[dict[str, str]]]:
        """All public keys that may still verify a token, the active one first (RFC 7517, section 5)."""
        order = {"active": 0, "next": 1, "retired": 2}
        alive = (key for key in self._keys.values() if self.verifying(key.kid, now) is not None)
        return {"keys": [key.public_jwk() for key in sorted(alive, key=lambda key: order[key.state])]}

    @classmethod
    def from_jwks(cls, document: dict[str, Any]) -> Self:
        """A ring that only verifies, from the JWKS of the server that signs; keys of other kinds are left out.

        Raises ValueError when no usable key is left.
        """
        found: dict[str, SigningKey] = {}
        for jwk in document.get("keys", [])[:MAX_JWKS_KEYS]:
            try:
                key = SigningKey.from_public_jwk(jwk)
            except (ValueError, AttributeError):
                continue
            found[key.kid] = key
        if not found:
            raise ValueError("the JWKS holds no Ed25519 signing key")
        return cls(found.values())


def rotate(keys: Iterable[SigningKey], now: float, token_lifetime_seconds: float) -> list[SigningKey]:
    """The keys after one rotation: `next` signs, `active` retires, a fresh `next` is published.

    The retired key verifies until the last token that it signed has expired; keys past that are left out. Without a
    `next` key (the first run) the new active key is made on the spot.
    token_lifetime_seconds: how long an access token lives, the allowed clock skew included.
    """
    kept: list[SigningKey] = []
    promoted: SigningKey | None = None
    for key in keys:
        if key.state == "next" and promoted is None:
            promoted = replace(key, state="active")
        elif key.state == "active":
            kept.append(replace(key, state="retired", verify_until=int(now + token_lifetime_seconds) + 1))
        elif key.state == "next" or key.verify_until is None or key.verify_until > now:
            kept.append(key)
    kept.append(promoted or SigningKey.generate("active"))
    if not any(key.state == "next" for key in kept):
        kept.append(SigningKey.generate("next"))
    return kept


def _checked(keys: Iterable[SigningKey]) -> dict[str, SigningKey]:
    found: dict[str, SigningKey] = {}
    for key in keys:
        if key.kid in found:
            raise ValueError("a signing key is given twice")
        found[key.kid] = key
    if len(found) > MAX_JWKS_KEYS:
        raise ValueError(f"more than {MAX_JWKS_KEYS} signing keys")
    if sum(key.state == "active" and key.can_sign for key in found.values()) > 1:
        raise ValueError("two signing keys are active")
    return found
