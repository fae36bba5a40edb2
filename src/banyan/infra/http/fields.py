"""Field types that the modules' HTTP models share: strict scalars, and text that every store can keep."""

from datetime import UTC
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic import Strict as _Strict

from banyan.kernel.clock import to_text
from banyan.kernel.ids import is_id

_MOMENT = TypeAdapter(AwareDatetime)


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("NUL characters cannot be stored")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("lone surrogates are not text") from None
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _canonical_id(text: str) -> str:
    text = text.lower()
    if not is_id(text):
        raise ValueError("must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")
    return text


def _instant(value: Any) -> str:
    # Numbers are Unix times to pydantic, and dates without a time midnight; here an instant is a full RFC 3339 text.
    if not isinstance(value, str) or len(value) < 20 or value[10:11] not in ("T", "t", " "):
        raise ValueError("must be an RFC 3339 time with its zone, such as 2030-01-31T09:00:00Z")
    try:
        return to_text(_MOMENT.validate_python(value).astimezone(UTC))
    except (OverflowError, ValidationError):
        raise ValueError("must be an RFC 3339 time with its zone, between the years 1 and 9999") from None


Text = Annotated[str, _Strict(), AfterValidator(_storable)]
"""Text that can be stored; JSON strings only."""

# With the four separators and the next-line character that are white space to Python and not to JSON Schema.
_NOT_BLANK_PATTERN = r"[^\s\u001c-\u001f\u0085]"
Line = Annotated[Text, AfterValidator(_not_blank), Field(json_schema_extra={"pattern": _NOT_BLANK_PATTERN})]
"""Text that is not blank."""

Flag = Annotated[bool, _Strict()]
Whole = Annotated[int, _Strict()]

IdText = Annotated[
    str,
    _Strict(),
    AfterValidator(_canonical_id),
    WithJsonSchema(
        {"type": "string", "format": "uuid", "examples": ["01890a5d-ac96-774b-bcce-b302099a8057"]}
    ),
]
"""A UUID, in canonical form afterwards."""

InstantText = Annotated[
    str,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2030-01-31T09:00:00Z"]}),
]
"""An RFC 3339 time; afterwards the kernel's text form, in UTC."""


class Body(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class View(BaseModel):
    """An answer."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)
