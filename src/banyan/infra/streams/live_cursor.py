"""The cursor of a live stream: the positions up to which its client has seen each stream, as `todos.12-users.3`."""

from collections.abc import Sequence

from banyan.kernel.errors import InvalidInput

MAX_CHARS = 200
MAX_DIGITS = 18


class InvalidCursor(InvalidInput):
    code = "invalid_cursor"
    detail = "This cursor was not made by this server: leave it out to start from now."


Cursor = dict[str, int]
"""stream → the last position seen; a stream that is left out was seen up to 0."""


def format_cursor(cursor: Cursor) -> str:
    return "-".join(f"{stream}.{cursor[stream]}" for stream in sorted(cursor) if cursor[stream]) or "0"


def parse_cursor(text: str, streams: Sequence[str]) -> Cursor:
    """Raises InvalidCursor."""
    cursor: Cursor = {}
    if text == "0":
        return cursor
    if len(text) > MAX_CHARS:
        raise InvalidCursor()
    for part in text.split("-"):
        stream, dot, digits = part.partition(".")
        if (
            not dot
            or stream not in streams
            or stream in cursor
            or not digits.isascii()
            or not digits.isdigit()
        ):
            raise InvalidCursor()
        if len(digits) > MAX_DIGITS:
            raise InvalidCursor()
        cursor[stream] = int(digits)
    return cursor
