"""JSON from clients: read once, strictly.

Refused, each with a sentence: what is no JSON, NaN and infinities, numbers that no float can hold, the same key twice,
NUL characters, lone surrogates, and nesting deeper than any of our bodies needs.
"""

import math
import re

import jiter

from banyan.kernel.errors import MalformedRequest, UnsupportedMediaType

# The deepest body of the API has 5 levels; `data` of a notification is the caller's own.
MAX_DEPTH = 32

# An even number of backslashes before it: `\\u0000` is a backslash and the text "u0000", and no NUL.
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
# What a number too large for a float cannot do without: a positive exponent, or some 300 digits.
_MAY_OVERFLOW = re.compile(rb"[0-9][eE]\+?[0-9]|[0-9]{300}")


def require_json(content_type: bytes | None) -> None:
    """Raises UnsupportedMediaType for a body that says it is something else; one that says nothing is read as JSON."""
    if content_type is None or content_type == b"application/json":
        return
    media_type = content_type.split(b";")[0].strip().lower()
    if media_type != b"application/json" and not (
        media_type.startswith(b"application/") and media_type.endswith(b"+json")
    ):
        raise UnsupportedMediaType()


def read_json(body: bytes) -> object:
    """The value in `body`. Raises MalformedRequest."""
    if b"\x00" in body or (b"\\u0000" in body and _ESCAPED_NUL.search(body)):
        raise MalformedRequest("The body holds a NUL character, which nothing here can store.")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(body) > MAX_DEPTH:
        raise MalformedRequest(f"The body is nested deeper than {MAX_DEPTH} levels.")
    try:
        value = jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys")
    except ValueError as error:
        raise MalformedRequest(f"The body is not valid JSON: {error}.") from error
    # jiter refuses the word Infinity, but makes an infinity of 1e400.
    if _MAY_OVERFLOW.search(body) and _holds_infinity(value):
        raise MalformedRequest("The body holds a number that is too large.")
    return value


def _holds_infinity(value: object) -> bool:
    """Whether an infinity is anywhere in `value`, looked for without recursion."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
        elif isinstance(found, float) and math.isinf(found):
            return True
    return False


def _depth(body: bytes) -> int:
    """The deepest nesting, counted outside of strings, without recursion."""
    deepest = depth = 0
    in_string = escaped = False
    for byte in body:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > MAX_DEPTH:
                break
        elif byte in b"]}":
            depth -= 1
    return deepest
