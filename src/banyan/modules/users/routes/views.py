"""What is sent and answered."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from banyan.infra.http.fields import Body, Line, Text, View
from banyan.modules.users.model import DEFAULT_LOCALE, DEFAULT_TIME_ZONE, time_zones

EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
EXAMPLE_EMAIL = "ada@example.org"
EXAMPLE_PASSWORD = "correct horse battery staple"  # noqa: S105 - an example
EXAMPLE_TIME = "2030-01-31T09:00:00.000000Z"
EXAMPLE_REFRESH_TOKEN = "bnr_" + "A" * 107
TIME: JsonDict = {"format": "date-time"}
UUID: JsonDict = {"format": "uuid"}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# The same for the documentation: one line, and not blank.
_PLAIN = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
ONE_LINE_PATTERN = rf"^[^{_PLAIN}]*[^\s{_PLAIN}][^{_PLAIN}]*$"


def _one_line(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must be one line without control characters")
    return text.strip()


def _time_zone(text: str) -> str:
    if text not in time_zones():
        raise ValueError("must be an IANA time zone such as Europe/Berlin")
    return text


def _web_address(text: str) -> str:
    try:
        host = urlsplit(text).hostname
    except ValueError:
        host = None
    if not host or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be a web address such as https://example.org/ada.png")
    return text


Name = Annotated[
    Line,
    Field(min_length=1, max_length=100),
    AfterValidator(_one_line),
    Field(examples=["Ada Lovelace"], json_schema_extra={"pattern": ONE_LINE_PATTERN}),
]
# No `format: email` for what is only compared: any text may be tried, and none tells whether it is registered.
AnyEmail = Annotated[Text, Field(max_length=320, examples=[EXAMPLE_EMAIL])]
Email = Annotated[
    Text, Field(max_length=254, examples=[EXAMPLE_EMAIL], json_schema_extra={"format": "email"})
]
Password = Annotated[
    Text,
    Field(max_length=1024, examples=[EXAMPLE_PASSWORD], json_schema_extra={"format": "password"}),
]
NewPassword = Annotated[
    Password,
    Field(
        description="12 to 1,024 characters (the least is a setting); none that is guessed first. No other rules."
    ),
]
Locale = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$", max_length=35),
    Field(examples=["en"], description="A BCP 47 language tag."),
]
TimeZone = Annotated[
    Text,
    Field(max_length=64, examples=["Europe/Berlin"], description="An IANA time zone."),
    AfterValidator(_time_zone),
]
AvatarUrl = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^https?://", max_length=2048),
    AfterValidator(_web_address),
    Field(examples=["https://example.org/ada.png"]),
]
# Roomy: an access token that is sent by mistake shall be told that it is none of these.
Token = Annotated[Text, Field(max_length=4096)]
DeviceName = Annotated[
    Text, Field(max_length=200, examples=["Ada's laptop"], description="For the list of sessions.")
]


class Registration(Body):
    """A new account."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "Ada Lovelace", "email": EXAMPLE_EMAIL, "password": EXAMPLE_PASSWORD}]
        }
    )

    name: Name
    email: Email
    password: NewPassword
    locale: Locale = DEFAULT_LOCALE
    time_zone: TimeZone = DEFAULT_TIME_ZONE


class ProfilePatch(Body):
    """What is sent changes; `null` removes the picture. Another address needs `current_password`, and is confirmed anew."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Ada King", "time_zone": "Europe/London"}]}
    )

    name: Name = ""
    email: Email = ""
    current_password: Password | None = None
    locale: Locale = ""
    time_zone: TimeZone = ""
    avatar_url: AvatarUrl | None = None


class Deletion(Body):
    """The password, so that a found device cannot delete its owner."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": EXAMPLE_PASSWORD}]})

    password: Password


class Profile(View):
    """An account, as its owner sees it."""

    id: str = Field(examples=[EXAMPLE_ID], json_schema_extra=UUID)
    name: str = Field(examples=["Ada Lovelace"])
    email: str = Field(examples=[EXAMPLE_EMAIL])
    email_verified: bool = Field(description="Whether the owner has shown that the address is theirs.")
    locale: str = Field(examples=["en"])
    time_zone: str = Field(examples=["Europe/Berlin"])
    avatar_url: str | None = Field(examples=["https://example.org/ada.png"])
    role: Literal["user", "admin"]
    created_at: str = Field(examples=[EXAMPLE_TIME], json_schema_extra=TIME)
    updated_at: str = Field(examples=[EXAMPLE_TIME], json_schema_extra=TIME)


class ManagedAccount(Profile):
    """An account, as administrators see it."""

    disabled_at: str | None = Field(
        examples=[EXAMPLE_TIME], json_schema_extra=TIME, description="Null while it is in use."
    )


class Login(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"email": EXAMPLE_EMAIL, "password": EXAMPLE_PASSWORD, "device": "Ada's laptop"}]
        }
    )

    email: AnyEmail
    password: Password
    delivery: Literal["body", "cookie"] = Field(
        "body",
        description="Where the refresh token goes: into the answer, or into a cookie that scripts cannot read (for browsers).",
    )
    device: DeviceName | None = None


class Refresh(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"refresh_token": EXAMPLE_REFRESH_TOKEN}]})

    refresh_token: Token | None = Field(None, description="Leave it out to use the cookie.")


class Logout(Refresh):
    """Nothing at all with an access token or the cookie."""


class Tokens(View):
    """What to send from now on."""

    access_token: str = Field(description="Send it as `Authorization: Bearer …`.")
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int = Field(examples=[600], description="Seconds that the access token is good for.")
    refresh_token: str | None = Field(
        examples=[EXAMPLE_REFRESH_TOKEN],
        description="Works once: each refresh gives the next. Null when it is in the cookie.",
    )
    session_id: str = Field(examples=[EXAMPLE_ID], json_schema_extra=UUID)
    user_id: str = Field(examples=[EXAMPLE_ID], json_schema_extra=UUID)


class TokenRequest(Body):
    """The form of OAuth 2.0 (RFC 6749, sections 4.3 and 6). Parameters that it does not know are ignored, as it demands."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [{"grant_type": "password", "username": EXAMPLE_EMAIL, "password": EXAMPLE_PASSWORD}]
        },
    )

    grant_type: Literal["password", "refresh_token"]
    username: AnyEmail | None = Field(None, description="The e-mail address; for `password`.")
    password: Password | None = Field(None, description="For `password`.")
    refresh_token: Token | None = Field(None, description="For `refresh_token`.")
    scope: Text | None = Field(None, max_length=1000, description="Ignored: the account's role decides.")


class OAuthTokens(View):
    """A token response (RFC 6749, section 5.1)."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int = Field(examples=[600])
    refresh_token: str = Field(examples=[EXAMPLE_REFRESH_TOKEN])
    scope: str = Field(examples=[""])


class Ticket(View):
    """Opens one socket: `/ws?ticket=…`."""

    ticket: str
    expires_in: int = Field(examples=[30], description="Seconds.")


class SessionView(View):
    """One device that is logged in."""

    id: str = Field(examples=[EXAMPLE_ID], json_schema_extra=UUID)
    device: str = Field(examples=["Ada's laptop"])
    address: str = Field(
        examples=["192.0.2.7"], description="The network address of its last login or refresh."
    )
    created_at: str = Field(examples=[EXAMPLE_TIME], json_schema_extra=TIME)
    last_used_at: str = Field(
        examples=[EXAMPLE_TIME], json_schema_extra=TIME, description="Its last login or refresh."
    )
    expires_at: str = Field(
        examples=[EXAMPLE_TIME], json_schema_extra=TIME, description="When it ends if nobody uses it."
    )
    current: bool = Field(description="Whether it is the one that asks.")


class PasswordChange(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"current_password": EXAMPLE_PASSWORD, "new_password": "twelve quiet herons at dawn"}
            ]
        }
    )

    current_password: Password
    new_password: NewPassword


class ForgottenPassword(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"email": EXAMPLE_EMAIL}]})

    email: AnyEmail


class PasswordReset(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"token": "bnp_" + "A" * 65, "new_password": "twelve quiet herons at dawn"}]
        }
    )

    token: Token
    new_password: NewPassword


class Verification(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "bnv_" + "A" * 65}]})

    token: Token


class Accepted(View):
    """It will be done in a moment."""

    status: Literal["accepted"] = "accepted"


class JsonWebKey(View):
    kty: str
    crv: str
    x: str
    kid: str
    use: str
    alg: str


class JsonWebKeys(View):
    """RFC 7517."""

    keys: list[JsonWebKey]


class Discovery(View):
    """OpenID Connect Discovery 1.0 and RFC 8414, as far as they apply: it tells where the keys are."""

    issuer: str
    jwks_uri: str
    token_endpoint: str
    response_types_supported: list[str]
    grant_types_supported: list[str]
    subject_types_supported: list[str]
    id_token_signing_alg_values_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    scopes_supported: list[str]
    claims_supported: list[str]
