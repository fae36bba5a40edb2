"""Query strings of lean handlers: parsed as strictly as bodies."""

from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel, ValidationError

from banyan.infra.http.problems import from_pydantic
from banyan.kernel.errors import FieldError, InvalidInput

MAX_PARAMETERS = 50

Parameters = TypeVar("Parameters", bound=BaseModel)


def parse_query(query: bytes, model: type[Parameters]) -> Parameters:
    """The parameters of a query string. Raises InvalidInput for unknown, repeated and wrong ones.

    model: refuses what it does not know (a `Body`); its fields take text, as `int` does.
    """
    values: dict[str, Any] = {}
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except ValueError as error:
        raise InvalidInput(errors=[FieldError("query", "is not a query string in UTF-8")]) from error
    for name, value in pairs:
        if name in values:
            raise InvalidInput(errors=[FieldError(f"query/{name}", "is given more than once")])
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise from_pydantic(error, place="query") from error


def true_or_false(value: object) -> object:
    """For fields that take exactly `true` and `false`; pydantic alone would take `1`, `yes` and `on` too."""
    if value is None or isinstance(value, bool) or value in ("true", "false"):
        return value
    raise ValueError("must be true or false")


def next_link(url: str, query: bytes, cursor: str) -> bytes:
    """The `Link` header of the next page (RFC 8288): the same query with another cursor."""
    # Written anew: what the client left unescaped must not end the address.
    kept = [pair for pair in parse_qsl(query.decode("ascii")) if pair[0] != "cursor"]
    return f'<{url}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'.encode()
