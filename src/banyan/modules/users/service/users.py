"""The face of this module: what other modules (`Users`) and the command line (`UserAdministration`) may call."""

from banyan.infra.auth.principal import Principal
from banyan.modules.users.contract import Account, SigningKeyInfo
from banyan.modules.users.service.accounts import Accounts
from banyan.modules.users.service.administration import OPERATOR, Administration
from banyan.modules.users.service.signing_keys import SigningKeys
from banyan.modules.users.service.tickets import Tickets


class UsersService:
    """Users and UserAdministration of the contract, in this process."""

    def __init__(
        self, accounts: Accounts, tickets: Tickets, administration: Administration, signing_keys: SigningKeys
    ) -> None:
        self._accounts = accounts
        self._tickets = tickets
        self._administration = administration
        self._signing_keys = signing_keys

    async def exists(self, user_id: str) -> bool:
        return await self._accounts.exists(user_id)

    async def redeem_ticket(self, ticket: str) -> Principal:
        return await self._tickets.redeem(ticket)

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
