"""Sessions: logging in, refreshing, logging out, and the list of devices.

started ──refresh──▶ (the same session, the next token) ──▶ ended: by its owner, a new password, a used-up token
                                                            that comes again, an administrator, or 30 idle days
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from banyan.infra.auth.passwords import PasswordHasher
from banyan.infra.auth.tokens import TokenIssuer
from banyan.infra.db.shards import GLOBAL, Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.log import EventLog
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.clock import Clock, from_text, to_text
from banyan.kernel.events import NewEvent
from banyan.kernel.ids import new_id
from banyan.modules.users.contract import SESSION_STARTED, Account
from banyan.modules.users.known_devices import KnownDevices
from banyan.modules.users.model import (
    MAX_SESSIONS,
    PREDECESSOR_GRACE,
    AccountDisabled,
    Client,
    Credentials,
    Grant,
    InvalidCredentials,
    InvalidRefreshToken,
    Session,
    SessionNotFound,
    email_key,
    scopes_of,
)
from banyan.modules.users.refresh_tokens import RefreshToken, RefreshTokens
from banyan.modules.users.service.endings import SessionEndings
from banyan.modules.users.service.throttle import Throttle
from banyan.modules.users.store import accounts
from banyan.modules.users.store import sessions as store

log = get_logger(__name__)

# An id that no account has: unknown addresses take the same way through the database as known ones.
NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class _Rotation:
    """What a refresh came to. account: None when the token is refused. reused: then, because it was used before."""

    account: Account | None = None
    token: RefreshToken | None = None
    reused: bool = False


class Sessions:
    def __init__(
        self,
        shards: Shards,
        log: EventLog,
        clock: Clock,
        *,
        passwords: PasswordHasher,
        throttle: Throttle,
        endings: SessionEndings,
        issuer: TokenIssuer,
        refresh_tokens: RefreshTokens,
        known_devices: KnownDevices,
        lifetime: timedelta,
    ) -> None:
        self._shards = shards
        self._log = log
        self._clock = clock
        self._passwords = passwords
        self._throttle = throttle
        self._endings = endings
        self._issuer = issuer
        self._refresh_tokens = refresh_tokens
        self._known_devices = known_devices
        self._lifetime = lifetime

    async def log_in(self, email: str, password: str, client: Client) -> Grant:
        """A new session. Raises InvalidCredentials, AccountDisabled (after the right password), RateLimited.

        One hash on each path, and the same answer for a wrong password and an unknown address.
        """
        await self._throttle.admit_login(client.address)
        key = email_key(email)
        found = await self._find(key)
        device = self._known_devices.device_of(found.account.id, client.known_device) if found else None
        whom = f"device:{device}" if device else f"account:{key}"
        stored = found.password_hash if found else None
        verdict = await self._throttle.guess(whom, lambda: self._passwords.verify(password, stored))
        if not verdict.ok or found is None:
            log.info("login_refused", user_id=found.account.id if found else None)
            raise InvalidCredentials()
        token = self._refresh_tokens.first(found.account.id, new_id())
        account = await self._shards.transact(
            found.account.id, self._start, found, token, client, verdict.rehash
        )
        grant = self._grant(account, token)
        return replace(grant, known_device=self._known_devices.remember(account.id, client.known_device))

    async def _find(self, key: str) -> Credentials | None:
        user_id = await self._shards.read(GLOBAL, accounts.owner_of_email, key) or NOBODY
        return await self._shards.read(user_id, accounts.credentials, user_id)

    async def _start(
        self, tx: Transaction, found: Credentials, token: RefreshToken, client: Client, rehash: str | None
    ) -> Account:
        user_id = found.account.id
        now = await accounts.credentials(tx, user_id)
        if now is None or now.password_hash != found.password_hash:
            raise InvalidCredentials()  # changed while we were hashing
        if now.account.disabled_at is not None:
            raise AccountDisabled()
        if rehash is not None:
            await accounts.set_password_hash(tx, user_id, rehash)
        surplus = await store.over_limit(tx, user_id, MAX_SESSIONS - 1)
        await self._endings.end(tx, user_id, surplus, reason="too_many", actor=None)
        at = self._clock.now()
        session = Session(
            user_id=user_id,
            id=token.session_id,
            device=client.device,
            address=client.address,
            created_at=to_text(at),
            last_used_at=to_text(at),
            expires_at=to_text(at + self._lifetime),
        )
        await store.start(tx, session, token.digest)
        data = {"device": session.device, "created_at": session.created_at}
        await self._log.append(tx, user_id, [NewEvent(SESSION_STARTED, session.id, data)], actor=session.id)
        return now.account

    async def refresh(self, text: str, client: Client) -> Grant:
        """The session's next tokens. Raises InvalidRefreshToken.

        The token that was just replaced gets the same successor for ten seconds more; any older one ends the session.
        """
        token = self._refresh_tokens.recognise(text)
        if token is None:
            raise InvalidRefreshToken()
        rotation = await self._shards.transact(token.user_id, self._rotate, token, client)
        if rotation.reused:
            log.warning("refresh_token_reused", user_id=token.user_id, session_id=token.session_id)
        if rotation.account is None or rotation.token is None:
            raise InvalidRefreshToken()
        return self._grant(rotation.account, rotation.token)

    async def _rotate(self, tx: Transaction, token: RefreshToken, client: Client) -> _Rotation:
        found = await store.find(tx, token.user_id, token.session_id)
        account = await accounts.find(tx, token.user_id)
        now = self._clock.now()
        if found is None or account is None or account.disabled_at is not None:
            return _Rotation()
        if found.session.expires_at <= to_text(now):
            return _Rotation()
        successor = self._refresh_tokens.successor(token)
        if token.digest == found.refresh_digest:
            expires_at = to_text(now + self._lifetime)
            await store.rotate(
                tx,
                found,
                digest=successor.digest,
                now=to_text(now),
                expires_at=expires_at,
                address=client.address,
            )
            return _Rotation(account, successor)
        if token.digest == found.previous_digest and now - from_text(found.rotated_at) <= PREDECESSOR_GRACE:
            return _Rotation(account, successor)
        # Nothing is raised here: the end of the session must be committed.
        await self._endings.end(tx, token.user_id, [token.session_id], reason="reuse", actor=None)
        return _Rotation(reused=True)

    async def log_out(self, user_id: str, session_id: str) -> None:
        """End a session; one that has ended already is fine."""
        await self._shards.transact(
            user_id, self._endings.end, user_id, [session_id], reason="logout", actor=session_id
        )

    async def log_out_by(self, refresh_token: str) -> None:
        """End the session of a refresh token, be it its present one or not. One that is none of ours changes nothing."""
        token = self._refresh_tokens.recognise(refresh_token)
        if token is not None:
            await self.log_out(token.user_id, token.session_id)

    async def of(self, user_id: str) -> list[Session]:
        """The user's sessions, the last used first."""
        alive = await self._shards.read(user_id, store.of_user, user_id)
        now = to_text(self._clock.now())
        return [session for session in alive if session.expires_at > now]

    async def revoke(self, user_id: str, session_id: str, *, actor: str) -> None:
        """Raises SessionNotFound."""
        ended = await self._shards.transact(
            user_id, self._endings.end, user_id, [session_id], reason="revoked", actor=actor
        )
        if not ended:
            raise SessionNotFound()

    async def revoke_others(self, user_id: str, session_id: str) -> None:
        """End all sessions but this one."""
        await self._shards.transact(
            user_id, self._endings.end_all, user_id, reason="revoked", actor=session_id, keep=session_id
        )

    def _grant(self, account: Account, token: RefreshToken) -> Grant:
        scopes = scopes_of(account.role)
        access_token, _ = self._issuer.issue(account.id, token.session_id, scopes, account.role)
        return Grant(
            user_id=account.id,
            session_id=token.session_id,
            access_token=access_token,
            expires_in=self._issuer.lifetime_seconds,
            scope=" ".join(sorted(scopes)),
            refresh_token=token.text,
            refresh_seconds=int(self._lifetime.total_seconds()),
        )
