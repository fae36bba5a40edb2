"""Getting back in, and confirming an address: what the links in mails lead to, over HTTP."""

from fastapi import APIRouter, Request, Response

from banyan.infra.http.access import Public
from banyan.infra.http.route import problems, router
from banyan.modules.users.model import Client
from banyan.modules.users.routes.views import Accepted, ForgottenPassword, PasswordReset, Verification
from banyan.modules.users.service.accounts import Accounts
from banyan.modules.users.service.passwords import Passwords


def recovery_router(accounts: Accounts, passwords: Passwords) -> APIRouter:
    api = router("auth")

    @api.post(
        "/auth/forgot",
        summary="Ask for another password",
        status_code=202,
        dependencies=[Public],
        responses=problems(413, 415),
    )
    async def forgot(body: ForgottenPassword, request: Request) -> Accepted:
        """Sends a link to the address, if there is such an account. The answer does not tell."""
        await passwords.request_reset(body.email, Client(request.scope["banyan.address"]))
        return Accepted()

    @api.post(
        "/auth/reset",
        summary="Set another password",
        status_code=204,
        dependencies=[Public],
        responses=problems(413, 415),
    )
    async def reset(body: PasswordReset, request: Request) -> Response:
        """With the token of the mail, which works once within an hour; otherwise 422 `invalid_token`. Ends all sessions."""
        await passwords.reset(body.token, body.new_password, Client(request.scope["banyan.address"]))
        return Response(status_code=204)

    @api.post(
        "/auth/verify",
        summary="Confirm an address",
        status_code=204,
        dependencies=[Public],
        responses=problems(413, 415),
    )
    async def verify(body: Verification) -> Response:
        """With the token of the mail, which works once within 48 hours; otherwise 422 `invalid_token`."""
        await accounts.verify(body.token)
        return Response(status_code=204)

    return api
