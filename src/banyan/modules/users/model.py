"""Rules of accounts and sessions: what an address is, what a session is worth, and how events become state."""

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from zoneinfo import available_timezones

from email_validator import EmailNotValidError, validate_email

from banyan.infra.module import State
from banyan.kernel.clock import from_text
from banyan.kernel.errors import Conflict, FieldError, Forbidden, InvalidInput, NotFound, Unauthenticated
from banyan.kernel.events import Event
from banyan.modules.users import contract
from banyan.modules.users.contract import Account

VERIFY_LIFETIME = timedelta(hours=48)
RESET_LIFETIME = timedelta(hours=1)
TICKET_LIFETIME = timedelta(seconds=30)
# Two tabs of one browser, or a client whose answer was lost, send the same refresh token within moments of each other.
PREDECESSOR_GRACE = timedelta(seconds=10)
# Nobody has so many devices; a script that logs in for each request would otherwise grow the table without end.
MAX_SESSIONS = 500

MAX_EMAIL_CHARS = 254
_RESERVED = re.compile(r"[^@.]\.(local|localhost|test)\Z", re.IGNORECASE)
_STAND_IN = ".example"

ADMIN_SCOPES = frozenset({"notify"})
DEFAULT_LOCALE = "en"
DEFAULT_TIME_ZONE = "UTC"


class InvalidCredentials(Unauthenticated):
    code = "invalid_credentials"
    detail = "The e-mail address or the password is wrong."


class AccountDisabled(Forbidden):
    code = "account_disabled"
    detail = "This account has been disabled; ask an administrator."


class InvalidRefreshToken(Unauthenticated):
    code = "invalid_refresh_token"
    detail = "This refresh token is not valid (any more): log in again."


class WrongPassword(Forbidden):
    code = "wrong_password"
    detail = "The current password is wrong."


class InvalidToken(InvalidInput):
    code = "invalid_token"
    detail = "This link is not valid (any more): ask for a new one."

    def __init__(self) -> None:
        super().__init__(errors=[FieldError("/token", "is unknown, used up or expired")])


class SessionNotFound(NotFound):
    code = "session_not_found"
    detail = "Session not found"


class AlreadyVerified(Conflict):
    code = "already_verified"
    detail = "This e-mail address is confirmed already."


class OwnAccount(Conflict):
    code = "own_account"
    detail = "Administrators cannot disable themselves: ask another one."


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account with what its password is checked against."""

    account: Account
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Session:
    """One living session, as its owner sees it."""

    user_id: str
    id: str
    device: str
    address: str
    created_at: str
    last_used_at: str
    expires_at: str


@dataclass(frozen=True, slots=True)
class Client:
    """Who knocks. address: the network address. device: its name for the list of sessions. known_device: what the
    client keeps from an earlier login, unproven."""

    address: str
    device: str = ""
    known_device: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a login or a refresh gives."""

    user_id: str
    session_id: str
    access_token: str = field(repr=False)
    expires_in: int
    scope: str
    refresh_token: str = field(repr=False)
    refresh_seconds: int
    known_device: str | None = field(default=None, repr=False)


def parse_email(text: str, pointer: str = "/email") -> str:
    """The address as it is kept and written to: NFC, the domain in lower case. Raises InvalidInput at `pointer`.

    Syntax only: no name server is asked. Reserved domains (`.local`, `.test`) pass, since intranets and tests use them.
    """
    # The library refuses the reserved names whatever one tells it; below another name they are ordinary labels.
    reserved = _RESERVED.search(text)
    try:
        parsed = validate_email(
            text + _STAND_IN if reserved else text, check_deliverability=False, strict=True
        )
    except (EmailNotValidError, ValueError, UnicodeError) as error:
        reason = str(error) if isinstance(error, EmailNotValidError) else "is not an e-mail address"
        raise InvalidInput(errors=[FieldError(pointer, reason)]) from error
    address = parsed.normalized.removesuffix(_STAND_IN) if reserved else parsed.normalized
    if len(address) > MAX_EMAIL_CHARS:
        raise InvalidInput(errors=[FieldError(pointer, f"must have at most {MAX_EMAIL_CHARS} characters")])
    return address


def email_key(text: str) -> str:
    """What makes two spellings of an address the same account; for text that is no address, something that none has."""
    try:
        return email_key_of(parse_email(text.strip()))
    except InvalidInput:
        return email_key_of(text)[:300]


def email_key_of(address: str) -> str:
    """The key of an address that `parse_email` has seen."""
    return unicodedata.normalize("NFC", address.lower())


def search_text(name: str, email: str) -> str:
    return unicodedata.normalize("NFC", f"{name}\n{email}".casefold())[:400]


@cache
def time_zones() -> frozenset[str]:
    """The names of the IANA time zones."""
    return frozenset(available_timezones())


def scopes_of(role: str) -> frozenset[str]:
    return ADMIN_SCOPES if role == "admin" else frozenset()


def unix(instant: str) -> float:
    return from_text(instant).timestamp()


def apply_event(state: State, event: Event) -> None:
    """One event of the users stream, folded into the state that the tables should hold."""
    user, session = f"user/{event.user_id}", f"session/{event.subject}"
    match event.type:
        case contract.USER_REGISTERED:
            state[user] = {**event.data, "disabled_at": None}
        case contract.USER_CHANGED | contract.EMAIL_VERIFIED | contract.USER_DISABLED:
            state[user] |= event.data
        case contract.USER_ENABLED:
            state[user]["disabled_at"] = None
        case contract.USER_DELETED:
            state.clear()
        case contract.SESSION_STARTED:
            state[session] = {"id": event.subject, **event.data}
        case contract.SESSION_REVOKED:
            state.pop(session, None)
