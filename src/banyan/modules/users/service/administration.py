"""What administrators do over HTTP, and operators with the command line."""

from dataclasses import replace

from banyan.infra.auth.passwords import PasswordHasher
from banyan.infra.db.shards import GLOBAL, Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.log import EventLog
from banyan.kernel.clock import Clock, now_text
from banyan.kernel.events import NewEvent
from banyan.kernel.ids import is_id
from banyan.modules.users import contract
from banyan.modules.users.contract import Account, Role, UserNotFound
from banyan.modules.users.model import OwnAccount, email_key
from banyan.modules.users.service.accounts import Accounts
from banyan.modules.users.service.endings import SessionEndings
from banyan.modules.users.service.letters import Letters
from banyan.modules.users.service.passwords import Passwords
from banyan.modules.users.store import accounts as store
from banyan.modules.users.store import tokens

OPERATOR = "operator"


class Administration:
    """Methods that take `who` accept an id or an e-mail address, and raise UserNotFound. actor: the session that asks,
    or `operator`."""

    def __init__(
        self,
        shards: Shards,
        log: EventLog,
        clock: Clock,
        *,
        hasher: PasswordHasher,
        accounts: Accounts,
        passwords: Passwords,
        endings: SessionEndings,
        letters: Letters,
    ) -> None:
        self._shards = shards
        self._log = log
        self._clock = clock
        self._hasher = hasher
        self._accounts = accounts
        self._passwords = passwords
        self._endings = endings
        self._letters = letters

    async def create_admin(self, *, name: str, email: str, password: str) -> tuple[Account, bool]:
        """See UserAdministration.create_admin."""
        existing = await self._shards.read(GLOBAL, store.owner_of_email, email_key(email))
        if existing is not None:
            return await self._shards.transact(existing, self._promote, existing), False
        return await self.create_user(name=name, email=email, password=password, role="admin"), True

    async def create_user(self, *, name: str, email: str, password: str, role: Role = "user") -> Account:
        """See UserAdministration.create_user."""
        made = self._accounts.new_account(name=name, email=email)
        # The operator vouches for the address, and a server without mail would never confirm it.
        account = replace(made, role=role, email_verified=True)
        password_hash = await self._accounts.hash_for(account, password)
        await self._shards.transact(account.id, self._accounts.create, account, password_hash, actor=OPERATOR)
        return account

    async def find(self, who: str) -> Account:
        user_id = who.lower() if is_id(who.lower()) else await self._by_email(who)
        return await self._shards.read(user_id, store.get, user_id)

    async def listed(self, *, query: str | None, before: str | None, limit: int) -> list[Account]:
        """Newest first. Today all accounts lie on one shard; on several, each is asked and the answers are merged."""
        return await self._shards.read(GLOBAL, store.listed, query=query or None, before=before, limit=limit)

    async def disable(self, who: str, *, actor: str, own_id: str | None = None) -> Account:
        """End all sessions and refuse new ones; a disabled account stays as it is. Raises OwnAccount for `own_id`."""
        account = await self.find(who)
        if account.id == own_id:
            raise OwnAccount()
        return await self._shards.transact(account.id, self._disable, account.id, actor)

    async def enable(self, who: str, *, actor: str) -> Account:
        account = await self.find(who)
        return await self._shards.transact(account.id, self._enable, account.id, actor)

    async def set_password(self, who: str, password: str) -> Account:
        """Set a password for somebody, and end all their sessions. Raises WeakPassword."""
        account = await self.find(who)
        self._passwords.check(password, account, "/password")
        password_hash = await self._hasher.hash(password)
        account = await self._shards.transact(account.id, self._set_password, account.id, password_hash)
        self._letters.wake()
        return account

    async def _by_email(self, email: str) -> str:
        user_id = await self._shards.read(GLOBAL, store.owner_of_email, email_key(email))
        if user_id is None:
            raise UserNotFound()
        return user_id

    async def _promote(self, tx: Transaction, user_id: str) -> Account:
        account = await store.get(tx, user_id)
        if account.role == "admin":
            return account
        admin = replace(account, role="admin", updated_at=now_text(self._clock))
        await store.change(tx, admin)
        data = {"role": admin.role, "updated_at": admin.updated_at}
        await self._log.append(tx, user_id, [NewEvent(contract.USER_CHANGED, user_id, data)], actor=OPERATOR)
        return admin

    async def _disable(self, tx: Transaction, user_id: str, actor: str) -> Account:
        account = await store.get(tx, user_id)
        if account.disabled_at is not None:
            return account
        disabled = replace(account, disabled_at=now_text(self._clock))
        await store.change(tx, disabled)
        event = NewEvent(contract.USER_DISABLED, user_id, {"disabled_at": disabled.disabled_at})
        await self._log.append(tx, user_id, [event], actor=actor)
        await self._endings.end_all(tx, user_id, reason="disabled", actor=actor)
        await tokens.forget_all(tx, user_id)
        return disabled

    async def _enable(self, tx: Transaction, user_id: str, actor: str) -> Account:
        account = await store.get(tx, user_id)
        if account.disabled_at is None:
            return account
        enabled = replace(account, disabled_at=None)
        await store.change(tx, enabled)
        await self._log.append(tx, user_id, [NewEvent(contract.USER_ENABLED, user_id)], actor=actor)
        return enabled

    async def _set_password(self, tx: Transaction, user_id: str, password_hash: str) -> Account:
        account = await store.get(tx, user_id)
        await self._passwords.replace(tx, account, password_hash, by=OPERATOR, actor=OPERATOR, keep=None)
        return account
