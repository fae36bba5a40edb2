"""Who may call an operation. Every route declares one of these rules; the test run fails for one that does not.

public          anybody
Caller          a signed-in user; the operation sees only what belongs to them
Administrator   a signed-in user whose role is admin
Service         another service of this installation; see internal.py
"""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import OAuth2PasswordBearer

from banyan.infra.auth.principal import Principal
from banyan.infra.auth.revocations import Revocations
from banyan.infra.auth.token_cache import VerifiedTokenCache
from banyan.infra.resilience.rate_limit import Rate, RateLimiter, refused
from banyan.kernel.errors import Forbidden, Unauthenticated

SERVICE_CALL = "banyan.service_call"
"""The key of a verified ServiceCall in the request's scope."""

_oauth2 = OAuth2PasswordBearer(
    tokenUrl="/auth/token", refreshUrl="/auth/token", scheme_name="password", auto_error=False
)


class Gate:
    """Tells who is asking, from the access token alone, and lets each user in so often."""

    def __init__(
        self, tokens: VerifiedTokenCache, revocations: Revocations, limiter: RateLimiter, user_rate: Rate
    ) -> None:
        self._tokens = tokens
        self._revocations = revocations
        self._limiter = limiter
        self._user_rate = user_rate

    async def admit(self, authorization: str | None) -> Principal:
        """The principal of a request, which counts against its user's rate. Raises Unauthenticated, RateLimited."""
        principal = self.principal_of(authorization)
        decision = await self._limiter.take(f"user:{principal.user_id}", self._user_rate)
        if not decision.allowed:
            raise refused("user", self._user_rate, decision)
        return principal

    def principal_of(self, authorization: str | None) -> Principal:
        """The principal of an Authorization header. Raises Unauthenticated."""
        if authorization is None:
            raise Unauthenticated()
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send the access token as `Authorization: Bearer …`.")
        principal = self._tokens.verify(token)
        self.refuse_revoked(principal)
        return principal

    def known(self, authorization: bytes) -> Principal | None:
        """The principal of an Authorization header that was let in before; None when only `admit` can tell."""
        if authorization[:7] != b"Bearer ":
            return None
        principal = self._tokens.known(authorization[7:].decode("latin-1"))
        if principal is None or self._revocations.is_revoked(principal.session_id):
            return None
        return principal

    def count_at_once(self, principal: Principal) -> bool:
        """Whether a request of the principal is within its rate, and counted; when it is not, only `admit` can tell."""
        return self._limiter.take_at_once(f"user:{principal.user_id}", self._user_rate)

    def refuse_revoked(self, principal: Principal) -> None:
        """Raises Unauthenticated when the principal's session has ended meanwhile."""
        if self._revocations.is_revoked(principal.session_id):
            raise Unauthenticated("This session has ended: log in again.")


async def public() -> None:
    """Anybody may call this."""


async def signed_in(
    request: Request, _documented: Annotated[str | None, Depends(_oauth2)] = None
) -> Principal:
    return await request.scope["banyan.gate"].admit(request.headers.get("authorization"))


async def administrator(principal: Annotated[Principal, Security(signed_in)]) -> Principal:
    if not principal.is_admin:
        raise Forbidden("Only administrators may do this.")
    return principal


async def service(request: Request) -> None:
    """Only for routes of `internal.py`, which verify the call; on any other it lets nobody in."""
    if SERVICE_CALL not in request.scope:
        raise Unauthenticated("Only services of this installation may call this.")


Public = Depends(public)
Service = Depends(service)
Caller = Annotated[Principal, Security(signed_in)]
Administrator = Annotated[Principal, Security(administrator)]
