"""Confirming with the password what a stolen access token must not be able to do."""

from banyan.infra.auth.passwords import PasswordHasher
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.modules.users.contract import Account, UserNotFound
from banyan.modules.users.model import Credentials, WrongPassword
from banyan.modules.users.service.throttle import Throttle
from banyan.modules.users.store import accounts


class Confirmation:
    def __init__(self, shards: Shards, passwords: PasswordHasher, throttle: Throttle) -> None:
        self._shards = shards
        self._passwords = passwords
        self._throttle = throttle

    async def confirm(self, user_id: str, password: str) -> Credentials:
        """The account, after its owner's password was given. Raises WrongPassword, RateLimited, UserNotFound."""
        found = await self._shards.read(user_id, accounts.credentials, user_id)
        if found is None:
            raise UserNotFound()
        verdict = await self._throttle.guess(
            f"confirm:{user_id}", lambda: self._passwords.verify(password, found.password_hash)
        )
        if not verdict.ok:
            raise WrongPassword()
        return found

    async def still_true(self, tx: Transaction, confirmed: Credentials) -> Account:
        """The account as it is now. Raises WrongPassword when its password was changed since it was confirmed."""
        now = await accounts.credentials(tx, confirmed.account.id)
        if now is None or now.password_hash != confirmed.password_hash:
            raise WrongPassword()
        return now.account
