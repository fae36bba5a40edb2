"""Access tokens: JWTs signed with Ed25519, made by one server and verified by anyone who has its JWKS.

Sources: RFC 9068 (the profile: `typ`, claims), RFC 8725 (what to refuse), RFC 8037 (EdDSA).
The header says `EdDSA`, the name that gateways know, rather than `Ed25519` of RFC 9864. The reason for the newer name, a
curve that the name leaves open, does not arise: a kid stands for one Ed25519 key here, and nothing else is tried.
"""

import re
from datetime import timedelta
from typing import Any

from joserfc import jws
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry, decode, encode

from banyan.infra.auth.keys import KeyRing
from banyan.infra.auth.principal import Principal
from banyan.kernel.clock import Clock, SystemClock
from banyan.kernel.errors import Unauthenticated, Unavailable
from banyan.kernel.ids import is_id, new_id

ALGORITHM = "EdDSA"
TOKEN_TYPE = "at+jwt"  # noqa: S105 (a media type)
MAX_TOKEN_CHARS = 4096
MAX_LEEWAY = timedelta(seconds=60)
ROLES = frozenset({"user", "admin"})

_HEADER_NAMES = frozenset({"alg", "typ", "kid"})
# Three segments; an Ed25519 signature is 64 bytes, and its last character carries only two bits (no second spelling).
_COMPACT = re.compile(r"[A-Za-z0-9_-]{1,680}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{85}[AQgw]\Z")
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,64}\Z")


class _OneAlgorithm(JWSRegistry):
    """joserfc's registry, narrowed to the one algorithm. (Its own lookup warns that RFC 9864 renamed it: see above.)"""

    def get_alg(self, name: str) -> Any:
        if name != ALGORITHM:
            raise JoseError("another algorithm")
        return self.algorithms[ALGORITHM]


_REGISTRY = _OneAlgorithm(algorithms=[ALGORITHM])


class TokenIssuer:
    """Signs access tokens with the ring's active key."""

    def __init__(
        self,
        keys: KeyRing,
        *,
        issuer: str,
        audience: str,
        lifetime: timedelta = timedelta(minutes=10),
        clock: Clock | None = None,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._lifetime_seconds = int(lifetime.total_seconds())
        self._clock = clock or SystemClock()

    @property
    def issuer(self) -> str:
        """The `iss` of the tokens."""
        return self._issuer

    @property
    def lifetime_seconds(self) -> int:
        """What a login answers as `expires_in`."""
        return self._lifetime_seconds

    def issue(
        self, user_id: str, session_id: str, scopes: frozenset[str] = frozenset(), role: str = "user"
    ) -> tuple[str, int]:
        """A new token and its expiry in Unix seconds.

        scopes: OAuth 2.0 scope names. Raises ValueError for a name with a space or quote in it, and for an unknown role;
        LookupError when no key can sign.
        """
        if role not in ROLES or not all(_SCOPE.match(scope) for scope in scopes):
            raise ValueError("unknown role or malformed scope")
        key = self._keys.active()
        now = int(self._clock.now().timestamp())
        expires_at = now + self._lifetime_seconds
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": user_id,
            "sid": session_id,
            "scope": " ".join(sorted(scopes)),
            "role": role,
            "iat": now,
            "nbf": now,
            "exp": expires_at,
            "jti": new_id(),
        }
        header = {"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": key.kid}
        return encode(header, claims, key.jwk, registry=_REGISTRY, default_type=None), expires_at


class TokenVerifier:
    """Turns the text of an access token into a Principal, or refuses it. Pure: no I/O, no revocation check."""

    def __init__(
        self,
        keys: KeyRing,
        *,
        issuer: str,
        audience: str,
        leeway: timedelta = timedelta(seconds=30),
        clock: Clock | None = None,
    ) -> None:
        """leeway: by how much the clocks of two servers may differ; at most 60 s (ValueError otherwise)."""
        if not timedelta(0) <= leeway <= MAX_LEEWAY:
            raise ValueError("the leeway must be between 0 and 60 seconds")
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._leeway = int(leeway.total_seconds())
        self._clock = clock or SystemClock()

    @property
    def leeway_seconds(self) -> int:
        return self._leeway

    def verify(self, token: str) -> Principal:
        """The principal of a token that this server (or its JWKS) signed, for this audience, for now.

        Raises Unauthenticated otherwise: `access_token_expired` in its facts' `reason` when it was ours and is merely
        too old, `access_token_invalid` for everything else. More is not said: it would only help a forger.
        Raises Unavailable while no key is known, as in a service that has just started.
        """
        if not self._keys.keys:
            raise Unavailable("The keys that tokens are verified with are not known yet.")
        now = int(self._clock.now().timestamp())
        try:
            claims = self._claims(token, now)
            return self._principal(claims)
        except ExpiredTokenError as error:
            raise expired_token() from error
        # RecursionError: a header or payload that is nothing but brackets.
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise invalid_token() from error

    def _claims(self, token: str, now: int) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_CHARS or not _COMPACT.match(token):
            raise ValueError("not a compact JWS of a size that we make")
        header = jws.extract_compact(token.encode("ascii"), registry=_REGISTRY).headers()
        # Exactly the three members that we write. So `jku`, `jwk`, `x5u`, `x5c`, `crit`, `b64`, … never reach any code
        # that could follow them (RFC 8725, sections 3.1, 3.10 and 3.11).
        if header.keys() != _HEADER_NAMES or header["alg"] != ALGORITHM or header["typ"] != TOKEN_TYPE:
            raise ValueError("not the header of an access token")
        kid = header["kid"]
        key = self._keys.verifying(kid, now - self._leeway) if isinstance(kid, str) else None
        if key is None:
            raise ValueError("unknown kid")
        claims = decode(token, key.jwk, registry=_REGISTRY).claims
        JWTClaimsRegistry(
            now=now,
            leeway=self._leeway,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._audience},
            exp={"essential": True},
            nbf={"essential": True},
            iat={"essential": True},
            jti={"essential": True},
        ).validate(claims)
        return claims

    def _principal(self, claims: dict[str, Any]) -> Principal:
        user_id, session_id, scope, role = claims["sub"], claims["sid"], claims["scope"], claims["role"]
        if not (isinstance(session_id, str) and isinstance(scope, str) and isinstance(role, str)):
            raise ValueError("a claim of another type")
        if not is_id(user_id) or not is_id(session_id) or role not in ROLES:
            raise ValueError("a claim that we do not write")
        return Principal(user_id, session_id, frozenset(scope.split()), role, int(claims["exp"]))


def expired_token() -> Unauthenticated:
    return Unauthenticated("The access token has expired; refresh it.", reason="access_token_expired")


def invalid_token() -> Unauthenticated:
    return Unauthenticated("The access token is invalid; log in again.", reason="access_token_invalid")
