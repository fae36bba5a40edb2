import hashlib

import pytest

from banyan.infra.auth.opaque import digest_of, mint, parse, same_digest

OWNER = "01a1fdcb-d70e-74e0-81d7-0b306bf34637"


def test_a_token_leads_to_its_owner_and_to_the_stored_digest() -> None:
    token, digest = mint("bnr", OWNER)
    found = parse("bnr", token)
    assert found is not None
    assert (found.routing_id, found.digest) == (OWNER, digest)
    assert digest == hashlib.sha256(token.encode()).hexdigest() == digest_of(token)


def test_two_tokens_of_one_owner_differ_in_256_bits() -> None:
    (one, _), (two, _) = mint("bnr", OWNER), mint("bnr", OWNER)
    assert one != two
    assert len(one) == len("bnr_") + 22 + 43


def test_a_token_is_plain_text_for_addresses_and_headers() -> None:
    token, _ = mint("reset", OWNER)
    assert token.isascii()
    assert not set(token) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def test_a_token_of_one_kind_is_none_of_another() -> None:
    token, digest = mint("verify", OWNER)
    assert parse("reset", token) is None
    renamed = "reset" + token.removeprefix("verify")
    found = parse("reset", renamed)
    assert found is not None
    assert found.digest != digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bnr",
        "bnr_",
        "bnr_" + "a" * 64,
        "bnr_" + "a" * 66,
        "bnr_" + "!" * 65,
        "BNR_" + "A" * 65,
        "�",
        "x" * 10000,
        "bnr_" + "A" * 65 + "\n",
        " bnr_" + "A" * 65,
        "bnr_" + "é" * 65,
        "bnr_" + "A" * 21 + "B" + "A" * 43,
    ],
    ids=repr,
)
def test_text_that_is_no_token_is_not_parsed(text: str) -> None:
    assert parse("bnr", text) is None


@pytest.mark.parametrize(
    ("prefix", "owner"), [("B", OWNER), ("a_b", OWNER), ("", OWNER), ("bnr", "7"), ("bnr", "")]
)
def test_no_token_is_minted_for_a_malformed_owner_or_kind(prefix: str, owner: str) -> None:
    with pytest.raises(ValueError):
        mint(prefix, owner)


def test_digests_are_compared_whole() -> None:
    _, digest = mint("bnr", OWNER)
    assert same_digest(digest, str(digest))
    assert not same_digest(digest, digest[:-1] + ("0" if digest[-1] != "0" else "1"))
    assert not same_digest(digest, digest[:-1])
