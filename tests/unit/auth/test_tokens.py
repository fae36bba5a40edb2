"""Access tokens: what is accepted, and every kind of token that is refused (RFC 8725, RFC 9068)."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from banyan.infra.auth.keys import KeyRing, SigningKey, rotate
from banyan.infra.auth.opaque import mint
from banyan.infra.auth.tokens import TokenIssuer, TokenVerifier
from banyan.kernel.clock import ManualClock
from banyan.kernel.errors import Unauthenticated
from banyan.kernel.ids import new_id

ISSUER = "https://banyan.example"
AUDIENCE = "banyan"
USER, SESSION = new_id(), new_id()

clock = ManualClock()
key = SigningKey.generate("active")
ring = KeyRing([key])
issuer = TokenIssuer(ring, issuer=ISSUER, audience=AUDIENCE, clock=clock)
verifier = TokenVerifier(ring, issuer=ISSUER, audience=AUDIENCE, leeway=timedelta(seconds=30), clock=clock)
NOW = int(clock.now().timestamp())


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def forge(
    claims: dict[str, Any] | bytes | None = None,
    header: dict[str, Any] | bytes | None = None,
    *,
    drop: str | None = None,
    raw_key: bytes | None = None,
    **changes: Any,
) -> str:
    """A token that is right except for what is said, with a true signature (by `raw_key`, or else by our own key)."""
    if claims is None:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": USER,
            "sid": SESSION,
            "scope": "",
            "role": "user",
            "iat": NOW,
            "nbf": NOW,
            "exp": NOW + 600,
            "jti": new_id(),
            **changes,
        }
    if isinstance(claims, dict) and drop:
        del claims[drop]
    header = header if header is not None else {"alg": "EdDSA", "typ": "at+jwt", "kid": key.kid}
    head = b64(header if isinstance(header, bytes) else json.dumps(header).encode())
    body = b64(claims if isinstance(claims, bytes) else json.dumps(claims).encode())
    signer = Ed25519PrivateKey.from_private_bytes(raw_key or key.private_bytes())
    return f"{head}.{body}.{b64(signer.sign(f'{head}.{body}'.encode()))}"


def header(**changes: Any) -> dict[str, Any]:
    return {"alg": "EdDSA", "typ": "at+jwt", "kid": key.kid, **changes}


def part(token: str, index: int) -> dict[str, Any]:
    text = token.split(".")[index]
    return json.loads(base64.urlsafe_b64decode(text + "=="))


def reason(token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        verifier.verify(token)
    return caught.value.facts["reason"]


def test_an_issued_token_names_its_principal() -> None:
    token, expires_at = issuer.issue(USER, SESSION, frozenset({"notify", "todos"}), "admin")
    principal = verifier.verify(token)
    assert (principal.user_id, principal.session_id, principal.role) == (USER, SESSION, "admin")
    assert principal.scopes == {"notify", "todos"}
    assert principal.expires_at == expires_at == NOW + 600


def test_a_token_follows_the_access_token_profile() -> None:
    token, _ = issuer.issue(USER, SESSION, frozenset({"b", "a"}))
    assert part(token, 0) == {"alg": "EdDSA", "typ": "at+jwt", "kid": key.kid}
    claims = part(token, 1)
    assert {name: claims[name] for name in ("iss", "aud", "sub", "sid", "scope")} == {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": USER,
        "sid": SESSION,
        "scope": "a b",
    }
    assert claims["exp"] - claims["iat"] == issuer.lifetime_seconds == 600
    assert claims["nbf"] == claims["iat"]
    assert claims["jti"] != part(issuer.issue(USER, SESSION)[0], 1)["jti"]


def test_the_forge_of_these_tests_makes_tokens_that_are_accepted() -> None:
    # Otherwise every refusal below could have another cause than the one it names.
    assert verifier.verify(forge()).user_id == USER


def test_an_audience_among_several_is_accepted() -> None:
    assert verifier.verify(forge(aud=["other", AUDIENCE])).user_id == USER


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "sid", "scope", "role", "iat", "nbf", "exp", "jti"])
def test_a_token_without_a_claim_is_refused(name: str) -> None:
    assert reason(forge(drop=name)) == "access_token_invalid"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"iss": [ISSUER]},
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": []},
        {"aud": None},
        {"sub": "not-an-id"},
        {"sub": 7},
        {"sub": None},
        {"sid": "1"},
        {"sid": {"a": 1}},
        {"scope": ["notify"]},
        {"role": "root"},
        {"role": ["admin"]},
        {"exp": str(NOW + 600)},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"nbf": "soon"},
        {"iat": NOW + 31},
        {"nbf": NOW + 31},
    ],
    ids=str,
)
def test_a_token_with_a_wrong_claim_is_refused(changes: dict[str, Any]) -> None:
    assert reason(forge(**changes)) == "access_token_invalid"


def test_an_expired_token_says_that_it_has_expired_and_nothing_more() -> None:
    with pytest.raises(Unauthenticated) as caught:
        verifier.verify(forge(exp=NOW - 31))
    assert caught.value.facts == {"reason": "access_token_expired"}
    assert "expired" in caught.value.detail


@pytest.mark.parametrize(("exp", "good"), [(NOW - 29, True), (NOW - 30, False)])
def test_the_leeway_of_the_expiry_is_exact(exp: int, good: bool) -> None:
    if good:
        assert verifier.verify(forge(exp=exp)).expires_at == exp
    else:
        assert reason(forge(exp=exp)) == "access_token_expired"


@pytest.mark.parametrize(("nbf", "good"), [(NOW + 30, True), (NOW + 31, False)])
def test_the_leeway_of_not_before_is_exact(nbf: int, good: bool) -> None:
    if good:
        assert verifier.verify(forge(nbf=nbf, iat=nbf)).user_id == USER
    else:
        assert reason(forge(nbf=nbf)) == "access_token_invalid"


def test_a_leeway_over_a_minute_is_not_accepted() -> None:
    with pytest.raises(ValueError, match="leeway"):
        TokenVerifier(ring, issuer=ISSUER, audience=AUDIENCE, leeway=timedelta(seconds=61))


@pytest.mark.parametrize(
    "other",
    [
        header(typ="JWT"),
        header(typ="jwt"),
        header(typ="AT+JWT"),
        header(typ="application/at+jwt"),
        header(typ=None),
        {"alg": "EdDSA", "kid": key.kid},
        {"alg": "EdDSA", "typ": "at+jwt"},
        {"typ": "at+jwt", "kid": key.kid},
        header(alg="none"),
        header(alg="None"),
        header(alg="HS256"),
        header(alg="ES256"),
        header(alg="RS256"),
        header(alg="Ed25519"),
        header(alg="eddsa"),
        header(alg=None),
        header(kid="unknown"),
        header(kid=""),
        header(kid="../../etc/passwd"),
        header(kid="' OR 1=1 --"),
        header(kid=[key.kid]),
        header(kid={"kid": key.kid}),
        header(kid=None),
        header(jku="https://evil.example/jwks.json"),
        header(jwk=key.public_jwk()),
        header(x5u="https://evil.example/cert"),
        header(x5c=["MII"]),
        header(x5t="abc"),
        header(crit=["exp"]),
        header(crit=[]),
        header(b64=False, crit=["b64"]),
        header(zip="DEF"),
        header(cty="JWT"),
        header(extra=1),
        [],
        {},
        b"null",
        b"7",
        b'"EdDSA"',
        b"{",
        b"\xff\xfe",
        b"[" * 480,
    ],
    # The key is another one in every run, the names are not.
    ids=lambda other: str(other).replace(key.kid, "KID").replace(key.public_jwk()["x"], "X"),
)
def test_a_token_with_another_header_is_refused(other: Any) -> None:
    assert reason(forge(header=other)) == "access_token_invalid"


@pytest.mark.parametrize(
    "claims", [b"[]", b"null", b"{", b"\xff", b"[" * 2800, b'"text"', b"7"], ids=lambda x: x[:6]
)
def test_a_signed_payload_that_is_no_claims_set_is_refused(claims: bytes) -> None:
    assert reason(forge(claims)) == "access_token_invalid"


def test_another_key_under_our_kid_is_refused() -> None:
    assert reason(forge(raw_key=Ed25519PrivateKey.generate().private_bytes_raw())) == "access_token_invalid"


def test_our_public_key_as_a_shared_secret_is_refused() -> None:
    head, body, _ = forge(header=header(alg="HS256")).split(".")
    signature = hmac.digest(key.public_bytes(), f"{head}.{body}".encode(), hashlib.sha256)
    assert reason(f"{head}.{body}.{b64(signature)}") == "access_token_invalid"
    assert reason(f"{head}.{body}.{b64(signature + signature)}") == "access_token_invalid"


def test_a_token_without_a_signature_is_refused() -> None:
    head, body, _ = forge(header=header(alg="none")).split(".")
    assert reason(f"{head}.{body}.") == "access_token_invalid"
    assert reason(f"{head}.{body}") == "access_token_invalid"


def test_every_changed_character_is_noticed() -> None:
    token = forge()
    for index in range(0, len(token), 7):
        other = "A" if token[index] != "A" else "B"
        assert reason(token[:index] + other + token[index + 1 :]) == "access_token_invalid"


def test_a_token_has_no_second_spelling() -> None:
    token = forge()
    last = token[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = alphabet[alphabet.index(last) ^ 1]  # Differs only in bits that the signature does not use.
    for other in (
        token[:-1] + twin,
        token + "=",
        token + "\n",
        " " + token,
        token.replace(".", " ."),
        token + ".",
    ):
        assert reason(other) == "access_token_invalid"


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a.b.c", "\ud800", "a" * 5000, "é.é.é", "\x00", "Bearer x"], ids=repr
)
def test_text_that_is_no_token_is_refused(text: str) -> None:
    assert reason(text) == "access_token_invalid"


def test_an_oversized_token_is_refused_though_its_signature_is_right() -> None:
    assert verifier.verify(forge(scope="x" * 2000)).user_id == USER
    assert reason(forge(scope="x" * 4000)) == "access_token_invalid"


def test_a_refresh_token_is_no_access_token() -> None:
    assert reason(mint("bnr", USER)[0]) == "access_token_invalid"


def test_the_issuer_refuses_scopes_that_would_change_the_list() -> None:
    for scope in ("a b", "", 'a"', "x" * 65):
        with pytest.raises(ValueError, match="scope"):
            issuer.issue(USER, SESSION, frozenset({scope}))
    with pytest.raises(ValueError, match="role"):
        issuer.issue(USER, SESSION, role="root")


def test_two_keys_verify_during_a_rotation_and_the_old_one_ends() -> None:
    time = ManualClock()
    first = rotate([], time.now().timestamp(), 630)
    keys = KeyRing(first)
    sign = TokenIssuer(keys, issuer=ISSUER, audience=AUDIENCE, clock=time)
    check = TokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE, clock=time)
    other_process = TokenVerifier(KeyRing(first), issuer=ISSUER, audience=AUDIENCE, clock=time)
    old, _ = sign.issue(USER, SESSION)

    keys.replace(rotate(first, time.now().timestamp(), 630))
    new, _ = sign.issue(USER, SESSION)
    assert part(old, 0)["kid"] != part(new, 0)["kid"]
    assert check.verify(old).user_id == check.verify(new).user_id == USER
    # A process that has not heard of the rotation knows the new key as `next`.
    assert other_process.verify(new).user_id == USER

    time.advance(timedelta(seconds=599))
    assert check.verify(old).user_id == USER
    time.advance(timedelta(seconds=100))
    with pytest.raises(Unauthenticated):
        check.verify(old)


def test_a_process_that_only_has_the_jwks_verifies_and_cannot_sign() -> None:
    document = json.loads(json.dumps(ring.jwks(NOW)))
    remote = KeyRing.from_jwks(document)
    token, _ = issuer.issue(USER, SESSION)
    assert TokenVerifier(remote, issuer=ISSUER, audience=AUDIENCE, clock=clock).verify(token).user_id == USER
    with pytest.raises(LookupError):
        TokenIssuer(remote, issuer=ISSUER, audience=AUDIENCE, clock=clock).issue(USER, SESSION)
