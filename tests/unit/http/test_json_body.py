import json
import time
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from banyan.infra.http.json_body import MAX_DEPTH, read_json, require_json
from banyan.kernel.errors import MalformedRequest, UnsupportedMediaType

# Text that can be stored: no NUL, no surrogates.
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


@given(VALUES)
@example("\\u0000")
@example({"C:\\u0000\\": ["\\", "\\\\u0000"]})
@example(['"[{', "[" * 100, "]" * 100])
@example(1.7976931348623157e308)
def test_what_a_client_writes_is_what_we_read(value: object) -> None:
    assert read_json(json.dumps(value).encode()) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_malformed_request(body: bytes) -> None:
    with suppress(MalformedRequest):  # anything else comes out, and would be a 500
        read_json(body)


REFUSED = {
    "empty": b"",
    "blank": b" \n",
    "cut short": b'{"title": "x',
    "two values": b"{} {}",
    "a comma too many": b'{"title": "x",}',
    "single quotes": b"{'title': 'x'}",
    "comment": b'{"title": "x"} // why',
    "byte order mark": b'\xef\xbb\xbf{"title": "x"}',
    "utf-16": '{"title": "x"}'.encode("utf-16"),
    "latin-1": '{"title": "é"}'.encode("latin-1"),
    "overlong utf-8": b'{"title": "\xc0\xaf"}',
    "surrogate in utf-8": b'{"title": "\xed\xa0\x80"}',
    "raw NUL in a text": b'{"title": "a\x00b"}',
    "raw NUL between values": b'{"title":\x00 "x"}',
    "escaped NUL": rb'{"title": "a\u0000b"}',
    "escaped NUL after a backslash": rb'{"title": "\\\u0000"}',
    "escaped NUL in a name": rb'{"ti\u0000tle": "x"}',
    "raw line break": b'{"title": "a\nb"}',
    "lone high surrogate": rb'{"title": "\ud83d"}',
    "lone low surrogate": rb'{"title": "\ude00"}',
    "surrogates in the wrong order": rb'{"title": "\ude00\ud83d"}',
    "NaN": b'{"order": NaN}',
    "infinity": b'{"order": Infinity}',
    "minus infinity": b'{"order": -Infinity}',
    "a number that becomes infinite": b'{"order": 1e400}',
    "an infinite number without a sign of it": b'{"data": [{"x": ' + b"9" * 400 + b".5}]}",
    "many digits and a small exponent": b"[" + b"9" * 305 + b"e9]",
    "a whole number of 5,000 digits": b"[" + b"9" * 5000 + b"]",
    "a whole number of a million digits": b"[" + b"9" * 1_000_000 + b"]",
    "leading zero": b"[01]",
    "the same key twice": b'{"title": "a", "title": "b"}',
    "the same key twice, once escaped": rb'{"title": "a", "\u0074itle": "b"}',
    "the same key twice, deep inside": b'{"operations": [{"op": "delete", "op": "create"}]}',
    "one level too deep": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "100,000 levels of objects, cut short": b'{"a":' * 100_000,
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_strict_json_is_malformed(body: bytes) -> None:
    began = time.perf_counter()
    with pytest.raises(MalformedRequest):
        read_json(body)
    # Nobody can keep the event loop busy with a body that will be refused.
    assert time.perf_counter() - began < 0.5


def test_the_deepest_body_that_is_allowed_is_read() -> None:
    value = read_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        assert isinstance(value, list)
        (value,) = value
    assert value == []


def test_brackets_inside_texts_are_no_depth() -> None:
    text = '[{"' * 50 + "\\"
    assert read_json(json.dumps([text, {text: text}]).encode()) == [text, {text: text}]


def test_a_large_flat_body_is_read_quickly() -> None:
    operations = [{"op": "create", "todo": {"title": "x" * 400, "notes": '"[' * 600}} for _ in range(500)]
    body = json.dumps({"operations": operations}).encode()
    began = time.perf_counter()
    assert read_json(body) == {"operations": operations}
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        b"application/json",
        b"application/json; charset=utf-8",
        b"Application/JSON",
        b"application/merge-patch+json",
        b" application/json ;charset=utf-8",
    ],
    ids=repr,
)
def test_json_may_be_called_what_it_is_called(content_type: bytes | None) -> None:
    require_json(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        b"text/plain",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data",
        b"",
        b"text/json",
        b"application/jsonp",
        b"text/plain;application/json",
        b"image/svg+json",
    ],
    ids=repr,
)
def test_another_media_type_is_refused(content_type: bytes) -> None:
    with pytest.raises(UnsupportedMediaType):
        require_json(content_type)
