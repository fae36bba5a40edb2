"""Passwords: changing one, and getting back in without one."""

import asyncio

from banyan.infra.auth import opaque
from banyan.infra.auth.password_policy import check_password
from banyan.infra.auth.passwords import PasswordHasher
from banyan.infra.db.shards import GLOBAL, Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.loops import Loop, wait_for
from banyan.infra.streams.log import EventLog
from banyan.infra.telemetry.kept_traces import KeptTraces
from banyan.infra.telemetry.trace import continue_trace
from banyan.kernel.clock import Clock, now_text
from banyan.kernel.events import NewEvent
from banyan.modules.users.contract import PASSWORD_CHANGED, Account
from banyan.modules.users.model import Client, Credentials, InvalidToken, email_key
from banyan.modules.users.service.accounts import Accounts
from banyan.modules.users.service.confirmation import Confirmation
from banyan.modules.users.service.endings import SessionEndings
from banyan.modules.users.service.letters import RESET_PREFIX, Letters
from banyan.modules.users.service.throttle import Throttle
from banyan.modules.users.store import accounts as store
from banyan.modules.users.store import mails, tokens
from banyan.modules.users.store.mails import ResetRequest

REQUESTS_AT_ONCE = 50
# A request wakes the loop; this look is for requests that another process took.
LOOK_SECONDS = 5.0


class Passwords:
    def __init__(
        self,
        shards: Shards,
        log: EventLog,
        clock: Clock,
        *,
        hasher: PasswordHasher,
        throttle: Throttle,
        confirmation: Confirmation,
        accounts: Accounts,
        endings: SessionEndings,
        letters: Letters,
        min_length: int,
    ) -> None:
        self._shards = shards
        self._log = log
        self._clock = clock
        self._hasher = hasher
        self._throttle = throttle
        self._confirmation = confirmation
        self._accounts = accounts
        self._endings = endings
        self._letters = letters
        self._min_length = min_length
        self._requested = asyncio.Event()
        self._traces = KeptTraces()

    async def change(self, user_id: str, *, current: str, new: str, session_id: str) -> None:
        """Set another password; all other sessions end, and a mail tells it.

        Raises WrongPassword, WeakPassword, RateLimited, UserNotFound.
        """
        confirmed = await self._confirmation.confirm(user_id, current)
        self.check(new, confirmed.account)
        password_hash = await self._hasher.hash(new)
        await self._shards.transact(user_id, self._change, confirmed, password_hash, session_id)
        self._letters.wake()

    async def _change(
        self, tx: Transaction, confirmed: Credentials, password_hash: str, session_id: str
    ) -> None:
        account = await self._confirmation.still_true(tx, confirmed)
        await self.replace(tx, account, password_hash, by="owner", actor=session_id, keep=session_id)

    async def replace(
        self,
        tx: Transaction,
        account: Account,
        password_hash: str,
        *,
        by: str,
        actor: str | None,
        keep: str | None,
    ) -> None:
        """Store the hash; end all sessions but `keep`; void links that would set yet another password; tell the owner."""
        await store.set_password_hash(tx, account.id, password_hash)
        await tokens.forget(tx, account.id, "reset")
        changed = NewEvent(PASSWORD_CHANGED, account.id, {"by": by})
        await self._log.append(tx, account.id, [changed], actor=actor)
        reason = "reset" if by == "reset" else "password"
        await self._endings.end_all(tx, account.id, reason=reason, actor=actor, keep=keep)
        await self._letters.password_changed(tx, account)

    def check(self, password: str, account: Account | None, pointer: str = "/new_password") -> None:
        """Raises WeakPassword."""
        hints = (account.email, account.name) if account else ()
        check_password(password, hints=hints, min_length=self._min_length, pointer=pointer)

    async def request_reset(self, email: str, client: Client) -> None:
        """Note that somebody asks for a reset of this address. Raises RateLimited, by address asked for and asking.

        Whether there is such an account is looked up later, by the loop: until the answer is given, an account that
        exists and one that does not take the very same steps, and no hash is needed to hide a difference.
        """
        await self._throttle.admit_login(client.address)
        key = email_key(email)
        await self._throttle.admit_mail("reset", key)
        self._traces.keep(await self._shards.transact(GLOBAL, mails.request_reset, key))
        self._requested.set()

    async def reset(self, token: str, new: str, client: Client) -> None:
        """Set another password with a token that was sent by mail; it works once, and ends all sessions.

        One hash on each path, whether or not the token is good. Raises InvalidToken, WeakPassword, RateLimited.
        """
        await self._throttle.admit_login(client.address)
        self.check(new, None)
        password_hash = await self._hasher.hash(new)
        parsed = opaque.parse(RESET_PREFIX, token)
        if parsed is None:
            raise InvalidToken()
        await self._shards.transact(parsed.routing_id, self._reset, parsed, new, password_hash)
        self._letters.wake()

    async def _reset(self, tx: Transaction, token: opaque.OpaqueToken, new: str, password_hash: str) -> None:
        used = await tokens.use_up(tx, token.routing_id, token.digest, "reset", now_text(self._clock))
        account = await store.find(tx, token.routing_id)
        if used is None or account is None or account.disabled_at is not None or used.email != account.email:
            raise InvalidToken()
        # What it raises undoes the use of the token: the person may try a better password.
        self.check(new, account)
        # Whoever has the token reads the mail of this address.
        account = await self._accounts.mark_verified(tx, account, actor=None)
        await self.replace(tx, account, password_hash, by="reset", actor=None, keep=None)

    def loop(self) -> Loop:
        """Answers requests for resets."""

        async def run(stop: asyncio.Event) -> None:
            while not stop.is_set():
                self._requested.clear()
                if await self.answer_requests() == 0:
                    await wait_for(self._requested, LOOK_SECONDS, stop=stop)

        return Loop("password-resets", run, self.answer_requests)

    async def answer_requests(self) -> int:
        """Answer some of the waiting requests; returns how many."""
        waiting = await self._shards.read(GLOBAL, mails.reset_requested, REQUESTS_AT_ONCE)
        for request in waiting:
            continue_trace(self._traces.of(request.id))
            # On one shard today: the request is settled in the transaction that writes the mail.
            await self._shards.transact(GLOBAL, self._answer, request)
        if waiting:
            self._letters.wake()
        return len(waiting)

    async def _answer(self, tx: Transaction, request: ResetRequest) -> None:
        if not await mails.settle_reset(tx, request.id):
            return
        user_id = await store.owner_of_email(tx, request.email_key)
        account = await store.find(tx, user_id) if user_id is not None else None
        if account is not None and account.disabled_at is None:
            await self._letters.reset(tx, account)
