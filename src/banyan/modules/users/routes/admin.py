"""Accounts, for administrators, over HTTP."""

from dataclasses import asdict
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from banyan.infra.auth.cursors import CursorSigner
from banyan.infra.http.access import Administrator
from banyan.infra.http.fields import Body, Text
from banyan.infra.http.route import problems, router
from banyan.kernel.ids import is_id
from banyan.modules.users.contract import Account, UserNotFound
from banyan.modules.users.routes.views import EXAMPLE_ID, ManagedAccount
from banyan.modules.users.service.administration import Administration

UserId = Annotated[str, Path(description="The user's id.", examples=[EXAMPLE_ID])]


class AccountQuery(Body):
    q: Text | None = Field(
        None, max_length=200, description="Only accounts whose name or address holds this."
    )
    limit: int = Field(100, ge=1, le=200, description="The most accounts of a page.")
    cursor: Text | None = Field(None, max_length=2048, description="From a `Link` header: the next page.")


def admin_router(administration: Administration, cursors: CursorSigner) -> APIRouter:
    api = router("admin")

    @api.get(
        "/admin/users",
        summary="List accounts",
        responses={
            200: {
                "headers": {
                    "Link": {"description": 'The next page, `rel="next"`.', "schema": {"type": "string"}}
                }
            },
            **problems(401, 403),
        },
    )
    async def list_accounts(
        admin: Administrator, query: Annotated[AccountQuery, Query()], request: Request, response: Response
    ) -> list[ManagedAccount]:
        """Newest first. The `Link` header leads to the next page."""
        purpose = f"admin/users?q={query.q or ''}"
        before = cursors.open(purpose, admin.user_id, query.cursor)[0] if query.cursor else None
        found = await administration.listed(query=query.q, before=before, limit=query.limit + 1)
        page = found[: query.limit]
        if len(found) > query.limit:
            cursor = cursors.sign(purpose, admin.user_id, [page[-1].id])
            following = urlencode(
                {**({"q": query.q} if query.q else {}), "limit": query.limit, "cursor": cursor}
            )
            response.headers["link"] = (
                f'<{request.scope["banyan.base_url"]}/admin/users?{following}>; rel="next"'
            )
        return [_shown(account) for account in page]

    @api.post(
        "/admin/users/{user_id}/disable", summary="Disable an account", responses=problems(401, 403, 404, 409)
    )
    async def disable(admin: Administrator, user_id: UserId) -> ManagedAccount:
        """Ends all its sessions and refuses new ones; nothing of it is deleted. Repeating it changes nothing."""
        return _shown(
            await administration.disable(_known(user_id), actor=admin.session_id, own_id=admin.user_id)
        )

    @api.post("/admin/users/{user_id}/enable", summary="Enable an account", responses=problems(401, 403, 404))
    async def enable(admin: Administrator, user_id: UserId) -> ManagedAccount:
        return _shown(await administration.enable(_known(user_id), actor=admin.session_id))

    return api


def _known(user_id: str) -> str:
    """What is no id is nobody's id (nor an address: those do not belong in URLs, which are logged)."""
    if not is_id(user_id.lower()):
        raise UserNotFound()
    return user_id.lower()


def _shown(account: Account) -> ManagedAccount:
    return ManagedAccount(**asdict(account))
