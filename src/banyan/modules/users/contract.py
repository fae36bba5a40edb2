"""What other modules may know of users: some questions, the operator's commands, and the events of the users stream.

The events of the stream `users`, by type. `data` is what clients see too; secrets are never in it.

    UserRegistered   subject: the user.  data: the whole profile
    UserChanged      subject: the user.  data: the changed fields of the profile, `updated_at` among them
    EmailVerified    subject: the user.  data: {email, email_verified, updated_at}
    PasswordChanged  subject: the user.  data: {by: "owner" | "reset" | "operator"}
    UserDisabled     subject: the user.  data: {disabled_at}
    UserEnabled      subject: the user.  data: {}
    SessionStarted   subject: the session.  data: {device, created_at}
    SessionRevoked   subject: the session.  data: {reason: "logout" | "revoked" | "password" | "reset" | "disabled" |
                     "deleted" | "reuse" | "expired" | "too_many"}
    UserDeleted      subject: the user.  data: {sessions: ids of those that it ended}. The last event of the stream, and
                     the only one that is left of it: whoever keeps something about the user erases it now.

They are the audit log as well: each has its time, and its actor (the session that did it, or `operator`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from banyan.infra.auth.principal import Principal
from banyan.infra.auth.sessions import SessionSource
from banyan.kernel.errors import Conflict, NotFound, Unauthenticated

STREAM = "users"

USER_REGISTERED = "UserRegistered"
USER_CHANGED = "UserChanged"
USER_DELETED = "UserDeleted"
USER_DISABLED = "UserDisabled"
USER_ENABLED = "UserEnabled"
EMAIL_VERIFIED = "EmailVerified"
PASSWORD_CHANGED = "PasswordChanged"  # noqa: S105 - the name of an event
SESSION_STARTED = "SessionStarted"
SESSION_REVOKED = "SessionRevoked"

Role = Literal["user", "admin"]


class UserNotFound(NotFound):
    code = "user_not_found"
    detail = "User not found"


class EmailTaken(Conflict):
    code = "email_taken"
    detail = "Email already registered"


class InvalidTicket(Unauthenticated):
    code = "invalid_ticket"
    detail = "This ticket is unknown, used up or older than 30 seconds: ask for a new one."


@dataclass(frozen=True, slots=True)
class Account:
    """One account as administrators and operators see it. Instants are text; `disabled_at` is None while it is in use."""

    id: str
    name: str
    email: str
    email_verified: bool
    role: Role
    locale: str
    time_zone: str
    avatar_url: str | None
    created_at: str
    updated_at: str
    disabled_at: str | None

    def profile(self) -> dict[str, Any]:
        """What the owner sees."""
        return {
            "id": self.id,
            "name": self.name,
            "email": self.email,
            "email_verified": self.email_verified,
            "locale": self.locale,
            "time_zone": self.time_zone,
            "avatar_url": self.avatar_url,
            "role": self.role,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


@dataclass(frozen=True, slots=True)
class MailAddress:
    """Where an account's mail goes, and how it is written. name: of the person."""

    email: str
    name: str
    locale: str


@dataclass(frozen=True, slots=True)
class SigningKeyInfo:
    """One signing key. verify_until: when the last token of a retired key has expired; None while it is not retired."""

    kid: str
    state: Literal["next", "active", "retired"]
    created_at: str
    verify_until: str | None


class Users(SessionSource, Protocol):
    async def exists(self, user_id: str) -> bool:
        """Whether this is the id of an account that is not deleted."""
        ...

    async def existing(self, user_ids: Sequence[str]) -> set[str]:
        """Those of the ids that are ids of accounts that are not deleted; one question for many."""
        ...

    async def mail_address(self, user_id: str) -> MailAddress | None:
        """The confirmed address of an account; None when it has none, is disabled, or does not exist."""
        ...

    async def redeem_ticket(self, ticket: str) -> Principal:
        """The principal of a single-use ticket, which is used up by this. Raises InvalidTicket."""
        ...


class UserAdministration(Protocol):
    """What the command line does, on the machine and with the database's own authority. Sessions that end by it end
    within a second in every running server.

    who: an id or an e-mail address. Every method that takes one raises UserNotFound.
    """

    async def create_admin(self, *, name: str, email: str, password: str) -> tuple[Account, bool]:
        """Make an administrator of a new account, or of the one that has this address (its name and password stay).

        Returns the account, and whether it is new. A new one's address counts as verified.
        Raises InvalidInput (WeakPassword too) for a new account that cannot be made.
        """
        ...

    async def create_user(self, *, name: str, email: str, password: str) -> Account:
        """Make an account whose address counts as verified. Raises EmailTaken, WeakPassword, InvalidInput."""
        ...

    async def find_user(self, who: str) -> Account: ...

    async def list_users(
        self, *, query: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[Account]:
        """Accounts, newest first; those whose name or address holds `query`; past the account with id `before`."""
        ...

    async def disable_user(self, who: str) -> Account:
        """End all sessions and refuse new ones. Repeating it changes nothing."""
        ...

    async def enable_user(self, who: str) -> Account: ...

    async def set_password(self, who: str, password: str) -> Account:
        """Give the account another password and end all its sessions. Raises WeakPassword."""
        ...

    async def list_keys(self) -> list[SigningKeyInfo]:
        """The signing keys: active, next, retired."""
        ...

    async def rotate_keys(self, *, withdraw: bool = False) -> list[SigningKeyInfo]:
        """Let the next key sign and publish a fresh next one; returns the keys afterwards.

        The former key verifies until its last token has expired, so nobody is logged out. Wait some minutes between two
        rotations, until everybody who caches the key set knows the next key.
        withdraw: throw all former keys away at once (one has leaked, or the secret that sealed them is lost). Everybody
        refreshes their access token; sessions go on.
        """
        ...
