"""Channels that people set up, over HTTP: what is sent and what is answered."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from banyan.infra.http.fields import Body, Flag, Line, Text, View
from banyan.infra.outbound.target import MAX_URL_CHARS
from banyan.modules.notifications.views import EXAMPLE_ID, EXAMPLE_TIME, TIME, UUID

EXAMPLE_URL = "https://example.org/hooks/banyan"

Name = Annotated[Line, Field(min_length=1, max_length=100)]
Url = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=MAX_URL_CHARS,
        json_schema_extra={"format": "uri", "pattern": "^https?://[!-~]+$"},
        description="Where notifications are posted to: `https://`, and a host that is public on the Internet."
        " It is kept sealed, so it may hold a token.",
    ),
]


class NewWebhook(Body):
    """A webhook: each notification is posted to a URL of yours, signed."""

    kind: Literal["webhook"]
    url: Url
    name: Name | None = None


class NewEmail(Body):
    """E-mail, to the confirmed address of your account."""

    kind: Literal["email"]
    name: Name | None = None


NewChannel = Annotated[NewWebhook | NewEmail, Field(discriminator="kind")]
NEW_CHANNEL_EXAMPLES: dict[str, Any] = {
    "webhook": {
        "summary": "A webhook",
        "value": {"kind": "webhook", "url": EXAMPLE_URL, "name": "Home automation"},
    },
    "email": {"summary": "E-mail", "value": {"kind": "email"}},
}


class ChannelPatch(Body):
    """What can be changed of a channel; fields that are left out stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": False}], "minProperties": 1})

    name: Name | None = None
    enabled: Flag = True
    url: Url = EXAMPLE_URL

    @model_validator(mode="after")
    def _says_something(self) -> "ChannelPatch":
        if not self.model_fields_set:
            raise ValueError("say what to change: name, enabled or url")
        return self

    def wanted(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.model_fields_set}


class ChannelView(View):
    id: str = Field(json_schema_extra=UUID, examples=[EXAMPLE_ID])
    kind: Literal["email", "webhook"]
    name: str | None = Field(examples=["Home automation"])
    host: str | None = Field(examples=["example.org"], description="Of a webhook's URL.")
    url: str | None = Field(examples=[EXAMPLE_URL], description="Of a webhook.")
    enabled: bool
    disabled_reason: Literal["gone"] | None = Field(
        description="`gone`: its receiver answered 410, and it was disabled for that."
    )
    created_at: str = Field(json_schema_extra=TIME, examples=[EXAMPLE_TIME])
    updated_at: str = Field(json_schema_extra=TIME, examples=[EXAMPLE_TIME])
    version: int = Field(ge=1, examples=[1])


class ChannelWithSecret(ChannelView):
    secret: str | None = Field(
        None,
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="],
        description="Of a webhook: what its messages are signed with. It is shown this once.",
    )
