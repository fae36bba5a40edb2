"""Tickets: what opens a socket instead of an access token, which must not stand in a URL."""

from banyan.infra.auth import opaque
from banyan.infra.auth.principal import Principal
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.kernel.clock import Clock, now_text, to_text
from banyan.modules.users.contract import InvalidTicket
from banyan.modules.users.model import TICKET_LIFETIME, scopes_of
from banyan.modules.users.store import accounts, sessions, tokens

PREFIX = "bnt"


class Tickets:
    def __init__(self, shards: Shards, clock: Clock, *, access_token_seconds: int) -> None:
        self._shards = shards
        self._clock = clock
        self._access_token_seconds = access_token_seconds

    async def issue(self, principal: Principal) -> str:
        """A ticket for one socket of this session."""
        ticket, digest = opaque.mint(PREFIX, principal.user_id)
        await self._shards.transact(principal.user_id, self._store, principal, digest)
        return ticket

    async def redeem(self, ticket: str) -> Principal:
        """Use the ticket up. Raises InvalidTicket; also when its session has ended meanwhile."""
        parsed = opaque.parse(PREFIX, ticket)
        if parsed is None:
            raise InvalidTicket()
        return await self._shards.transact(parsed.routing_id, self._redeem, parsed)

    async def _store(self, tx: Transaction, principal: Principal, digest: str) -> None:
        expires_at = to_text(self._clock.now() + TICKET_LIFETIME)
        await tokens.store(
            tx, principal.user_id, digest, "ticket", expires_at=expires_at, session_id=principal.session_id
        )

    async def _redeem(self, tx: Transaction, ticket: opaque.OpaqueToken) -> Principal:
        used = await tokens.use_up(tx, ticket.routing_id, ticket.digest, "ticket", now_text(self._clock))
        if used is None or used.session_id is None:
            raise InvalidTicket()
        account = await accounts.find(tx, ticket.routing_id)
        if account is None or await sessions.find(tx, account.id, used.session_id) is None:
            raise InvalidTicket()
        expires_at = int(self._clock.now().timestamp()) + self._access_token_seconds
        return Principal(account.id, used.session_id, scopes_of(account.role), account.role, expires_at)
