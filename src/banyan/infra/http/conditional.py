"""Conditional requests: entity tags, `If-Match` and `If-None-Match` (RFC 9110, section 13)."""

import re

from banyan.kernel.errors import FieldError, InvalidInput, PreconditionFailed

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')

# What `parse_tags` takes, for the documentation.
IF_MATCH_PATTERN = r'^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$'


def parse_tags(header: str) -> list[str] | None:
    """The tags of a header (weak marks removed); None for `*`. Raises InvalidInput."""
    header = header.strip()
    if header == "*":
        return None
    tags = [match.group(2) for match in _TAG.finditer(header)]
    if not tags or _TAG.sub("", header).replace(",", "").strip():
        fault = FieldError("header/If-Match", 'must be an entity tag in quotes, such as "3", or *')
        raise InvalidInput(errors=[fault])
    return tags


def expected_version(if_match: str | None) -> int | None:
    """The version that a client insists on; None when it does not.

    A tag that is no version of ours cannot match anything: PreconditionFailed.
    """
    if if_match is None:
        return None
    tags = parse_tags(if_match)
    if tags is None:
        return None
    versions = [int(tag) for tag in tags if tag.isascii() and tag.isdigit() and len(tag) <= 15]
    if len(versions) != 1:
        raise PreconditionFailed()
    return versions[0]


def is_unchanged(if_none_match: bytes | None, tag: bytes) -> bool:
    """Whether the client holds what `tag` (with quotes) names. Weak comparison; a broken header is no match."""
    if if_none_match is None:
        return False
    if if_none_match == tag:
        return True
    return any(part.strip().removeprefix(b"W/") in (tag, b"*") for part in if_none_match.split(b","))
