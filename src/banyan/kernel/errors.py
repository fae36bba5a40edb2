"""The one tree of errors that people may see.

    BanyanError
    ├── InvalidInput            what was sent cannot be accepted; `errors` say where
    │   └── MalformedRequest    it could not even be read
    ├── Unauthenticated         nobody we know is asking
    ├── Forbidden               known, but not allowed
    ├── NotFound                no such thing, or not the caller's
    ├── MethodNotAllowed
    ├── NotAcceptable
    ├── Conflict                it contradicts what is stored
    ├── PreconditionFailed      the thing has changed since it was read
    ├── TooLarge
    ├── UnsupportedMediaType
    ├── RateLimited             too many, too fast; `retry_after_seconds`
    ├── Unavailable             try again later; `retry_after_seconds`
    └── StorageFull

Modules subclass with facts: `TodoNotFound(todo_id=…)`. `code` is stable and meant for programs, `detail` is a sentence
for people that says what to do. The HTTP status of each class is chosen in `infra/http/problems.py` and nowhere else.
"""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault in the input. pointer: RFC 6901 JSON pointer into the body, or `query/limit`, `header/If-Match`."""

    pointer: str
    detail: str


class BanyanError(Exception):
    code: ClassVar[str] = "error"
    detail: str = "The request could not be done."

    def __init__(self, detail: str | None = None, **facts: Any) -> None:
        if detail is not None:
            self.detail = detail
        self.facts = facts
        super().__init__(self.detail)


class InvalidInput(BanyanError):
    code = "invalid_input"
    detail = "The request has fields that cannot be accepted; see `errors`."

    def __init__(
        self, detail: str | None = None, *, errors: list[FieldError] | None = None, **facts: Any
    ) -> None:
        super().__init__(detail, **facts)
        self.errors = errors or []


class MalformedRequest(InvalidInput):
    code = "malformed_request"
    detail = "The request could not be read."


class Unauthenticated(BanyanError):
    code = "unauthenticated"
    detail = "Log in first: this needs a valid access token."


class Forbidden(BanyanError):
    code = "forbidden"
    detail = "You are not allowed to do this."


class NotFound(BanyanError):
    code = "not_found"
    detail = "There is nothing here."


class MethodNotAllowed(BanyanError):
    code = "method_not_allowed"
    detail = "This address does not answer that method; see the `Allow` header."


class NotAcceptable(BanyanError):
    code = "not_acceptable"
    detail = "This can only be answered as the type that the documentation names."


class Conflict(BanyanError):
    code = "conflict"
    detail = "This contradicts what is stored."


class PreconditionFailed(BanyanError):
    code = "precondition_failed"
    detail = "It has changed since you read it: read it again, then repeat your change."


class TooLarge(BanyanError):
    code = "too_large"
    detail = "The body is larger than this server accepts."


class UnsupportedMediaType(BanyanError):
    code = "unsupported_media_type"
    detail = "Send the body as application/json."


class RetryLater(BanyanError):
    """The base of refusals that pass by themselves."""

    def __init__(self, detail: str | None = None, *, retry_after_seconds: float = 1.0, **facts: Any) -> None:
        super().__init__(detail, **facts)
        self.retry_after_seconds = retry_after_seconds


class RateLimited(RetryLater):
    code = "rate_limited"
    detail = "Too many requests; wait as long as `Retry-After` says."


class Unavailable(RetryLater):
    code = "unavailable"
    detail = "A part that this needs does not answer at the moment; try again shortly."


class StorageFull(BanyanError):
    code = "storage_full"
    detail = "The server has no room left to store this; nothing was changed."
