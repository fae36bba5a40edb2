"""The keys that other services and gateways verify access tokens with, where they look for them."""

from fastapi import APIRouter, Request, Response

from banyan.infra.auth.keys import KeyRing
from banyan.infra.auth.tokens import ALGORITHM
from banyan.infra.http.access import Public
from banyan.infra.http.route import problems, router
from banyan.kernel.clock import Clock
from banyan.modules.users.model import ADMIN_SCOPES
from banyan.modules.users.routes.views import Discovery, JsonWebKey, JsonWebKeys

# The next key is published long before it signs, so a copy of some minutes' age still knows every key in use.
CACHE = "public, max-age=300"


def well_known_router(keys: KeyRing, clock: Clock, *, issuer: str) -> APIRouter:
    """issuer: the `iss` of the access tokens."""
    api = router("auth")

    @api.get("/.well-known/jwks.json", summary="Public keys", dependencies=[Public], responses=problems())
    async def jwks(response: Response) -> JsonWebKeys:
        """All keys that may have signed a living token, and the next one. During a rotation there are several."""
        response.headers["cache-control"] = CACHE
        return JsonWebKeys(keys=[JsonWebKey(**key) for key in keys.jwks(clock.now().timestamp())["keys"]])

    @api.get(
        "/.well-known/openid-configuration", summary="Discovery", dependencies=[Public], responses=problems()
    )
    async def discovery(request: Request, response: Response) -> Discovery:
        base_url = request.scope["banyan.base_url"]
        response.headers["cache-control"] = CACHE
        return Discovery(
            issuer=issuer,
            jwks_uri=f"{base_url}/.well-known/jwks.json",
            token_endpoint=f"{base_url}/auth/token",
            # None: there is no authorization endpoint, and no ID token; what follows is required by the standard.
            response_types_supported=[],
            grant_types_supported=["password", "refresh_token"],
            subject_types_supported=["public"],
            id_token_signing_alg_values_supported=[ALGORITHM],
            token_endpoint_auth_methods_supported=["none"],
            scopes_supported=sorted(ADMIN_SCOPES),
            claims_supported=["iss", "aud", "sub", "sid", "scope", "role", "iat", "nbf", "exp", "jti"],
        )

    return api
