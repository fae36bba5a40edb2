"""Guessing is slow, for whoever guesses; the owner still gets in."""

import httpx
import pytest
from tests.support.accounts import PASSWORD, Account, unused_email
from tests.support.server import RunningServer

DEVICE = "__Host-banyan_device"


@pytest.fixture
def strict(make_server) -> RunningServer:
    return make_server({"BANYAN_RATE_LIMIT_LOGIN_ACCOUNT": "3/hour"})


def log_in(api: httpx.Client, email: str, password: str, **headers: str) -> httpx.Response:
    return api.post("/auth/login", json={"email": email, "password": password}, headers=headers)


def device_cookie(answer: httpx.Response) -> str:
    (found,) = [h for h in answer.headers.get_list("set-cookie") if h.startswith(DEVICE)]
    return found.partition(";")[0]


def test_too_many_wrong_passwords_close_the_account_to_strangers_but_not_to_a_known_device(strict, new_user):
    ada, bob = new_user(server=strict), new_user(server=strict)
    with httpx.Client(base_url=strict.url, trust_env=False) as api:
        known = device_cookie(log_in(api, ada.email, ada.password))
        foreign = device_cookie(log_in(api, bob.email, bob.password))
        api.cookies.clear()
        assert [log_in(api, ada.email, "wrong").status_code for _ in range(3)] == [401] * 3
        closed = log_in(api, ada.email, ada.password)
        assert closed.status_code == 429, "not even the right password"
        assert closed.json()["code"] == "rate_limited"
        assert int(closed.headers["retry-after"]) > 60
        assert log_in(api, ada.email.upper(), ada.password).status_code == 429, (
            "another spelling is the same account"
        )
        assert log_in(api, ada.email, ada.password, cookie=foreign).status_code == 429, (
            "known to another account"
        )
        assert log_in(api, ada.email, ada.password, cookie=known).status_code == 200
        assert log_in(api, bob.email, bob.password).status_code == 200

        # The known device is counted as well, on its own.
        assert [log_in(api, ada.email, "wrong", cookie=known).status_code for _ in range(3)] == [401] * 3
        assert log_in(api, ada.email, ada.password, cookie=known).status_code == 429


def test_the_oauth_form_is_no_way_around_the_throttle(strict, new_user):
    ada: Account = new_user(server=strict)
    with httpx.Client(base_url=strict.url, trust_env=False) as api:
        form = {"grant_type": "password", "username": ada.email, "password": "wrong"}
        assert [api.post("/auth/token", data=form).status_code for _ in range(4)] == [401, 401, 401, 429]
        assert log_in(api, ada.email, ada.password).status_code == 429


def test_a_stolen_access_token_cannot_guess_the_password(strict, new_user):
    ada: Account = new_user(server=strict)
    guesses = [
        ada.client.post("/users/me/password", json={"current_password": "wrong", "new_password": PASSWORD}),
        ada.client.patch("/users/me", json={"email": unused_email(), "current_password": "wrong"}),
        ada.client.request("DELETE", "/users/me", json={"password": "wrong"}),
        ada.client.request("DELETE", "/users/me", json={"password": ada.password}),
    ]
    assert [guess.status_code for guess in guesses] == [403, 403, 403, 429]


def test_logins_and_registrations_of_one_address_are_limited(make_server):
    server = make_server(
        {"BANYAN_RATE_LIMIT_LOGIN_ADDRESS": "3/hour", "BANYAN_RATE_LIMIT_REGISTER": "2/hour"}
    )
    with httpx.Client(base_url=server.url, trust_env=False) as api:
        statuses = [log_in(api, unused_email(), "wrong").status_code for _ in range(2)]
        statuses.append(api.post("/auth/forgot", json={"email": unused_email()}).status_code)
        assert statuses == [401, 401, 202]
        assert log_in(api, unused_email(), "wrong").status_code == 429
        # What a client claims about its address changes nothing.
        assert log_in(api, unused_email(), "wrong", **{"x-forwarded-for": "203.0.113.9"}).status_code == 429
        assert api.post("/auth/forgot", json={"email": unused_email()}).status_code == 429
        assert api.post("/auth/reset", json={"token": "x", "new_password": PASSWORD}).status_code == 429
        people = [{"name": "A", "email": unused_email(), "password": PASSWORD} for _ in range(3)]
        assert [api.post("/users/", json=person).status_code for person in people] == [201, 201, 429]


def test_mails_to_one_account_are_limited(new_user, api: httpx.Client):
    ada: Account = new_user()
    statuses = [api.post("/auth/forgot", json={"email": ada.email}).status_code for _ in range(11)]
    assert statuses == [202] * 10 + [429]
    statuses = [ada.client.post("/users/me/verification").status_code for _ in range(11)]
    assert statuses == [202] * 10 + [429]
