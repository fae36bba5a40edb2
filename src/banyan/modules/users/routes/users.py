"""Accounts over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from banyan.infra.http.access import Caller, Public
from banyan.infra.http.lane import needs_a_hash
from banyan.infra.http.route import problems, router
from banyan.modules.users.contract import UserNotFound
from banyan.modules.users.model import Client
from banyan.modules.users.routes.views import (
    EXAMPLE_ID,
    Accepted,
    Deletion,
    PasswordChange,
    Profile,
    ProfilePatch,
    Registration,
)
from banyan.modules.users.service.accounts import Accounts
from banyan.modules.users.service.passwords import Passwords

UserId = Annotated[str, Path(description="The user's id.", examples=[EXAMPLE_ID])]
_LOCATION = {"Location": {"description": "Its address.", "schema": {"type": "string", "format": "uri"}}}


def user_router(accounts: Accounts, passwords: Passwords) -> APIRouter:
    api = router("users")

    @api.post(
        "/users/",
        summary="Register",
        status_code=201,
        dependencies=[Public],
        responses={201: {"headers": _LOCATION}, **problems(409, 413, 415)},
    )
    @needs_a_hash
    async def register(body: Registration, request: Request, response: Response) -> Profile:
        """A new account. A mail asks its owner to confirm the address."""
        account = await accounts.register(
            Client(request.scope["banyan.address"]),
            name=body.name,
            email=body.email,
            password=body.password,
            locale=body.locale,
            time_zone=body.time_zone,
        )
        response.headers["location"] = f"{request.scope['banyan.base_url']}/users/{account.id}"
        return Profile(**account.profile())

    @api.get("/users/me", summary="Read your profile", responses=problems(401, 404))
    async def read_me(caller: Caller) -> Profile:
        return Profile(**(await accounts.get(caller.user_id)).profile())

    @api.patch("/users/me", summary="Change your profile", responses=problems(401, 403, 404, 409, 413, 415))
    async def change_me(caller: Caller, body: ProfilePatch) -> Profile:
        """Merge patch (RFC 7396): what you leave out stays. A wrong `current_password` answers 403 `wrong_password`."""
        changes = body.model_dump(exclude_unset=True, exclude={"current_password"})
        account = await accounts.change(
            caller.user_id, changes, current_password=body.current_password, actor=caller.session_id
        )
        return Profile(**account.profile())

    @api.delete(
        "/users/me",
        summary="Delete your account",
        status_code=204,
        responses=problems(401, 403, 404, 413, 415),
    )
    async def delete_me(caller: Caller, body: Deletion) -> Response:
        """Erases the account and all that belongs to it, for good; the address becomes free."""
        await accounts.delete(caller.user_id, body.password, actor=caller.session_id)
        return Response(status_code=204)

    @api.post(
        "/users/me/password",
        summary="Change your password",
        status_code=204,
        responses=problems(401, 403, 404, 413, 415),
    )
    async def change_password(caller: Caller, body: PasswordChange) -> Response:
        """All your other sessions end, and a mail tells you."""
        await passwords.change(
            caller.user_id, current=body.current_password, new=body.new_password, session_id=caller.session_id
        )
        return Response(status_code=204)

    @api.post(
        "/users/me/verification",
        summary="Send the confirmation mail again",
        status_code=202,
        responses=problems(401, 404, 409),
    )
    async def send_verification(caller: Caller) -> Accepted:
        """409 `already_verified` when there is nothing to confirm."""
        await accounts.send_verification(caller.user_id)
        return Accepted()

    @api.get("/users/{user_id}", summary="Read a profile", responses=problems(401, 404))
    async def read_user(caller: Caller, user_id: UserId) -> Profile:
        """Your own. Another person's id answers exactly like an unknown one."""
        if user_id.lower() != caller.user_id:
            raise UserNotFound()
        return Profile(**(await accounts.get(caller.user_id)).profile())

    return api
