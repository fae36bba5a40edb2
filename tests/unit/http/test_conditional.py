import pytest
from hypothesis import given
from hypothesis import strategies as st

from banyan.infra.http.conditional import expected_version, is_unchanged, parse_tags
from banyan.kernel.errors import InvalidInput, PreconditionFailed


def test_no_if_match_expects_nothing() -> None:
    assert expected_version(None) is None


@pytest.mark.parametrize("header", ["*", " * "])
def test_a_star_matches_whatever_is_there(header: str) -> None:
    assert expected_version(header) is None


@given(st.integers(1, 10**15 - 1))
def test_a_version_in_quotes_is_expected(version: int) -> None:
    assert expected_version(f'"{version}"') == version
    # A proxy that compresses marks tags as weak; the version is the same.
    assert expected_version(f' W/"{version}" ') == version


@pytest.mark.parametrize(
    "header", ['"abc"', '""', '"٣"', '"-1"', '"1.0"', '"9999999999999999999"', '"1 "'], ids=repr
)
def test_a_tag_that_we_never_gave_fails_the_precondition(header: str) -> None:
    with pytest.raises((PreconditionFailed, InvalidInput)):
        expected_version(header)


@pytest.mark.parametrize("header", ["", "3", '"3', '3"', "W/3", '"1" 2', "**", "'3'", '"1"; x'], ids=repr)
def test_what_is_no_entity_tag_is_invalid_and_says_where(header: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        expected_version(header)
    assert [error.pointer for error in caught.value.errors] == ["header/If-Match"]


def test_tags_are_parsed_from_a_list() -> None:
    assert parse_tags('"1", W/"2" ,"a,b"') == ["1", "2", "a,b"]
    assert parse_tags("*") is None


@pytest.mark.parametrize(
    "held", [b'"7"', b'W/"7"', b'"1", "7"', b'"1",W/"7"', b"*", b' "7" '], ids=lambda held: held.decode()
)
def test_what_the_client_holds_is_unchanged(held: bytes) -> None:
    assert is_unchanged(held, b'"7"')


@pytest.mark.parametrize(
    "held", [None, b"", b'"8"', b"7", b'"7', b'W/"77"', b'""', b"\xff", b"null"], ids=repr
)
def test_what_the_client_does_not_hold_is_sent(held: bytes | None) -> None:
    assert not is_unchanged(held, b'"7"')
