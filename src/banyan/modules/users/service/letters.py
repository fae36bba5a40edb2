"""The mails of this module: a token that works once, its row, and the letter that carries it."""

from banyan.infra.auth import opaque
from banyan.infra.db.transaction import Transaction
from banyan.infra.mail import templates
from banyan.kernel.clock import Clock, to_text
from banyan.modules.users.contract import Account
from banyan.modules.users.model import RESET_LIFETIME, VERIFY_LIFETIME
from banyan.modules.users.service.mail_queue import MailQueue
from banyan.modules.users.store import tokens

VERIFY_PREFIX = "bnv"
RESET_PREFIX = "bnp"


class Letters:
    """Puts letters into the queue, within the transaction of what they tell of.

    base_url: where the web application is; from the settings, never from a request.
    """

    def __init__(self, queue: MailQueue, clock: Clock, base_url: str) -> None:
        self._queue = queue
        self._clock = clock
        self._base_url = base_url

    async def verification(self, tx: Transaction, account: Account) -> None:
        """Ask the owner of the account's address to confirm it; former letters of this kind become void."""
        token, digest = opaque.mint(VERIFY_PREFIX, account.id)
        await tokens.forget(tx, account.id, "verify")
        expires_at = to_text(self._clock.now() + VERIFY_LIFETIME)
        await tokens.store(tx, account.id, digest, "verify", expires_at=expires_at, email=account.email)
        link = f"{self._base_url}/#/verify?token={token}"
        letter = templates.verify_address(
            to=account.email, name=account.name, link=link, valid_for=VERIFY_LIFETIME, locale=account.locale
        )
        await self._queue.put(tx, account.id, letter)

    async def reset(self, tx: Transaction, account: Account) -> None:
        """Send a link that sets another password. Former ones stay good: the person may click on any of them."""
        token, digest = opaque.mint(RESET_PREFIX, account.id)
        expires_at = to_text(self._clock.now() + RESET_LIFETIME)
        await tokens.store(tx, account.id, digest, "reset", expires_at=expires_at, email=account.email)
        link = f"{self._base_url}/#/reset?token={token}"
        letter = templates.reset_password(
            to=account.email, name=account.name, link=link, valid_for=RESET_LIFETIME, locale=account.locale
        )
        await self._queue.put(tx, account.id, letter)

    async def password_changed(self, tx: Transaction, account: Account) -> None:
        link = f"{self._base_url}/#/forgot"
        letter = templates.password_changed(
            to=account.email, name=account.name, link=link, locale=account.locale
        )
        await self._queue.put(tx, account.id, letter)

    def wake(self) -> None:
        """Call it after the commit."""
        self._queue.wake()
