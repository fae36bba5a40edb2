"""Nobody learns from an answer whether an account exists."""

import httpx
import pytest
from tests.support.accounts import Account, unused_email
from tests.support.server import RunningServer

CHANGES_EACH_TIME = {"date", "x-request-id"}


def seen(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """All that a client can compare."""
    headers = {name: value for name, value in answer.headers.items() if name not in CHANGES_EACH_TIME}
    return answer.status_code, answer.content, headers


@pytest.mark.parametrize("unknown", [None, "no address at all", "x" * 300, ""])
def test_a_wrong_password_and_an_unknown_address_are_answered_alike(
    new_user, api: httpx.Client, unknown: str | None
):
    ada: Account = new_user()
    stranger = unused_email() if unknown is None else unknown
    known = api.post("/auth/login", json={"email": ada.email, "password": "wrong password"})
    other = api.post("/auth/login", json={"email": stranger, "password": "wrong password"})
    assert known.status_code == 401
    assert seen(known) == seen(other)
    form = {"grant_type": "password", "password": "wrong password"}
    known = api.post("/auth/token", data={**form, "username": ada.email})
    other = api.post("/auth/token", data={**form, "username": stranger or "-"})
    assert known.status_code == 401
    assert seen(known) == seen(other)


def test_a_forgotten_password_is_answered_alike(new_user, api: httpx.Client):
    ada: Account = new_user()
    known = api.post("/auth/forgot", json={"email": ada.email})
    other = api.post("/auth/forgot", json={"email": unused_email()})
    strange = api.post("/auth/forgot", json={"email": "no address"})
    assert known.status_code == 202
    assert seen(known) == seen(other) == seen(strange)


def test_a_wrong_token_is_answered_alike_whoever_it_names(new_user, api: httpx.Client):
    import base64
    import uuid

    ada: Account = new_user()

    def token_for(user_id: str) -> str:
        return "bnp_" + base64.urlsafe_b64encode(uuid.UUID(user_id).bytes).decode().rstrip("=") + "A" * 43

    answers = [
        api.post("/auth/reset", json={"token": token, "new_password": "quiet-herons-at-dawn-7"})
        for token in (token_for(ada.id), token_for("01890a5d-ac96-774b-bcce-b302099a8057"), "x")
    ]
    assert answers[0].status_code == 422
    assert seen(answers[0]) == seen(answers[1]) == seen(answers[2])


def test_the_throttle_treats_unknown_accounts_like_known_ones(make_server, new_user):
    server: RunningServer = make_server({"BANYAN_RATE_LIMIT_LOGIN_ACCOUNT": "2/hour"})
    ada: Account = new_user(server=server)
    with httpx.Client(base_url=server.url, trust_env=False) as api:
        rows = []
        for email in (ada.email, unused_email()):
            answers = [
                api.post("/auth/login", json={"email": email, "password": "wrong password"}) for _ in range(3)
            ]
            rows.append([answer.status_code for answer in answers])
        assert rows == [[401, 401, 429]] * 2


def test_no_address_password_or_token_is_in_the_log(make_server, new_user):
    server: RunningServer = make_server({"BANYAN_LOG_LEVEL": "DEBUG"})
    ada: Account = new_user(server=server, name="Unloggable Name")
    with httpx.Client(base_url=server.url, trust_env=False) as api:
        api.post("/auth/login", json={"email": ada.email, "password": "a wrong password"})
        api.post("/auth/forgot", json={"email": ada.email})
        second = api.post("/auth/refresh", json={"refresh_token": ada.refresh_token}).json()
        api.post("/auth/refresh", json={"refresh_token": second["refresh_token"]})
        api.post("/auth/refresh", json={"refresh_token": ada.refresh_token})
    server.stop()
    log = server.log_text()
    assert "refresh_token_reused" in log, "the log is there at all"
    for secret in (ada.email, ada.email.partition("@")[0], ada.password, "a wrong password", ada.access_token, ada.refresh_token, second["refresh_token"], "Unloggable"):  # fmt: skip
        assert secret not in log


def test_each_path_of_a_login_and_a_reset_computes_exactly_one_hash(tmp_path, monkeypatch):
    """Counted where the hashes are made."""
    import anyio
    from tests.support.accounts import PASSWORD
    from tests.support.server import migrated_data_dir

    from banyan.bootstrap import asgi, build
    from banyan.infra.auth.hashing_pool import HashingPool
    from banyan.settings import Settings

    hashes = 0
    run = HashingPool.run

    async def counted(self, job):
        nonlocal hashes
        hashes += 1
        return await run(self, job)

    monkeypatch.setattr(HashingPool, "run", counted)
    app = build(Settings(data_dir=migrated_data_dir(tmp_path)))  # pyright: ignore[reportCallIssue]

    async def main() -> None:
        nonlocal hashes
        transport = httpx.ASGITransport(asgi(app))
        async with (
            app.running(background=False),
            httpx.AsyncClient(transport=transport, base_url="http://test.local") as api,
        ):
            await api.post("/users/", json={"name": "Ada", "email": "ada@example.org", "password": PASSWORD})
            for body in (
                {"email": "ada@example.org", "password": PASSWORD},
                {"email": "ada@example.org", "password": "wrong"},
                {"email": "bob@example.org", "password": "wrong"},
                {"email": "no address", "password": "wrong"},
            ):
                hashes = 0
                await api.post("/auth/login", json=body)
                assert hashes == 1, body
            for token in ("x", "bnp_" + "A" * 65):
                hashes = 0
                await api.post("/auth/reset", json={"token": token, "new_password": "quiet-herons-at-dawn-7"})
                assert hashes == 1, token

    anyio.run(main)
