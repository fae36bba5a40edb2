"""What Schemathesis cannot know from the document, told to it by a hook (SCHEMATHESIS_HOOKS names this module).

Some values are of the right form and yet wrong: a cursor that nobody was given, a key that was used for something else,
a time zone or a list that does not exist, a password that everybody would guess. Where a request is meant to be right,
they are made right; requests that are meant to be wrong stay as they are.
"""

import os
import re
from typing import Any
from uuid import uuid4

import schemathesis

from banyan.infra.http.conditional import IF_MATCH_PATTERN

CALLER = os.environ.get("BANYAN_TEST_CALLER")
GOOD = {
    "time_zone": "Europe/Berlin",
    "avatar_url": "https://example.org/ada.png",
    "password": "correct horse battery staple",
    "new_password": "twelve quiet herons at dawn",
    "list_id": None,
    # Nobody listens there, and nothing leaves the machine.
    "url": "http://127.0.0.1:9/hook",
}


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.query and "cursor" in case.query:
        del case.query["cursor"]
    if case.operation.path == "/users/{user_id}" and CALLER is not None:
        # Whom somebody else has registered is nobody's business: only one's own profile is found.
        case.path_parameters["user_id"] = CALLER
    for name in list(case.headers or ()):
        if name.lower() == "idempotency-key":
            case.headers[name] = str(uuid4())
        # The shortest and longest texts that it tries are not of the documented pattern.
        if name.lower() == "if-match" and not re.match(IF_MATCH_PATTERN, case.headers[name]):
            case.headers[name] = "*"
    if isinstance(case.body, dict):
        case.body = made_right(case.body)


def made_right(value: Any) -> Any:
    """The body with values that exist; only where there was a value of that kind."""
    if isinstance(value, dict):
        return {
            name: GOOD[name] if name in GOOD and isinstance(inner, str) else made_right(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [made_right(inner) for inner in value]
    # To JSON Schema 3.0 is a whole number; Banyan takes only what is written as one.
    return int(value) if isinstance(value, float) and value.is_integer() else value
