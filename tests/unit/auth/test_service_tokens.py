"""A service token opens one request, and an answer without its proof is nobody's."""

from datetime import timedelta

import pytest
from joserfc.jwk import OctKey
from joserfc.jwt import encode

from banyan.infra.auth.derive import derive_key
from banyan.infra.auth.service_tokens import LEEWAY_SECONDS, LIFETIME_SECONDS, ServiceTokens
from banyan.kernel.clock import ManualClock
from banyan.kernel.errors import Unauthenticated

SECRET = "a-secret-of-the-installation-0123456789"
PATH = "/internal/users/existing"
BODY = b'{"user_ids":[]}'


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def todos(clock: ManualClock) -> ServiceTokens:
    return ServiceTokens(SECRET, "todos", clock)


@pytest.fixture
def users(clock: ManualClock) -> ServiceTokens:
    return ServiceTokens(SECRET, "users", clock)


def test_a_token_says_who_calls(todos: ServiceTokens, users: ServiceTokens) -> None:
    token, call_id = todos.issue("users", "POST", PATH, BODY)
    call = users.verify(token, "users", "POST", PATH, BODY)
    assert (call.caller, call.id) == ("todos", call_id)


@pytest.mark.parametrize(
    "request_",
    [
        ("notifications", "POST", PATH, BODY),
        ("users", "GET", PATH, BODY),
        ("users", "POST", "/internal/users/redeem-ticket", BODY),
        ("users", "POST", PATH, b'{"user_ids":["x"]}'),
    ],
)
def test_it_is_good_for_its_own_request_only(
    todos: ServiceTokens, users: ServiceTokens, request_: tuple[str, str, str, bytes]
) -> None:
    token, _ = todos.issue("users", "POST", PATH, BODY)
    with pytest.raises(Unauthenticated):
        users.verify(token, *request_)


def test_it_is_good_for_a_short_time(todos: ServiceTokens, users: ServiceTokens, clock: ManualClock) -> None:
    token, _ = todos.issue("users", "POST", PATH, BODY)
    clock.advance(timedelta(seconds=LIFETIME_SECONDS + LEEWAY_SECONDS - 1))
    users.verify(token, "users", "POST", PATH, BODY)
    clock.advance(timedelta(seconds=2))
    with pytest.raises(Unauthenticated):
        users.verify(token, "users", "POST", PATH, BODY)


@pytest.mark.parametrize("token", [None, "", "x", "a.b.c", "[" * 5000])
def test_what_is_no_token_is_refused(users: ServiceTokens, token: str | None) -> None:
    with pytest.raises(Unauthenticated):
        users.verify(token, "users", "POST", PATH, BODY)


def test_another_installation_s_token_is_refused(users: ServiceTokens, clock: ManualClock) -> None:
    token, _ = ServiceTokens(SECRET[::-1], "todos", clock).issue("users", "POST", PATH, BODY)
    with pytest.raises(Unauthenticated):
        users.verify(token, "users", "POST", PATH, BODY)


@pytest.mark.parametrize("header", [{"alg": "none", "typ": "service+jwt"}, {"alg": "HS256", "typ": "at+jwt"}])
def test_another_kind_of_token_is_refused(users: ServiceTokens, clock: ManualClock, header: dict) -> None:
    token, _ = ServiceTokens(SECRET, "todos", clock).issue("users", "POST", PATH, BODY)
    claims = token.split(".")[1]
    key = OctKey.import_key(derive_key(SECRET, "service-token"))
    if header["alg"] == "none":
        forged = "eyJhbGciOiJub25lIiwidHlwIjoic2VydmljZStqd3QifQ." + claims + "."
    else:
        forged = encode(header, {"aud": "users", "iss": "todos"}, key, default_type=None)
    with pytest.raises(Unauthenticated):
        users.verify(forged, "users", "POST", PATH, BODY)


def test_only_who_has_the_secret_can_prove_an_answer(
    todos: ServiceTokens, users: ServiceTokens, clock: ManualClock
) -> None:
    proof = users.prove("call", 200, b"{}")
    assert todos.is_proven(proof, "call", 200, b"{}")
    for other in (("call", 200, b"[]"), ("call", 503, b"{}"), ("another", 200, b"{}")):
        assert not todos.is_proven(proof, *other)
    assert not todos.is_proven(None, "call", 200, b"{}")
    stranger = ServiceTokens(SECRET[::-1], "users", clock)
    assert not todos.is_proven(stranger.prove("call", 200, b"{}"), "call", 200, b"{}")
