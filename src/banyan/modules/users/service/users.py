"""The face of this module: what other modules (`Users`) and the command line (`UserAdministration`) may call."""

from collections.abc import Sequence

from banyan.infra.auth.principal import Principal
from banyan.infra.auth.sessions import HELD_SECONDS, SessionNews
from banyan.modules.users.contract import Account, MailAddress, SigningKeyInfo
from banyan.modules.users.service.accounts import Accounts
from banyan.modules.users.service.administration import OPERATOR, Administration
from banyan.modules.users.service.endings import EndingsWatch
from banyan.modules.users.service.signing_keys import SigningKeys
from banyan.modules.users.service.tickets import Tickets


class UsersService:
    """Users and UserAdministration of the contract, in this process."""

    def __init__(
        self,
        accounts: Accounts,
        tickets: Tickets,
        administration: Administration,
        signing_keys: SigningKeys,
        endings: EndingsWatch,
    ) -> None:
        self._accounts = accounts
        self._tickets = tickets
        self._administration = administration
        self._signing_keys = signing_keys
        self._endings = endings

    async def exists(self, user_id: str) -> bool:
        return await self._accounts.exists(user_id)

    async def existing(self, user_ids: Sequence[str]) -> set[str]:
        return await self._accounts.existing(user_ids)

    async def mail_address(self, user_id: str) -> MailAddress | None:
        return await self._accounts.mail_address(user_id)

    async def redeem_ticket(self, ticket: str) -> Principal:
        return await self._tickets.redeem(ticket)

    async def session_news(self, since: str | None, *, seen: str | None = None) -> SessionNews:
        if seen == self._edition():
            await self._endings.wait_for_news(HELD_SECONDS)
        # The moment and the edition first: what is committed while we read is told the next time too.
        (upto, keys), edition = self._signing_keys.published(), self._edition()
        return SessionNews(keys, await self._endings.ended_since(since), upto, edition)

    def _edition(self) -> str:
        _, keys = self._signing_keys.published()
        return " ".join([self._endings.edition, *(key["kid"] for key in keys["keys"])])

    async def create_admin(self, *, name: str, email: str, password: str) -> tuple[Account, bool]:
        return await self._administration.create_admin(name=name, email=email, password=password)

    async def create_user(self, *, name: str, email: str, password: str) -> Account:
        return await self._administration.create_user(name=name, email=email, password=password)

    async def find_user(self, who: str) -> Account:
        return await self._administration.find(who)

    async def list_users(
        self, *, query: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[Account]:
        return await self._administration.listed(query=query, before=before, limit=limit)

    async def disable_user(self, who: str) -> Account:
        return await self._administration.disable(who, actor=OPERATOR)

    async def enable_user(self, who: str) -> Account:
        return await self._administration.enable(who, actor=OPERATOR)

    async def set_password(self, who: str, password: str) -> Account:
        return await self._administration.set_password(who, password)

    async def list_keys(self) -> list[SigningKeyInfo]:
        return await self._signing_keys.listed()

    async def rotate_keys(self, *, withdraw: bool = False) -> list[SigningKeyInfo]:
        return await self._signing_keys.rotate(withdraw=withdraw)
