import json

import pytest

from banyan.infra.auth.keys import MAX_JWKS_KEYS, KeyRing, SigningKey, rotate
from banyan.infra.auth.secret_box import SealedDataUnreadable, SecretBox, WrongSecret

NOW = 1_900_000_000.0
BOX = SecretBox("0123456789abcdef0123456789abcdef")


def test_the_kid_is_the_thumbprint_of_rfc_8037() -> None:
    # The key pair and thumbprint of RFC 8037, appendices A.1 to A.3.
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = SigningKey.from_private_bytes(seed, "active")
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert key.public_jwk()["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"


def test_the_jwks_has_public_halves_only() -> None:
    document = KeyRing([SigningKey.generate("active"), SigningKey.generate("next")]).jwks(NOW)
    assert len(document["keys"]) == 2
    for jwk in document["keys"]:
        assert set(jwk) == {"kty", "crv", "x", "kid", "use", "alg"}


def test_a_private_key_does_not_show_in_a_repr() -> None:
    key = SigningKey.generate("active")
    secret = json.dumps(key.jwk.as_dict(private=True)["d"])
    assert secret.strip('"') not in repr(key)


def test_a_sealed_key_opens_to_the_same_key() -> None:
    key = SigningKey.generate("next")
    again = SigningKey.unseal(key.seal(BOX), key.kid, "next", BOX)
    assert (again.kid, again.private_bytes()) == (key.kid, key.private_bytes())


def test_a_sealed_key_does_not_open_under_another_kid_or_secret() -> None:
    key = SigningKey.generate("next")
    with pytest.raises(SealedDataUnreadable):
        SigningKey.unseal(key.seal(BOX), "another", "next", BOX)
    with pytest.raises(WrongSecret):
        SigningKey.unseal(key.seal(BOX), key.kid, "next", SecretBox("another secret of good length"))


def test_rotation_goes_from_next_to_active_to_retired_to_gone() -> None:
    first = {key.state: key for key in rotate([], NOW, 600)}
    assert set(first) == {"active", "next"}

    keys = rotate(first.values(), NOW, 600)
    states = {key.kid: key.state for key in keys}
    assert states[first["active"].kid] == "retired"
    assert states[first["next"].kid] == "active"
    assert sorted(states.values()) == ["active", "next", "retired"]

    ring = KeyRing(keys)
    assert ring.verifying(first["active"].kid, NOW + 600) is not None
    assert ring.verifying(first["active"].kid, NOW + 601) is None
    assert len(ring.jwks(NOW)["keys"]) == 3
    assert ring.jwks(NOW)["keys"][0]["kid"] == ring.active().kid
    assert len(ring.jwks(NOW + 601)["keys"]) == 2

    later = rotate(keys, NOW + 601, 600)
    assert first["active"].kid not in {key.kid for key in later}
    assert sorted(key.state for key in later) == ["active", "next", "retired"]


def test_a_ring_refuses_two_active_keys_a_repeated_key_and_too_many() -> None:
    key = SigningKey.generate("active")
    with pytest.raises(ValueError, match="two"):
        KeyRing([key, SigningKey.generate("active")])
    with pytest.raises(ValueError, match="twice"):
        KeyRing([key, key])
    with pytest.raises(ValueError, match="more than"):
        KeyRing([SigningKey.generate("next") for _ in range(MAX_JWKS_KEYS + 1)])


def test_a_ring_without_an_active_key_cannot_sign() -> None:
    with pytest.raises(LookupError):
        KeyRing([SigningKey.generate("next")]).active()


def test_foreign_keys_in_a_jwks_are_left_out() -> None:
    good = SigningKey.generate("active")
    foreign = [
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "OKP", "crv": "X25519", "x": good.public_jwk()["x"]},
        {"kty": "OKP", "crv": "Ed25519", "x": "short"},
        {"kty": "OKP", "crv": "Ed25519"},
        {**good.public_jwk(), "use": "enc"},
        "text",
    ]
    ring = KeyRing.from_jwks({"keys": [*foreign, {**good.public_jwk(), "kid": "a lie"}]})
    # The kid is computed, never believed.
    assert [key.kid for key in ring.keys] == [good.kid]
    with pytest.raises(ValueError, match="no Ed25519"):
        KeyRing.from_jwks({"keys": foreign})


def test_a_public_key_has_no_private_half_to_give() -> None:
    key = SigningKey.from_public_jwk({**SigningKey.generate("active").public_jwk()})
    assert not key.can_sign
    with pytest.raises(ValueError, match="private half"):
        key.private_bytes()
