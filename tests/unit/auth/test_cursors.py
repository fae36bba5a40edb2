import pytest
from hypothesis import given
from hypothesis import strategies as st

from banyan.infra.auth.cursors import CursorSigner, InvalidCursor
from banyan.kernel.errors import InvalidInput
from banyan.kernel.ids import new_id

SECRET = "0123456789abcdef0123456789abcdef"
USER = new_id()
signer = CursorSigner(SECRET)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20), st.lists, max_leaves=8
)


@given(st.lists(JSON, max_size=5))
def test_a_cursor_gives_back_what_was_signed(payload: list[object]) -> None:
    assert CursorSigner(SECRET).open("todos", USER, signer.sign("todos", USER, payload)) == payload


def test_a_cursor_is_text_for_an_address() -> None:
    text = signer.sign("todos", USER, {"order": None, "id": "é"})
    assert not set(text) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def test_a_cursor_belongs_to_its_user_its_query_and_its_server() -> None:
    text = signer.sign("todos?completed=true", USER, [1])
    for purpose, user, by in (
        ("todos?completed=false", USER, signer),
        ("todos?completed=true", new_id(), signer),
        ("todos?completed=true", USER, CursorSigner("another secret of good length")),
        ("notifications", USER, signer),
    ):
        with pytest.raises(InvalidCursor):
            by.open(purpose, user, text)


def test_purpose_and_user_cannot_be_shifted_into_each_other() -> None:
    with pytest.raises(InvalidCursor):
        signer.open("ab", "c", signer.sign("a", "bc", [1]))


def test_every_changed_character_is_noticed() -> None:
    text = signer.sign("todos", USER, ["2030-01-01T00:00:00.000000Z", USER, 12])
    for index in range(len(text) - 1):  # The last character has bits that base64 does not use.
        with pytest.raises(InvalidCursor):
            signer.open(
                "todos", USER, text[:index] + ("A" if text[index] != "A" else "B") + text[index + 1 :]
            )


@pytest.mark.parametrize(
    "text", ["", "A", "AAAA", "é", "\ud800", "!", "A" * 5000, "A" * 22, "====", "\x00"], ids=repr
)
def test_text_that_is_no_cursor_is_invalid_input(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        signer.open("todos", USER, text)
    assert caught.value.code == "invalid_cursor"
    assert [error.pointer for error in caught.value.errors] == ["query/cursor"]


def test_a_payload_that_is_too_large_is_not_signed() -> None:
    with pytest.raises(ValueError, match="large"):
        signer.sign("todos", USER, ["x" * 2000])
