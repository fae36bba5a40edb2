import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banyan.infra.auth.password_policy import (
    MAX_PASSWORD_CHARS,
    WeakPassword,
    check_password,
    common_passwords,
    normalized,
)
from banyan.kernel.errors import InvalidInput

HINTS = ("Anna.Lindqvist@example.com", "Anna Lindqvist")


def fault(password: str, **options: object) -> str:
    with pytest.raises(WeakPassword) as caught:
        check_password(password, hints=HINTS, **options)  # pyright: ignore[reportArgumentType]
    assert isinstance(caught.value, InvalidInput)
    assert caught.value.code == "weak_password"
    [error] = caught.value.errors
    assert error.pointer == "/password"
    return error.detail


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "tr0ub4dor&3xyz",
        "aaaaaaaaaaab",
        "пароль-от-дома-7",
        "🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵🐔🐧",
        "twelve chars",
        "anna-plays-the-cello",
        "x" * 60 + "yz" * 100,
        "Zm9vYmFyYmF6cXV4" * 8 + "!",
    ],
)
def test_a_long_password_that_nobody_guesses_first_is_accepted(password: str) -> None:
    check_password(password, hints=HINTS)


def test_256_and_1024_characters_are_accepted_whole_and_more_is_refused() -> None:
    word = "".join(chr(0x4E00 + index) for index in range(MAX_PASSWORD_CHARS))[::2] * 2
    check_password(word[:256])
    check_password(word)
    assert "at most 1024" in fault(word + "x")


def test_a_short_password_is_refused_and_the_length_is_counted_in_characters() -> None:
    assert "at least 12" in fault("elevenchars")
    check_password("elevenchars", min_length=11)
    assert "at least 12" in fault("🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵🐔")
    # Eleven letters, each typed as a letter and an accent: normalising makes eleven characters of them.
    assert "at least 12" in fault("é" * 10 + "ü")
    assert "at least 12" in fault("")


def test_the_minimum_is_never_under_eight() -> None:
    with pytest.raises(ValueError, match="8"):
        check_password("whatever", min_length=7)


@pytest.mark.parametrize("password", ["password", "PassWord1", "qwertyuiop", "Q1W2E3R4T5Y6", "iloveyou1"])
def test_a_common_password_is_refused_in_any_case(password: str) -> None:
    assert "guessed first" in fault(password, min_length=8)


def test_the_list_of_common_passwords_is_there() -> None:
    words = common_passwords()
    assert len(words) > 8000
    assert {"password", "12345678", "q1w2e3r4t5y6"} <= words
    assert all(len(word) >= 8 and word == word.casefold() for word in words)


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaaaaaa",
        "abababababab",
        "xyz1xyz1xyz1",
        "passwordpassword",
        "2345678901234",
        "9876543210987",
        "abcdefghijkl",
        "zyxwvutsrqpo",
        "ZYXWVUTSRQPO",
        "            ",
    ],
)
def test_a_pattern_is_refused(password: str) -> None:
    assert "harder to guess" in fault(password)


@pytest.mark.parametrize(
    "password",
    [
        "Anna.Lindqvist@example.com",
        "anna.lindqvist",
        "Anna Lindqvist",
        "anna-lindqvist-1984",
        "ANNALINDQVIST!!",
        "annalindqvistexamplecom",
    ],
)
def test_the_own_name_or_address_is_refused(password: str) -> None:
    assert "your own" in fault(password)


def test_a_hint_of_few_letters_does_not_refuse_everything() -> None:
    check_password("4711-0815-1234-5", hints=("", "-", "7@example.com", "Bo"))


@pytest.mark.parametrize("char", ["\x00", "\n", "\x1b", "\x7f", "\x9f", chr(0xD800), chr(0xDFFF)], ids=repr)
def test_control_characters_and_broken_text_are_refused(char: str) -> None:
    assert "control characters" in fault(f"long enough {char} to be good")


def test_two_spellings_of_the_same_text_are_one_password_and_nothing_else_is_folded() -> None:
    assert normalized("e\u0301") == normalized("\u00e9")
    assert normalized("a\u00a0b\u3000c") == "a b c"
    assert normalized("x²") != normalized("x2")
    assert normalized("ﬁ") != normalized("fi")


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalized(text)
    assert normalized(once) == once == unicodedata.normalize("NFC", once)


def test_the_pointer_names_the_field_of_the_form() -> None:
    with pytest.raises(WeakPassword) as caught:
        check_password("short", pointer="/new_password")
    assert caught.value.errors[0].pointer == "/new_password"
