import pytest

from banyan.infra.auth.derive import derive_key
from banyan.infra.auth.secret_box import SealedDataUnreadable, SecretBox, WrongSecret

SECRET = "0123456789abcdef0123456789abcdef"
box = SecretBox(SECRET)


def test_what_was_sealed_opens_in_another_process_with_the_same_secret() -> None:
    assert SecretBox(SECRET).open(box.seal(b"a key", "row/1"), "row/1") == b"a key"


def test_the_same_bytes_are_never_sealed_alike() -> None:
    assert box.seal(b"a key", "row/1") != box.seal(b"a key", "row/1")


def test_another_secret_is_told_apart_from_damage() -> None:
    with pytest.raises(WrongSecret) as caught:
        SecretBox("another secret of good length").open(box.seal(b"a key", "row/1"), "row/1")
    assert "BANYAN_SECRET_KEY" in caught.value.detail


def test_a_sealed_value_does_not_open_elsewhere() -> None:
    with pytest.raises(SealedDataUnreadable) as caught:
        box.open(box.seal(b"a key", "row/1"), "row/2")
    assert not isinstance(caught.value, WrongSecret)


def test_every_changed_character_of_the_body_is_noticed() -> None:
    sealed = box.seal(b"a key", "row/1")
    start = sealed.rindex(".") + 1
    for index in range(start, len(sealed) - 1):  # The last character has bits that base64 does not use.
        changed = sealed[:index] + ("A" if sealed[index] != "A" else "B") + sealed[index + 1 :]
        with pytest.raises(SealedDataUnreadable):
            box.open(changed, "row/1")


@pytest.mark.parametrize("cut", [0, 1, 3, 10, 17, 20, 30])
def test_a_shortened_value_is_unreadable(cut: int) -> None:
    with pytest.raises(SealedDataUnreadable):
        box.open(box.seal(b"a key", "row/1")[:cut], "row/1")


@pytest.mark.parametrize("text", ["", "v2.abc.def", "v1", "v1.é.é", "plain", "v1..", "\ud800"], ids=repr)
def test_text_that_was_never_sealed_is_unreadable(text: str) -> None:
    with pytest.raises(SealedDataUnreadable):
        box.open(text, "row/1")


def test_a_body_of_foreign_characters_is_unreadable() -> None:
    head = box.seal(b"a key", "row/1").rpartition(".")[0]
    for body in ("!!!!", "é", "A", "AAAA"):
        with pytest.raises(SealedDataUnreadable):
            box.open(f"{head}.{body}", "row/1")


def test_each_purpose_has_a_key_of_its_own() -> None:
    assert derive_key(SECRET, "a") == derive_key(SECRET, "a") != derive_key(SECRET, "b")
    assert len(derive_key(SECRET, "a")) == 32


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="16"):
        SecretBox("changeme")
