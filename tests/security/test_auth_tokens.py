"""Access tokens over HTTP: which are refused, what is published, and that identity comes from the token alone."""

import base64
import json
import time
from collections.abc import Callable

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey
from tests.support.accounts import Account


def decoded(token: str) -> tuple[dict, dict]:
    header, claims, _ = token.split(".")
    return tuple(
        json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, claims)
    )  # pyright: ignore[reportReturnType]


def encoded(value: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def refused(api: httpx.Client, token: str) -> None:
    for path in ("/users/me", "/todos", "/events"):
        answer = api.get(path, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 401, path
        assert answer.json()["code"] == "unauthenticated"
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_is_a_short_lived_at_jwt_that_the_published_keys_verify(new_user, api: httpx.Client):
    ada: Account = new_user()
    header, claims = decoded(ada.access_token)
    assert (header["alg"], header["typ"]) == ("EdDSA", "at+jwt")
    assert (claims["sub"], claims["sid"], claims["role"]) == (ada.id, ada.session_id, "user")
    assert claims["exp"] - claims["iat"] == 600
    answer = api.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    keys = {key["kid"]: key for key in answer.json()["keys"]}
    assert "d" not in keys[header["kid"]]
    assert (
        jwt.decode(ada.access_token, OKPKey.import_key(keys[header["kid"]]), algorithms=["EdDSA"]).claims
        == claims
    )
    found = api.get("/.well-known/openid-configuration").json()
    assert found["issuer"] == claims["iss"]
    assert api.get(found["jwks_uri"]).json() == answer.json()


Change = Callable[[dict, dict], None]


def _alg_none(header: dict, claims: dict) -> None:
    header["alg"] = "none"


CHANGES: dict[str, Change] = {
    "alg none": _alg_none,
    "alg HS256": lambda header, claims: header.update(alg="HS256"),
    "typ JWT": lambda header, claims: header.update(typ="JWT"),
    "no typ": lambda header, claims: header.pop("typ") and None,
    "unknown kid": lambda header, claims: header.update(kid="x"),
    "kid a path": lambda header, claims: header.update(kid="../../etc/passwd"),
    "jku": lambda header, claims: header.update(jku="https://evil.example/jwks.json"),
    "x5u": lambda header, claims: header.update(x5u="https://evil.example/cert.pem"),
    "crit": lambda header, claims: header.update(crit=["exp"]),
    "another user": lambda header, claims: claims.update(sub="01890a5d-ac96-774b-bcce-b302099a8057"),
    "admin": lambda header, claims: claims.update(role="admin"),
    "never expires": lambda header, claims: claims.update(exp=2**40),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_token_is_refused(new_user, api: httpx.Client, change: str):
    ada: Account = new_user()
    header, claims = decoded(ada.access_token)
    CHANGES[change](header, claims)
    signature = ada.access_token.rpartition(".")[2]
    refused(api, f"{encoded(header)}.{encoded(claims)}.{signature}")
    refused(api, f"{encoded(header)}.{encoded(claims)}.")


def test_a_token_signed_with_a_key_that_it_brings_along_is_refused(new_user, api: httpx.Client):
    ada: Account = new_user()
    header, claims = decoded(ada.access_token)
    mine = OKPKey.generate_key("Ed25519")
    for extra in ({}, {"jwk": mine.as_dict(private=False)}):
        refused(api, jwt.encode({**header, **extra}, claims, mine, algorithms=["EdDSA"]))


def test_the_public_key_is_no_hmac_secret(new_user, api: httpx.Client):
    ada: Account = new_user()
    header, claims = decoded(ada.access_token)
    public = api.get("/.well-known/jwks.json").json()["keys"][0]
    raw = base64.urlsafe_b64decode(public["x"] + "=")
    for secret in (raw, public["x"].encode()):
        refused(
            api,
            jwt.encode({**header, "alg": "HS256"}, claims, OctKey.import_key(secret), algorithms=["HS256"]),
        )


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Basic YTpi", "Bearer " + "A" * 5000, "bearer null", "Token x"])  # fmt: skip
def test_what_is_no_token_is_refused(api: httpx.Client, authorization: str):
    answer = api.get("/users/me", headers={"authorization": authorization})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_a_token_in_the_url_or_in_another_header_is_none(new_user, api: httpx.Client):
    ada: Account = new_user()
    assert api.get("/users/me", params={"access_token": ada.access_token}).status_code == 401
    assert api.get("/users/me", headers={"x-user-id": ada.id}).status_code == 401
    assert api.get("/users/me", headers={"cookie": f"access_token={ada.access_token}"}).status_code == 401


def test_who_one_is_comes_from_the_token_alone(new_user):
    ada, bob = new_user(), new_user()
    headers = {"x-user-id": bob.id, "x-forwarded-user": bob.id, "x-role": "admin"}
    assert ada.client.get("/users/me", headers=headers).json()["id"] == ada.id
    assert ada.client.get("/admin/users", headers=headers).status_code == 403


def test_two_servers_do_not_accept_each_others_tokens(make_server, new_user, api: httpx.Client):
    other = make_server()
    refused(api, new_user(server=other).access_token)


def test_tokens_and_sessions_survive_a_kill_and_revocations_too(make_server, new_user):
    server = make_server()
    ada: Account = new_user(server=server)
    gone = ada.log_in()
    assert ada.client.delete(f"/auth/sessions/{gone['session_id']}").status_code == 204
    server.kill9()
    server.start()
    with httpx.Client(base_url=server.url, trust_env=False) as api:
        assert (
            api.get("/users/me", headers={"authorization": f"Bearer {ada.access_token}"}).status_code == 200
        )
        refused(api, gone["access_token"])
        assert api.post("/auth/refresh", json={"refresh_token": ada.refresh_token}).status_code == 200
        assert api.post("/auth/refresh", json={"refresh_token": gone["refresh_token"]}).status_code == 401


def test_keys_rotated_by_an_operator_reach_the_running_server(make_server, new_user):
    import subprocess
    import sys

    server = make_server()
    ada: Account = new_user(server=server)
    before = ada.client.get("/.well-known/jwks.json").json()["keys"]
    command = [sys.executable, "-m", "banyan", "keys", "rotate", "--json"]
    subprocess.run(command, env=server.environment, check=True, capture_output=True, timeout=60)
    deadline = time.monotonic() + 45
    while (after := ada.client.get("/.well-known/jwks.json").json()["keys"]) == before:
        assert time.monotonic() < deadline, "the running server did not hear of the rotation"
        time.sleep(0.1)
    assert after[0]["kid"] == before[1]["kid"], "the key that was published before signs now"
    assert {key["kid"] for key in before} < {key["kid"] for key in after}
    assert ada.client.get("/users/me").status_code == 200
    assert decoded(ada.log_in()["access_token"])[0]["kid"] == after[0]["kid"]
