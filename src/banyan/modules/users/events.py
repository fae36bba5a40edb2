"""The data of the users' events."""

from collections.abc import Mapping
from typing import Any, NotRequired

from typing_extensions import TypedDict


class UserRegistered(TypedDict):
    id: str
    name: str
    email: str
    email_verified: bool
    locale: str
    time_zone: str
    avatar_url: str | None
    role: str
    created_at: str
    updated_at: str


class UserChanged(TypedDict):
    """The fields that have a new value."""

    name: NotRequired[str]
    email: NotRequired[str]
    email_verified: NotRequired[bool]
    locale: NotRequired[str]
    time_zone: NotRequired[str]
    avatar_url: NotRequired[str | None]
    role: NotRequired[str]
    updated_at: str


class EmailVerified(TypedDict):
    email: str
    email_verified: bool
    updated_at: str


class PasswordChanged(TypedDict):
    """by: `owner`, `reset` or `operator`."""

    by: str


class UserDisabled(TypedDict):
    disabled_at: str


class UserEnabled(TypedDict):
    pass


class UserDeleted(TypedDict):
    """sessions: those that ended with the account."""

    sessions: list[str]


class SessionStarted(TypedDict):
    device: str | None
    created_at: str


class SessionRevoked(TypedDict):
    reason: str


EVENTS: Mapping[str, Any] = {
    one.__name__: one
    for one in (
        UserRegistered,
        UserChanged,
        EmailVerified,
        PasswordChanged,
        UserDisabled,
        UserEnabled,
        UserDeleted,
        SessionStarted,
        SessionRevoked,
    )
}
