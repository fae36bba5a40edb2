"""Service tokens: how one service of Banyan proves to another who it is, and is answered with a proof.

A call carries a token that is good for this one request: its caller, its callee, its method, its path and its body are
in it, and it lives for 30 seconds. The answer carries a proof over the token's id, the status and the body. Both need
the secret that the services share, so each side knows that the other is one of them, on a network that nobody trusts.

Sources: RFC 7519 (JWT), RFC 8725 (what to refuse); the claims `htm` and `htu` are those of RFC 9449 (DPoP).
"""

import hmac
from dataclasses import dataclass
from hashlib import sha256

from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from joserfc.jwt import JWTClaimsRegistry, decode, encode

from banyan.infra.auth.derive import derive_key
from banyan.kernel.clock import Clock
from banyan.kernel.errors import Unauthenticated
from banyan.kernel.ids import new_id

TOKEN_TYPE = "service+jwt"  # noqa: S105 (a media type)
ALGORITHM = "HS256"
LIFETIME_SECONDS = 30
LEEWAY_SECONDS = 30
TOKEN_HEADER = "Banyan-Service-Token"  # noqa: S105 (the name of a header)
PROOF_HEADER = "Banyan-Service-Proof"


@dataclass(frozen=True, slots=True)
class ServiceCall:
    """A verified call. caller: the service that makes it. id: of its token, which the answer's proof is over."""

    caller: str
    id: str


class ServiceTokens:
    """name: who this process is to other services."""

    def __init__(self, secret: str, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._token_key = OctKey.import_key(derive_key(secret, "service-token"))
        self._proof_key = derive_key(secret, "service-proof")

    def issue(self, audience: str, method: str, path: str, body: bytes) -> tuple[str, str]:
        """A token for one request to the service `audience`, and the token's id."""
        now = int(self._clock.now().timestamp())
        token_id = new_id()
        claims = {
            "iss": self._name,
            "aud": audience,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            "jti": token_id,
            "htm": method,
            "htu": path,
            "body": sha256(body).hexdigest(),
        }
        header = {"alg": ALGORITHM, "typ": TOKEN_TYPE}
        return encode(header, claims, self._token_key, default_type=None), token_id

    def verify(self, token: str | None, audience: str, method: str, path: str, body: bytes) -> ServiceCall:
        """The call that a token was made for. Raises Unauthenticated for every other token."""
        if token is None:
            raise Unauthenticated("Only services of this installation may call this.")
        try:
            decoded = decode(token, self._token_key, algorithms=[ALGORITHM])
            if decoded.header.get("typ") != TOKEN_TYPE:
                raise ValueError("not a service token")
            JWTClaimsRegistry(
                now=int(self._clock.now().timestamp()),
                leeway=LEEWAY_SECONDS,
                iss={"essential": True},
                aud={"essential": True, "value": audience},
                iat={"essential": True},
                exp={"essential": True},
                jti={"essential": True},
                htm={"essential": True, "value": method},
                htu={"essential": True, "value": path},
                body={"essential": True, "value": sha256(body).hexdigest()},
            ).validate(decoded.claims)
            return ServiceCall(str(decoded.claims["iss"]), str(decoded.claims["jti"]))
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise Unauthenticated("The service token is not good for this request.") from error

    def prove(self, call_id: str, status: int, body: bytes) -> str:
        """What the answer to a call carries: only a service of this installation can make it."""
        message = f"{call_id}\n{status}\n{sha256(body).hexdigest()}".encode()
        return hmac.new(self._proof_key, message, sha256).hexdigest()

    def is_proven(self, proof: str | None, call_id: str, status: int, body: bytes) -> bool:
        return proof is not None and hmac.compare_digest(proof, self.prove(call_id, status, body))
