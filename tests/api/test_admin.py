"""Administrators: who may, what they see, and what disabling an account does."""

import httpx
import pytest
from tests.support.accounts import PASSWORD, Account, unused_email
from tests.support.mailbox import Mailbox
from tests.support.server import RunningServer

from banyan.bootstrap import build
from banyan.settings import Settings


def problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


@pytest.fixture
def operator(server: RunningServer, monkeypatch: pytest.MonkeyPatch):
    """Runs what the command line runs: another process's access to the same database, here in this one."""

    def run(work):
        import anyio

        async def main():
            for name, value in server.environment.items():
                if name.startswith("BANYAN_"):
                    monkeypatch.setenv(name, value)
            app = build(Settings())  # pyright: ignore[reportCallIssue]
            users = next(module.contract for module in app.modules if module.name == "users")
            async with app.running(background=False):
                return await work(users)

        return anyio.run(main)

    return run


@pytest.fixture
def admin(new_user, operator) -> Account:
    account: Account = new_user(name="Grace Admin")
    found, is_new = operator(
        lambda users: users.create_admin(name="ignored", email=account.email, password="")
    )
    assert (found.id, found.role, found.name, is_new) == (account.id, "admin", "Grace Admin", False)
    account.use_new_session()
    return account


PATHS = [("GET", "/admin/users"), ("POST", "/admin/users/{id}/disable"), ("POST", "/admin/users/{id}/enable")]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_only_administrators_may(new_user, api: httpx.Client, method: str, path: str):
    ada, bob = new_user(), new_user()
    for whom in (ada.id, bob.id):
        problem(ada.client.request(method, path.format(id=whom)), 403, "forbidden")
        problem(api.request(method, path.format(id=whom)), 401, "unauthenticated")
    assert bob.client.get("/users/me").status_code == 200


def test_a_disabled_account_is_out_at_once_and_comes_back_when_enabled(
    new_user, admin: Account, server: RunningServer, api: httpx.Client
):
    ada: Account = new_user()
    answer = admin.client.post(f"/admin/users/{ada.id}/disable")
    assert answer.status_code == 200
    assert answer.json()["disabled_at"] is not None
    assert admin.client.post(f"/admin/users/{ada.id}/disable").json() == answer.json(), "a second time"

    problem(ada.client.get("/users/me"), 401, "unauthenticated")
    problem(
        api.post("/auth/refresh", json={"refresh_token": ada.refresh_token}), 401, "invalid_refresh_token"
    )
    credentials = {"email": ada.email, "password": ada.password}
    problem(api.post("/auth/login", json=credentials), 403, "account_disabled")
    problem(api.post("/auth/login", json={**credentials, "password": "wrong"}), 401, "invalid_credentials")
    problem(api.post("/auth/token", data={"grant_type": "password", "username": ada.email, "password": ada.password}), 403, "account_disabled")  # fmt: skip
    assert api.post("/auth/forgot", json={"email": ada.email}).status_code == 202
    # A mail to somebody else that was asked for later has come: so the disabled account's would have.
    other: Account = new_user()
    api.post("/auth/forgot", json={"email": other.email})
    mailbox = Mailbox(server.data_dir)
    mailbox.wait_for(other.email, subject="new password")
    assert mailbox.to(ada.email, subject="new password") == []

    assert admin.client.post(f"/admin/users/{ada.id}/enable").json()["disabled_at"] is None
    assert api.post("/auth/login", json=credentials).status_code == 200
    problem(
        api.post("/auth/refresh", json={"refresh_token": ada.refresh_token}), 401, "invalid_refresh_token"
    )


def test_what_is_not_there_cannot_be_disabled(admin: Account):
    for user_id in ("01890a5d-ac96-774b-bcce-b302099a8057", "x", admin.email):
        for verb in ("disable", "enable"):
            problem(admin.client.post(f"/admin/users/{user_id}/{verb}"), 404, "user_not_found")


def test_administrators_cannot_disable_themselves(admin: Account):
    problem(admin.client.post(f"/admin/users/{admin.id}/disable"), 409, "own_account")
    assert admin.client.get("/users/me").status_code == 200


def test_accounts_are_listed_newest_first_in_pages(new_user, admin: Account):
    tag = unused_email("listed").partition("@")[0]
    people = [new_user(name=f"{tag} {number}") for number in range(5)]
    expected = [person.id for person in reversed(people)]
    seen: list[str] = []
    answer = admin.client.get("/admin/users", params={"q": tag.upper(), "limit": 2})
    while True:
        assert answer.status_code == 200
        page = answer.json()
        assert len(page) <= 2
        assert all("disabled_at" in account and "password_hash" not in account for account in page)
        seen += [account["id"] for account in page]
        if "next" not in answer.links:
            break
        answer = admin.client.get(answer.links["next"]["url"])
    assert seen == expected


def test_accounts_are_found_by_name_and_address_literally(new_user, admin: Account):
    ada: Account = new_user(name="Zoë 100%_Örtlich")

    def found(text: str) -> list[str]:
        return [account["id"] for account in admin.client.get("/admin/users", params={"q": text}).json()]

    assert ada.id in found("zoë 100%_ört")
    assert found(ada.email.upper()) == [ada.id]
    assert found("100%%") == []
    assert found("100_") == []


def test_cursors_belong_to_their_list_and_administrator(new_user, admin: Account, operator):
    new_user()
    new_user()
    first = admin.client.get("/admin/users", params={"limit": 1})
    cursor = httpx.URL(first.links["next"]["url"]).params["cursor"]
    assert admin.client.get("/admin/users", params={"cursor": cursor}).status_code == 200
    for params in (
        {"cursor": cursor, "q": "x"},
        {"cursor": cursor[:-2] + "AA"},
        {"cursor": "x"},
        {"cursor": "é"},
    ):
        problem(admin.client.get("/admin/users", params=params), 422, "invalid_cursor")
    other: Account = new_user()
    operator(lambda users: users.create_admin(name="x", email=other.email, password=""))
    other.use_new_session()
    problem(other.client.get("/admin/users", params={"cursor": cursor}), 422, "invalid_cursor")


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": 201}, {"limit": "x"}, {"page": 2}, {"q": "\x00"}, {"q": "x" * 201}]
)
def test_queries_that_cannot_be_are_refused(admin: Account, params: dict):
    problem(admin.client.get("/admin/users", params=params), 422, "invalid_input")


# What the command line does


def test_an_operator_makes_accounts_whose_address_counts_as_verified(operator, api: httpx.Client):
    email = unused_email("root")
    made, is_new = operator(lambda users: users.create_admin(name="Root", email=email, password=PASSWORD))
    assert (is_new, made.role, made.email_verified) == (True, "admin", True)
    login = api.post("/auth/login", json={"email": email, "password": PASSWORD}).json()
    headers = {"authorization": f"Bearer {login['access_token']}"}
    assert api.get("/admin/users", headers=headers).status_code == 200
    plain = operator(lambda users: users.create_user(name="Plain", email=unused_email(), password=PASSWORD))
    assert (plain.role, plain.email_verified) == ("user", True)


def test_what_an_operator_does_reaches_the_running_server_within_a_second(new_user, operator):
    import time

    ada: Account = new_user()
    assert ada.client.get("/users/me").status_code == 200
    disabled = operator(lambda users: users.disable_user(ada.email))
    assert disabled.disabled_at is not None
    deadline = time.monotonic() + 1.0
    while ada.client.get("/users/me").status_code != 401:
        assert time.monotonic() < deadline, "the disabled user is still let in"
        time.sleep(0.02)
    assert operator(lambda users: users.enable_user(ada.id)).disabled_at is None
    ada.log_in()


def test_an_operator_sets_a_password_and_ends_all_sessions(new_user, operator, api: httpx.Client):
    ada: Account = new_user()
    operator(lambda users: users.set_password(ada.email, "quiet-herons-at-dawn-7"))
    problem(
        api.post("/auth/refresh", json={"refresh_token": ada.refresh_token}), 401, "invalid_refresh_token"
    )
    assert api.post("/auth/login", json={"email": ada.email, "password": ada.password}).status_code == 401
    assert (
        api.post("/auth/login", json={"email": ada.email, "password": "quiet-herons-at-dawn-7"}).status_code
        == 200
    )
