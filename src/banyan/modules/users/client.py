"""Users over HTTP: the contract, asked of the service that serves it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from banyan.infra.auth.principal import Principal
from banyan.infra.auth.sessions import EndedSession, SessionNews
from banyan.infra.db.coalescer import Coalescer
from banyan.kernel.errors import Unauthenticated
from banyan.modules.users.contract import InvalidTicket, MailAddress

if TYPE_CHECKING:
    from banyan.infra.services.client import ServiceClient


class UsersClient:
    """contract.Users; every method raises Unavailable too."""

    def __init__(self, client: "ServiceClient") -> None:
        self._client = client
        self._questions: Coalescer[str, bool] = Coalescer(self._exist)

    async def exists(self, user_id: str) -> bool:
        return await self._questions.submit(user_id)

    async def existing(self, user_ids: Sequence[str]) -> set[str]:
        return set((await self._client.ask("existing", {"user_ids": list(user_ids)}))["user_ids"])

    async def mail_address(self, user_id: str) -> MailAddress | None:
        found = (await self._client.ask("mail-address", {"user_id": user_id}))["address"]
        return None if found is None else MailAddress(**found)

    async def redeem_ticket(self, ticket: str) -> Principal:
        errors = {InvalidTicket.code: InvalidTicket, Unauthenticated.code: Unauthenticated}
        facts = await self._client.ask("redeem-ticket", {"ticket": ticket}, errors)
        return Principal(**{**facts, "scopes": frozenset(facts["scopes"])})

    async def session_news(self, since: str | None, *, seen: str | None = None) -> SessionNews:
        news = await self._client.ask("session-news", {"since": since, "seen": seen})
        return SessionNews(**{**news, "ended": [EndedSession(**ended) for ended in news["ended"]]})

    async def _exist(self, user_ids: Sequence[str]) -> list[bool]:
        found = await self.existing(user_ids)
        return [user_id in found for user_id in user_ids]
