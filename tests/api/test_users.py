"""Accounts: registering, the profile, the password, mails that confirm and reset."""

import unicodedata

import httpx
import pytest
from tests.support.accounts import PASSWORD, Account, unused_email, wait_refused
from tests.support.mailbox import Mailbox, token_in
from tests.support.server import RunningServer

OTHER_PASSWORD = "quiet-herons-at-dawn-7"
PROFILE_FIELDS = {
    "id",
    "name",
    "email",
    "email_verified",
    "locale",
    "time_zone",
    "avatar_url",
    "role",
    "created_at",
    "updated_at",
}


@pytest.fixture
def mailbox(server: RunningServer) -> Mailbox:
    return Mailbox(server.data_dir)


def registration(**fields: object) -> dict[str, object]:
    return {"name": "Ada", "email": unused_email(), "password": PASSWORD, **fields}


def problem(answer: httpx.Response, status: int, code: str) -> dict:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()


def pointers(answer: httpx.Response) -> list[str]:
    return [fault["pointer"] for fault in answer.json()["errors"]]


# Registering


@pytest.mark.parametrize("path", ["/users/", "/users"])
def test_registering_answers_the_profile_and_where_it_is(api: httpx.Client, path: str):
    email = unused_email()
    answer = api.post(path, json=registration(email=email, name="  Ada Lovelace "))
    assert answer.status_code == 201
    profile = answer.json()
    assert profile.keys() == PROFILE_FIELDS
    assert (profile["name"], profile["email"], profile["role"]) == ("Ada Lovelace", email, "user")
    assert (profile["email_verified"], profile["locale"], profile["time_zone"]) == (False, "en", "UTC")
    assert answer.headers["location"] == f"{api.base_url}/users/{profile['id']}".replace("//users", "/users")
    assert answer.headers["cache-control"] == "no-store"


def test_an_address_can_be_registered_once_however_it_is_written(api: httpx.Client):
    email = unused_email("zoë")
    assert api.post("/users/", json=registration(email=email)).status_code == 201
    for spelling in (email, email.upper(), unicodedata.normalize("NFD", email)):
        answer = api.post("/users/", json=registration(email=spelling))
        assert problem(answer, 409, "email_taken")["detail"] == "Email already registered"


def test_registering_an_address_many_times_at_once_makes_one_account(server: RunningServer):
    from concurrent.futures import ThreadPoolExecutor

    email = unused_email()

    def register(_: int) -> int:
        return httpx.post(f"{server.url}/users/", json=registration(email=email), trust_env=False).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(register, range(8)))
    assert statuses == [201, *[409] * 7]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"email": "no address"}, "/email"),
        ({"email": "ada@example.org\r\nBcc: eve@example.org"}, "/email"),
        ({"email": None}, "/email"),
        ({"email": 7}, "/email"),
        ({"name": ""}, "/name"),
        ({"name": " \t "}, "/name"),
        ({"name": "Ada\nEve"}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"password": "short"}, "/password"),
        ({"password": "password1234"}, "/password"),
        ({"password": "x" * 1025}, "/password"),
        ({"password": "Ada"}, "/password"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"locale": "klingon language"}, "/locale"),
        ({"role": "admin"}, "/role"),
        ({"id": "01890a5d-ac96-774b-bcce-b302099a8057"}, "/id"),
        ({"email_verified": True}, "/email_verified"),
    ],
)
def test_what_cannot_be_registered_is_told_at_its_field(api: httpx.Client, fields: dict, pointer: str):
    answer = api.post("/users/", json=registration(**fields))
    assert answer.status_code == 422
    assert pointer in pointers(answer)


def test_a_password_may_not_be_the_account_itself(api: httpx.Client):
    email = unused_email("grace.hopper.the.admiral")
    problem(api.post("/users/", json=registration(email=email, password=email)), 422, "weak_password")


def test_long_passwords_with_spaces_and_other_scripts_are_whole(api: httpx.Client):
    email, password = unused_email(), "пароль с пробелами и ещё чем-то 🌳 " * 10
    assert api.post("/users/", json=registration(email=email, password=password)).status_code == 201
    assert api.post("/auth/login", json={"email": email, "password": password}).status_code == 200
    assert api.post("/auth/login", json={"email": email, "password": password[:-1]}).status_code == 401


# Reading and changing


def test_people_read_themselves_and_nobody_else(new_user, api: httpx.Client):
    ada, bob = new_user(), new_user()
    for path in ("/users/me", "/users/me/", f"/users/{ada.id}", f"/users/{ada.id.upper()}"):
        assert ada.client.get(path).json()["id"] == ada.id
    foreign = ada.client.get(f"/users/{bob.id}")
    unknown = ada.client.get("/users/01890a5d-ac96-774b-bcce-b302099a8057")
    strange = ada.client.get("/users/x")
    assert problem(foreign, 404, "user_not_found")["detail"] == "User not found"
    assert foreign.content == unknown.content == strange.content
    problem(api.get(f"/users/{ada.id}"), 401, "unauthenticated")
    problem(api.get("/users/me"), 401, "unauthenticated")


def test_a_patch_changes_what_it_names(new_user):
    ada: Account = new_user()
    before = ada.client.get("/users/me").json()
    change = {
        "name": "Ada King",
        "time_zone": "Europe/London",
        "locale": "en-GB",
        "avatar_url": "https://example.org/a.png",
    }
    after = ada.client.patch("/users/me", json=change).json()
    assert after == {**before, **change, "updated_at": after["updated_at"]}
    assert after["updated_at"] > before["updated_at"]
    assert ada.client.get("/users/me").json() == after
    assert ada.client.patch("/users/me", json={"avatar_url": None}).json()["avatar_url"] is None
    merge_patch = {"content-type": "application/merge-patch+json"}
    assert ada.client.patch("/users/me", content=b'{"name":"A"}', headers=merge_patch).json()["name"] == "A"


def test_a_patch_that_changes_nothing_is_no_change(new_user):
    ada: Account = new_user()
    before = ada.client.get("/users/me").json()
    assert ada.client.patch("/users/me", json={}).json() == before
    assert (
        ada.client.patch("/users/me", json={"name": before["name"], "email": before["email"]}).json()
        == before
    )


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"email": None},
        {"locale": None},
        {"time_zone": None},
        {"avatar_url": "javascript:alert(1)"},
        {"avatar_url": "https://"},
        {"avatar_url": "https://exa mple.org/"},
        {"role": "admin"},
        {"id": "01890a5d-ac96-774b-bcce-b302099a8057"},
        {"disabled_at": None},
        {"password": "something else entirely"},
        [],
    ],
)
def test_a_patch_that_cannot_be_is_refused_and_nothing_changes(new_user, change: object):
    ada: Account = new_user()
    before = ada.client.get("/users/me").json()
    assert ada.client.patch("/users/me", json=change).status_code == 422
    assert ada.client.get("/users/me").json() == before


def test_another_address_needs_the_password_and_is_confirmed_anew(
    new_user, mailbox: Mailbox, api: httpx.Client
):
    ada: Account = new_user()
    api.post("/auth/verify", json={"token": token_in(mailbox.wait_for(ada.email, subject="Confirm"))})
    assert ada.client.get("/users/me").json()["email_verified"] is True
    new = unused_email()
    problem(ada.client.patch("/users/me", json={"email": new}), 403, "wrong_password")
    wrong = {"email": new, "current_password": "not the password"}
    problem(ada.client.patch("/users/me", json=wrong), 403, "wrong_password")
    changed = ada.client.patch("/users/me", json={"email": new, "current_password": ada.password})
    assert (changed.json()["email"], changed.json()["email_verified"]) == (new, False)
    assert api.post("/auth/login", json={"email": ada.email, "password": ada.password}).status_code == 401
    assert api.post("/auth/login", json={"email": new, "password": ada.password}).status_code == 200
    # The former address is free, and the new one has its mail.
    assert api.post("/users/", json=registration(email=ada.email)).status_code == 201
    assert api.post("/auth/verify", json={"token": token_in(mailbox.wait_for(new))}).status_code == 204
    assert ada.client.get("/users/me").json()["email_verified"] is True


def test_a_taken_address_cannot_be_changed_to(new_user):
    ada, bob = new_user(), new_user()
    change = {"email": bob.email.upper(), "current_password": ada.password}
    problem(ada.client.patch("/users/me", json=change), 409, "email_taken")
    assert ada.client.get("/users/me").json()["email"] == ada.email


# Confirming an address


def test_an_address_is_confirmed_once_by_the_mailed_link(
    new_user, mailbox: Mailbox, server: RunningServer, api: httpx.Client
):
    ada: Account = new_user()
    mail = mailbox.wait_for(ada.email, subject="Confirm")
    assert "/#/verify?token=" in mail.text
    token = token_in(mail)
    assert api.post("/auth/verify", json={"token": token}).status_code == 204
    assert ada.client.get("/users/me").json()["email_verified"] is True
    used = problem(api.post("/auth/verify", json={"token": token}), 422, "invalid_token")
    assert used["errors"] == [{"pointer": "/token", "detail": "is unknown, used up or expired"}]
    problem(ada.client.post("/users/me/verification"), 409, "already_verified")


def test_a_confirmation_that_is_sent_again_voids_the_former(new_user, mailbox: Mailbox, api: httpx.Client):
    ada: Account = new_user()
    first = token_in(mailbox.wait_for(ada.email, subject="Confirm"))
    assert ada.client.post("/users/me/verification").status_code == 202
    second = token_in(mailbox.wait_for(ada.email, subject="Confirm", count=2))
    problem(api.post("/auth/verify", json={"token": first}), 422, "invalid_token")
    assert api.post("/auth/verify", json={"token": second}).status_code == 204


@pytest.mark.parametrize("token", ["", "x", "bnv_" + "A" * 65, "bnp_" + "A" * 65, "é" * 70])
@pytest.mark.parametrize("path", ["/auth/verify", "/auth/reset"])
def test_tokens_that_nobody_was_sent_open_nothing(api: httpx.Client, path: str, token: str):
    body = {"token": token} | ({"new_password": OTHER_PASSWORD} if path == "/auth/reset" else {})
    problem(api.post(path, json=body), 422, "invalid_token")


def test_a_link_of_one_kind_does_not_pass_for_the_other(new_user, mailbox: Mailbox, api: httpx.Client):
    ada: Account = new_user()
    token = token_in(mailbox.wait_for(ada.email, subject="Confirm"))
    problem(
        api.post("/auth/reset", json={"token": token, "new_password": OTHER_PASSWORD}), 422, "invalid_token"
    )


# The password


def test_a_new_password_ends_the_other_sessions_and_is_told_by_mail(
    new_user, mailbox: Mailbox, api: httpx.Client
):
    ada: Account = new_user()
    other = ada.log_in()
    change = {"current_password": ada.password, "new_password": OTHER_PASSWORD}
    assert ada.client.post("/users/me/password", json=change).status_code == 204
    assert ada.client.get("/users/me").status_code == 200
    assert (
        api.get("/users/me", headers={"authorization": f"Bearer {other['access_token']}"}).status_code == 401
    )
    problem(
        api.post("/auth/refresh", json={"refresh_token": other["refresh_token"]}),
        401,
        "invalid_refresh_token",
    )
    assert api.post("/auth/refresh", json={"refresh_token": ada.refresh_token}).status_code == 200
    assert api.post("/auth/login", json={"email": ada.email, "password": ada.password}).status_code == 401
    assert api.post("/auth/login", json={"email": ada.email, "password": OTHER_PASSWORD}).status_code == 200
    mailbox.wait_for(ada.email, subject="password was changed")


def test_a_password_is_changed_only_by_whoever_knows_it_and_not_to_a_weak_one(new_user):
    ada: Account = new_user()
    wrong = {"current_password": "not the password", "new_password": OTHER_PASSWORD}
    problem(ada.client.post("/users/me/password", json=wrong), 403, "wrong_password")
    weak = ada.client.post(
        "/users/me/password", json={"current_password": ada.password, "new_password": ada.email}
    )
    problem(weak, 422, "weak_password")
    assert pointers(weak) == ["/new_password"]
    ada.log_in()


def test_a_forgotten_password_is_reset_once_by_the_mailed_link(new_user, mailbox: Mailbox, api: httpx.Client):
    ada: Account = new_user()
    assert api.post("/auth/forgot", json={"email": ada.email.upper()}).status_code == 202
    mail = mailbox.wait_for(ada.email, subject="new password")
    assert "/#/reset?token=" in mail.text
    token = token_in(mail)
    weak = api.post("/auth/reset", json={"token": token, "new_password": ada.email})
    problem(weak, 422, "weak_password")
    assert api.post("/auth/reset", json={"token": token, "new_password": OTHER_PASSWORD}).status_code == 204
    problem(
        api.post("/auth/reset", json={"token": token, "new_password": OTHER_PASSWORD}), 422, "invalid_token"
    )
    problem(ada.client.get("/users/me"), 401, "unauthenticated")
    assert api.post("/auth/login", json={"email": ada.email, "password": ada.password}).status_code == 401
    login = api.post("/auth/login", json={"email": ada.email, "password": OTHER_PASSWORD}).json()
    me = api.get("/users/me", headers={"authorization": f"Bearer {login['access_token']}"}).json()
    assert me["email_verified"] is True, "whoever had the link reads the mail of this address"
    mailbox.wait_for(ada.email, subject="password was changed")


def test_a_changed_password_voids_links_that_would_reset_it(new_user, mailbox: Mailbox, api: httpx.Client):
    ada: Account = new_user()
    api.post("/auth/forgot", json={"email": ada.email})
    token = token_in(mailbox.wait_for(ada.email, subject="new password"))
    change = {"current_password": ada.password, "new_password": OTHER_PASSWORD}
    assert ada.client.post("/users/me/password", json=change).status_code == 204
    problem(api.post("/auth/reset", json={"token": token, "new_password": PASSWORD}), 422, "invalid_token")


# Deleting


def test_a_deleted_account_leaves_nothing_behind(
    new_user, mailbox: Mailbox, server: RunningServer, api: httpx.Client
):
    ada: Account = new_user(name="Wilhelmina Unforgettable")
    mailbox.wait_for(ada.email, subject="Confirm")
    other = ada.log_in(device="a very special laptop")
    ada.client.post("/todos", json={"title": "Unforgettable to-do"})
    problem(ada.client.request("DELETE", "/users/me", json={"password": "wrong"}), 403, "wrong_password")
    assert ada.client.request("DELETE", "/users/me").status_code == 422
    assert ada.client.request("DELETE", "/users/me", json={"password": ada.password}).status_code == 204
    problem(ada.client.get("/users/me"), 401, "unauthenticated")
    wait_refused(api, other["access_token"])
    problem(
        api.post("/auth/refresh", json={"refresh_token": other["refresh_token"]}),
        401,
        "invalid_refresh_token",
    )
    problem(
        api.post("/auth/login", json={"email": ada.email, "password": ada.password}),
        401,
        "invalid_credentials",
    )
    kept = server.rows(f"SELECT type FROM events WHERE user_id = '{ada.id}' AND stream = 'users'")
    assert kept == [("UserDeleted",)]
    for table in ("users", "emails", "sessions", "one_time_tokens", "outgoing_mails"):
        assert server.rows(f"SELECT * FROM {table} WHERE user_id = '{ada.id}'") == [], table
    assert api.post("/users/", json=registration(email=ada.email)).status_code == 201, "the address is free"
