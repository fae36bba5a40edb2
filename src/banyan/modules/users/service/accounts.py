"""Accounts: registering, reading and changing a profile, confirming an address, deleting the account."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from banyan.infra.auth import opaque
from banyan.infra.auth.password_policy import check_password
from banyan.infra.auth.passwords import PasswordHasher
from banyan.infra.db.shards import GLOBAL, Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.log import EventLog
from banyan.kernel.clock import Clock, now_text
from banyan.kernel.events import NewEvent
from banyan.kernel.ids import new_id
from banyan.modules.users import contract
from banyan.modules.users.contract import Account, EmailTaken, MailAddress
from banyan.modules.users.model import (
    DEFAULT_LOCALE,
    DEFAULT_TIME_ZONE,
    AlreadyVerified,
    Client,
    Credentials,
    InvalidToken,
    WrongPassword,
    email_key_of,
    parse_email,
)
from banyan.modules.users.service.confirmation import Confirmation
from banyan.modules.users.service.endings import SessionEndings
from banyan.modules.users.service.letters import VERIFY_PREFIX, Letters
from banyan.modules.users.service.profiles import Profiles
from banyan.modules.users.service.throttle import Throttle
from banyan.modules.users.store import accounts as store
from banyan.modules.users.store import tokens


class Accounts:
    def __init__(
        self,
        shards: Shards,
        log: EventLog,
        clock: Clock,
        *,
        profiles: Profiles,
        passwords: PasswordHasher,
        throttle: Throttle,
        confirmation: Confirmation,
        endings: SessionEndings,
        letters: Letters,
        password_min_length: int,
    ) -> None:
        self._shards = shards
        self._log = log
        self._clock = clock
        self._profiles = profiles
        self._passwords = passwords
        self._throttle = throttle
        self._confirmation = confirmation
        self._endings = endings
        self._letters = letters
        self._password_min_length = password_min_length

    async def register(
        self,
        client: Client,
        *,
        name: str,
        email: str,
        password: str,
        locale: str = DEFAULT_LOCALE,
        time_zone: str = DEFAULT_TIME_ZONE,
    ) -> Account:
        """A new account. Raises EmailTaken, WeakPassword, InvalidInput, RateLimited."""
        await self._throttle.admit_registration(client.address)
        account = self.new_account(name=name, email=email, locale=locale, time_zone=time_zone)
        password_hash = await self.hash_for(account, password)
        await self._shards.transact(account.id, self.create, account, password_hash, actor=None)
        self._letters.wake()
        return account

    def new_account(
        self, *, name: str, email: str, locale: str = DEFAULT_LOCALE, time_zone: str = DEFAULT_TIME_ZONE
    ) -> Account:
        """Raises InvalidInput for an address that cannot be one."""
        now = now_text(self._clock)
        return Account(
            id=new_id(),
            name=name,
            email=parse_email(email),
            email_verified=False,
            role="user",
            locale=locale,
            time_zone=time_zone,
            avatar_url=None,
            created_at=now,
            updated_at=now,
            disabled_at=None,
        )

    async def hash_for(self, account: Account, password: str) -> str:
        """The hash of a new account's password. Raises WeakPassword, and EmailTaken before the hash is paid for."""
        check_password(password, hints=(account.email, account.name), min_length=self._password_min_length)
        if await self._shards.read(GLOBAL, store.owner_of_email, email_key_of(account.email)) is not None:
            raise EmailTaken()
        return await self._passwords.hash(password)

    async def create(
        self, tx: Transaction, account: Account, password_hash: str, *, actor: str | None
    ) -> None:
        """Step 1, on the shard of GLOBAL: the address. Step 2, on the user's shard: the account.

        One transaction while both lie on one shard; on two they are the steps of a saga, whose compensation releases
        the address.
        """
        await store.claim_email(tx, account.email, account.id)
        await store.create(tx, account, password_hash)
        registered = NewEvent(contract.USER_REGISTERED, account.id, account.profile())
        await self._log.append(tx, account.id, [registered], actor=actor)
        if not account.email_verified:
            await self._letters.verification(tx, account)

    async def get(self, user_id: str) -> Account:
        """Raises UserNotFound."""
        return await self._profiles.get(user_id)

    async def exists(self, user_id: str) -> bool:
        return await self._profiles.exists(user_id)

    async def mail_address(self, user_id: str) -> MailAddress | None:
        """See Users.mail_address."""
        account = await self._shards.read(user_id, store.find, user_id)
        if account is None or not account.email_verified or account.disabled_at is not None:
            return None
        return MailAddress(account.email, account.name, account.locale)

    async def existing(self, user_ids: Sequence[str]) -> set[str]:
        """Those of the ids that accounts have; one statement a shard."""
        by_shard: dict[str, list[str]] = {}
        for user_id in user_ids:
            by_shard.setdefault(self._shards.of(user_id).name, []).append(user_id)
        found: set[str] = set()
        for shard, ids in by_shard.items():
            found |= await self._shards.named(shard).read(store.existing, ids)
        return found

    async def change(
        self, user_id: str, changes: dict[str, Any], *, current_password: str | None, actor: str
    ) -> Account:
        """The profile with `changes` to name, email, locale, time_zone or avatar_url.

        Another address needs the current password, and has to be confirmed by its owner.
        Raises WrongPassword, EmailTaken, InvalidInput, RateLimited, UserNotFound.
        """
        confirmed: Credentials | None = None
        if "email" in changes:
            changes = {**changes, "email": parse_email(changes["email"])}
            if changes["email"] != (await self.get(user_id)).email:
                if current_password is None:
                    raise WrongPassword("Another e-mail address needs `current_password`.")
                confirmed = await self._confirmation.confirm(user_id, current_password)
        account = await self._shards.transact(user_id, self._change, user_id, changes, confirmed, actor)
        self._letters.wake()
        return account

    async def _change(
        self,
        tx: Transaction,
        user_id: str,
        changes: dict[str, Any],
        confirmed: Credentials | None,
        actor: str,
    ) -> Account:
        before = await store.get(tx, user_id)
        after = replace(before, **changes)
        if after.email != before.email:
            if confirmed is None:
                raise WrongPassword()  # the address was changed by another request just now
            await self._confirmation.still_true(tx, confirmed)
            after = await self._move_address(tx, before, after)
        changed = {name: value for name, value in after.profile().items() if value != before.profile()[name]}
        if not changed:
            return before
        after = replace(after, updated_at=now_text(self._clock))
        await store.change(tx, after)
        event = NewEvent(contract.USER_CHANGED, user_id, {**changed, "updated_at": after.updated_at})
        await self._log.append(tx, user_id, [event], actor=actor)
        if after.email != before.email and not after.email_verified:
            await self._letters.verification(tx, after)
        return after

    async def _move_address(self, tx: Transaction, before: Account, after: Account) -> Account:
        """The directory's part of a change. Another spelling of the same address stays confirmed."""
        if email_key_of(before.email) == email_key_of(after.email):
            return after
        await store.claim_email(tx, after.email, after.id)
        await store.release_email(tx, before.email, before.id)
        # Links that went to the former address open nothing any more.
        await tokens.forget(tx, after.id, "verify", "reset")
        return replace(after, email_verified=False)

    async def send_verification(self, user_id: str) -> None:
        """Send the letter that confirms the address again. Raises AlreadyVerified, RateLimited, UserNotFound."""
        await self._throttle.admit_mail("verify", user_id)
        await self._shards.transact(user_id, self._send_verification, user_id)
        self._letters.wake()

    async def _send_verification(self, tx: Transaction, user_id: str) -> None:
        account = await store.get(tx, user_id)
        if account.email_verified:
            raise AlreadyVerified()
        await self._letters.verification(tx, account)

    async def verify(self, token: str) -> None:
        """Confirm the address that the token was sent to. Works once. Raises InvalidToken."""
        parsed = opaque.parse(VERIFY_PREFIX, token)
        if parsed is None:
            raise InvalidToken()
        await self._shards.transact(parsed.routing_id, self._verify, parsed)

    async def _verify(self, tx: Transaction, token: opaque.OpaqueToken) -> None:
        used = await tokens.use_up(tx, token.routing_id, token.digest, "verify", now_text(self._clock))
        account = await store.find(tx, token.routing_id)
        if used is None or account is None or used.email != account.email:
            raise InvalidToken()
        await self.mark_verified(tx, account, actor=None)

    async def mark_verified(self, tx: Transaction, account: Account, *, actor: str | None) -> Account:
        """Whoever acts has shown that the address is theirs. Nothing happens when that was known."""
        if account.email_verified:
            return account
        account = replace(account, email_verified=True, updated_at=now_text(self._clock))
        await store.change(tx, account)
        data = {"email": account.email, "email_verified": True, "updated_at": account.updated_at}
        await self._log.append(
            tx, account.id, [NewEvent(contract.EMAIL_VERIFIED, account.id, data)], actor=actor
        )
        return account

    async def delete(self, user_id: str, password: str, *, actor: str) -> None:
        """Erase the account and everything that this module knows of its owner; the address becomes free.

        What is left is the event `UserDeleted`, without personal data; other modules erase theirs when they hear it.
        Raises WrongPassword, RateLimited, UserNotFound.
        """
        confirmed = await self._confirmation.confirm(user_id, password)
        await self._shards.transact(user_id, self._delete, confirmed, actor)

    async def _delete(self, tx: Transaction, confirmed: Credentials, actor: str) -> None:
        account = await self._confirmation.still_true(tx, confirmed)
        ended = await self._endings.end_all(tx, account.id, reason="deleted", actor=actor)
        await store.release_email(tx, account.email, account.id)
        await tokens.forget_all(tx, account.id)
        await store.erase(tx, account.id)
        # Other processes hear this event alone: it must say which sessions to refuse.
        deleted = NewEvent(contract.USER_DELETED, account.id, {"sessions": ended})
        position = await self._log.append(tx, account.id, [deleted], actor=actor)
        await self._log.erase(tx, account.id, before=position)
