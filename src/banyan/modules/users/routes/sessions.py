"""Logging in and out, and the list of sessions, over HTTP."""

import re
from typing import Annotated

from fastapi import APIRouter, Form, Path, Request, Response

from banyan.infra.http.access import Caller, Gate, Public
from banyan.infra.http.lane import needs_a_hash
from banyan.infra.http.route import problems, router
from banyan.kernel.errors import FieldError, InvalidInput
from banyan.modules.users.model import TICKET_LIFETIME, Client, Grant, InvalidRefreshToken
from banyan.modules.users.routes.cookies import Cookies
from banyan.modules.users.routes.views import (
    EXAMPLE_ID,
    Login,
    Logout,
    OAuthTokens,
    Refresh,
    SessionView,
    Ticket,
    TokenRequest,
    Tokens,
)
from banyan.modules.users.service.sessions import Sessions
from banyan.modules.users.service.tickets import Tickets

SessionId = Annotated[str, Path(description="The session's id.", examples=[EXAMPLE_ID])]
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def session_router(sessions: Sessions, tickets: Tickets, cookies: Cookies) -> APIRouter:
    api = router("auth")

    @api.post("/auth/login", summary="Log in", dependencies=[Public], responses=problems(401, 403, 413, 415))
    @needs_a_hash
    async def log_in(body: Login, request: Request, response: Response) -> Tokens:
        """A new session.

        401 `invalid_credentials` for a wrong password and for an unknown address alike; 403 `account_disabled` after the
        right password of a disabled account; 429 after too many wrong ones.
        """
        client = _client(request, cookies, body.device)
        grant = await sessions.log_in(body.email, body.password, client)
        return _deliver(grant, request, response, by_cookie=body.delivery == "cookie")

    @api.post(
        "/auth/refresh", summary="Refresh", dependencies=[Public], responses=problems(401, 403, 413, 415)
    )
    async def refresh(request: Request, response: Response, body: Refresh | None = None) -> Tokens:
        """The session's next access and refresh token; the refresh token that was sent is used up.

        Sent again within ten seconds it gets the same answer (two tabs, a lost answer). Sent again later it was stolen,
        or its successor was: the session ends.
        """
        sent = body.refresh_token if body is not None else None
        token = sent or cookies.refresh_token(request)
        if token is None:
            raise InvalidRefreshToken(
                "Send `refresh_token`, or the cookie of a login with `delivery: cookie`."
            )
        grant = await sessions.refresh(token, _client(request, cookies))
        return _deliver(grant, request, response, by_cookie=sent is None)

    @api.post(
        "/auth/logout",
        summary="Log out",
        status_code=204,
        dependencies=[Public],
        responses=problems(401, 403, 413, 415),
    )
    async def log_out(request: Request, body: Logout | None = None) -> Response:
        """Ends the session of the refresh token (in the body or the cookie), else that of the access token."""
        token = (body.refresh_token if body is not None else None) or cookies.refresh_token(request)
        if token is not None:
            await sessions.log_out_by(token)
        else:
            gate: Gate = request.scope["banyan.gate"]
            principal = gate.principal_of(request.headers.get("authorization"))
            await sessions.log_out(principal.user_id, principal.session_id)
        response = Response(status_code=204)
        cookies.forget_refresh_token(request, response)
        return response

    @api.post(
        "/auth/token",
        summary="Get tokens (OAuth 2.0)",
        dependencies=[Public],
        responses=problems(401, 403, 413, 415),
    )
    async def token(body: Annotated[TokenRequest, Form()], request: Request) -> OAuthTokens:
        """The password and refresh token grants of OAuth 2.0, for Swagger and for clients that log in by convention."""
        client = _client(request, cookies)
        if body.grant_type == "password":
            grant = await sessions.log_in(
                _needed(body.username, "username"), _needed(body.password, "password"), client
            )
        else:
            grant = await sessions.refresh(_needed(body.refresh_token, "refresh_token"), client)
        return OAuthTokens(
            access_token=grant.access_token,
            expires_in=grant.expires_in,
            refresh_token=grant.refresh_token,
            scope=grant.scope,
        )

    @api.post("/auth/ticket", summary="Get a ticket for a socket", status_code=201, responses=problems(401))
    async def ticket(caller: Caller) -> Ticket:
        """Works once, within 30 seconds: `/ws?ticket=…`. So no token stands in a URL."""
        return Ticket(ticket=await tickets.issue(caller), expires_in=int(TICKET_LIFETIME.total_seconds()))

    @api.get("/auth/sessions", summary="List sessions", responses=problems(401))
    async def list_sessions(caller: Caller) -> list[SessionView]:
        """Where you are logged in, the last used first."""
        return [
            SessionView(
                id=session.id,
                device=session.device,
                address=session.address,
                created_at=session.created_at,
                last_used_at=session.last_used_at,
                expires_at=session.expires_at,
                current=session.id == caller.session_id,
            )
            for session in await sessions.of(caller.user_id)
        ]

    @api.delete("/auth/sessions", summary="End all other sessions", status_code=204, responses=problems(401))
    async def revoke_others(caller: Caller) -> Response:
        await sessions.revoke_others(caller.user_id, caller.session_id)
        return Response(status_code=204)

    @api.delete(
        "/auth/sessions/{session_id}", summary="End a session", status_code=204, responses=problems(401, 404)
    )
    async def revoke(caller: Caller, session_id: SessionId) -> Response:
        """Its tokens stop working, and its open streams close."""
        await sessions.revoke(caller.user_id, session_id.lower(), actor=caller.session_id)
        return Response(status_code=204)

    def _deliver(grant: Grant, request: Request, response: Response, *, by_cookie: bool) -> Tokens:
        if by_cookie:
            cookies.keep_refresh_token(request, response, grant.refresh_token, grant.refresh_seconds)
        if grant.known_device is not None:
            cookies.keep_known_device(request, response, grant.known_device)
        return Tokens(
            access_token=grant.access_token,
            expires_in=grant.expires_in,
            refresh_token=None if by_cookie else grant.refresh_token,
            session_id=grant.session_id,
            user_id=grant.user_id,
        )

    return api


def _client(request: Request, cookies: Cookies, device: str | None = None) -> Client:
    named = device or request.headers.get("user-agent") or "Unknown device"
    shown = " ".join(_UNPRINTABLE.sub(" ", named).split())[:200] or "Unknown device"
    return Client(request.scope["banyan.address"], shown, cookies.known_device(request))


def _needed(value: str | None, name: str) -> str:
    """A parameter that its grant type needs."""
    if value is None:
        raise InvalidInput(errors=[FieldError(f"/{name}", "is needed for this `grant_type`")])
    return value
